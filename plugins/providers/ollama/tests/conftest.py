"""Ollama's API as its documentation describes it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from runtime_core.testing import Answer, Reply, WireRequest
from runtime_core.types import ChatRequest, FunctionCall, Message, Tool, ToolCall

if TYPE_CHECKING:
    from runtime_core.types import FinishReason

CREATED = "2025-06-01T12:00:00.123456789Z"
DIGEST = "9f438cb9cd581fc025612d27f7c1a6669ff83a8bb0ed86c94fcf4c5440555697"
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}
JSON = {"content-type": "application/json; charset=utf-8"}
KNOWN_OPTIONS = {
    "num_ctx",
    "temperature",
    "top_p",
    "seed",
    "num_predict",
    "stop",
    "presence_penalty",
    "frequency_penalty",
}


def line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


class OllamaWire:
    """Has one model from the start, and those that were pulled; ``pull_ends`` is how pulls end.

    ``pull_layers`` are the layers of every model: digests and bytes.
    """

    model = "llama3.2:latest"
    base_path = ""
    options = frozenset(
        {
            "temperature",
            "top_p",
            "seed",
            "max_tokens",
            "stop",
            "presence_penalty",
            "frequency_penalty",
            "response_format",
            "tools",
        }
    )
    finish_reasons: frozenset[FinishReason] = frozenset({"stop", "length", "tool_calls"})
    pull_layers = (("sha256:aaaaaaaaaaaaaaaa", 1000), ("sha256:bbbbbbbbbbbbbbbb", 24))

    def __init__(self) -> None:
        self.pulled: list[str] = []
        self.pull_ends: tuple[bytes, ...] = (line({"status": "success"}),)

    def operation(self, request: WireRequest) -> Literal["chat", "embed", "list", "other"]:
        return {"/api/chat": "chat", "/api/embed": "embed", "/api/tags": "list"}.get(
            request.path, "other"
        )

    def other(self, request: WireRequest) -> Reply:
        if (request.method, request.path) == ("GET", "/api/tags"):
            others = [self.listed(name=name, model=name) for name in self.pulled]
            return Reply((line({"models": [self.listed(), *others]}),), 200, JSON)
        if (request.method, request.path) == ("POST", "/api/show"):
            if request.json()["model"] != self.model:
                return self.failure(404, f"model '{request.json()['model']}' not found")
            return Reply((line(self.shown()),), 200, JSON)
        if (request.method, request.path) == ("POST", "/api/pull"):
            return self.pull(request.json())
        if (request.method, request.path) == ("DELETE", "/api/delete"):
            return self.delete(request.json()["model"])
        return Reply((b"404 page not found",), 404, {"content-type": "text/plain"})

    def pull(self, body: dict[str, Any]) -> Reply:
        if not body.get("model"):
            return self.failure(400, "invalid model name")
        if body.get("stream") is False:
            return Reply((line({"status": "success"}),), 200, JSON)
        lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        for digest, total in self.pull_layers:
            about = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
            # a field of zero is left out
            lines += [about, about | {"completed": total // 2}, about | {"completed": total}]
        lines += [{"status": "verifying sha256 digest"}, {"status": "writing manifest"}]
        if b"success" in self.pull_ends[-1]:
            self.pulled.append(body["model"])
        frames = (*map(line, lines), *self.pull_ends)
        return Reply(frames, 200, {"content-type": "application/x-ndjson"})

    def delete(self, model: str) -> Reply:
        if model not in self.pulled:
            return self.failure(404, f"model '{model}' not found")
        self.pulled.remove(model)
        return Reply((), 200)

    def listed(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": self.model,
            "model": self.model,
            "modified_at": "2025-05-01T10:00:00.5+02:00",
            "size": 2019393189,
            "digest": DIGEST,
            "details": DETAILS,
        } | changes

    def shown(self, **changes: Any) -> dict[str, Any]:
        return {
            "license": "…",
            "modelfile": "FROM x",
            "parameters": 'stop "<|eot_id|>"',
            "template": "{{ .Prompt }}",
            "details": DETAILS,
            "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
            "capabilities": ["completion", "tools"],
            "modified_at": "2025-05-01T10:00:00.5+02:00",
        } | changes

    def asked(self, request: WireRequest) -> ChatRequest:
        assert request.method == "POST"
        body = request.json()
        options = body.get("options") or {}
        assert options.keys() <= KNOWN_OPTIONS, options
        known = {
            "temperature": options.get("temperature"),
            "top_p": options.get("top_p"),
            "seed": options.get("seed"),
            "max_tokens": options.get("num_predict"),
            "stop": tuple(options.get("stop", ())),
            "presence_penalty": options.get("presence_penalty"),
            "frequency_penalty": options.get("frequency_penalty"),
            "response_format": asked_format(body.get("format")),
        }
        return ChatRequest(
            model=body["model"],
            messages=tuple(map(asked_message, body["messages"])),
            tools=tuple(map(asked_tool, body.get("tools") or ())),
            **known,
        )

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        body = request.json()
        head = {"model": body["model"], "created_at": CREATED}
        calls = [called(index, call) for index, call in enumerate(answer.tool_calls)]
        end = {
            **head,
            "message": {"role": "assistant", "content": ""},
            "done_reason": {"length": "length"}.get(answer.finish_reason, "stop"),
            "done": True,
            "total_duration": 4883583458,
            "load_duration": 1334875,
            "prompt_eval_duration": 342546000,
            "eval_duration": 4535599000,
        }
        if answer.usage:
            end["prompt_eval_count"] = answer.usage.prompt_tokens
            end["eval_count"] = answer.usage.completion_tokens
        if body.get("stream") is False:
            whole = {"role": "assistant", "content": "".join(answer.text)}
            whole |= {"thinking": "".join(answer.reasoning)} if answer.reasoning else {}
            whole |= {"tool_calls": calls} if calls else {}
            return Reply((line({**end, "message": whole}),), 200, JSON)
        messages = [
            *({"content": "", "thinking": piece} for piece in answer.reasoning),
            *({"content": piece} for piece in answer.text),
            *({"content": "", "tool_calls": [call]} for call in calls),
        ]
        lines = [
            line({**head, "message": {"role": "assistant", **message}, "done": False})
            for message in messages
        ]
        return Reply((*lines, line(end)), 200, {"content-type": "application/x-ndjson"})

    def frame(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def failure(self, status: int, message: str) -> Reply:
        return Reply((json.dumps({"error": message}).encode(),), status, JSON)

    def failure_midway(self, message: str) -> bytes:
        return line({"error": message})

    def asked_texts(self, request: WireRequest) -> list[str]:
        texts = request.json()["input"]
        return [texts] if isinstance(texts, str) else texts

    def embeddings(self, request: WireRequest, vectors: list[list[float]]) -> Reply:
        body = {
            "model": request.json()["model"],
            "embeddings": vectors,
            "total_duration": 14143917,
            "load_duration": 1019500,
            "prompt_eval_count": 8,
        }
        return Reply((line(body),), 200, JSON)


def asked_format(value: Any) -> dict[str, Any] | None:
    if value in (None, ""):
        return None
    if value == "json":
        return {"type": "json_object"}
    assert isinstance(value, dict)
    return {"type": "json_schema", "json_schema": {"name": "?", "schema": value}}


def asked_message(message: dict[str, Any]) -> Message:
    assert message["role"] in ("system", "user", "assistant", "tool")
    assert isinstance(message["content"], str)
    for image in message.get("images") or ():
        base64.b64decode(image, validate=True)
    for call in message.get("tool_calls") or ():
        assert isinstance(call["function"]["arguments"], dict), "Ollama wants an object"
    return Message(
        role=message["role"],
        content=message["content"],
        tool_calls=tuple(
            ToolCall(
                call.get("id", ""),
                FunctionCall(call["function"]["name"], json.dumps(call["function"]["arguments"])),
            )
            for call in message.get("tool_calls") or ()
        ),
        name=message.get("tool_name"),
    )


def asked_tool(tool: dict[str, Any]) -> Tool:
    assert tool["type"] == "function"
    function = tool["function"]
    assert function["parameters"]["type"] == "object"
    return Tool(function["name"], function["description"], function["parameters"])


def called(index: int, call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.function.arguments)
    return {"function": {"index": index, "name": call.function.name, "arguments": arguments}}


@pytest.fixture
def ollama_wire() -> OllamaWire:
    return OllamaWire()
