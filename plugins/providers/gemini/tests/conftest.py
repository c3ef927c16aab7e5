"""Gemini's API, imitated from its reference."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote

import pytest

from runtime_core.testing import Answer, Reply, WireRequest
from runtime_core.types import ChatRequest, FunctionCall, Message, Tool, ToolCall

if TYPE_CHECKING:
    from runtime_core.types import FinishReason

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json; charset=UTF-8"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
FIELDS = {
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
}
CONFIG = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
MODEL_PATH = re.compile(r"/v1beta/models/([^/:]+):(\w+)")
FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


def encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class GeminiWire:
    model = "gemini-2.5-flash"
    base_path = ""
    page_size = 2
    options = frozenset(
        {
            "temperature",
            "top_p",
            "max_tokens",
            "stop",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "response_format",
            "tools",
        }
    )
    finish_reasons: frozenset[FinishReason] = frozenset(
        {"stop", "length", "tool_calls", "content_filter"}
    )

    def operation(self, request: WireRequest) -> Literal["chat", "embed", "list", "other"]:
        if request.path == "/v1beta/models":
            return "list"
        found = MODEL_PATH.fullmatch(request.path)
        method = found[2] if found and request.method == "POST" else ""
        operations: dict[str, Literal["chat", "embed"]] = {
            "streamGenerateContent": "chat",
            "generateContent": "chat",
            "batchEmbedContents": "embed",
        }
        return operations.get(method, "other")

    def other(self, request: WireRequest) -> Reply:
        if self.operation(request) != "list" or request.method != "GET":
            return self.failure(404, f"{request.path} was not found")
        query = parse_qs(request.target.partition("?")[2])
        start = int(query.get("pageToken", ["0"])[0])
        models = self.listed()
        page: dict[str, Any] = {"models": models[start : start + self.page_size]}
        if start + self.page_size < len(models):
            page["nextPageToken"] = str(start + self.page_size)
        return Reply((encoded(page),), 200, JSON)

    def listed(self) -> list[dict[str, Any]]:
        def model(name: str, *methods: str, **more: Any) -> dict[str, Any]:
            return {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name.title(),
                "description": "…",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536,
                "supportedGenerationMethods": list(methods),
            } | more

        return [
            model(self.model, "generateContent", "countTokens", thinking=True),
            model("gemma-3-4b-it", "generateContent", inputTokenLimit=32768),
            model("gemini-embedding-001", "embedContent", inputTokenLimit=2048),
        ]

    def asked(self, request: WireRequest) -> ChatRequest:
        found = MODEL_PATH.fullmatch(request.path)
        assert found is not None
        body = request.json()
        assert body.keys() <= FIELDS, body.keys()
        messages = [asked_system(body["systemInstruction"])] if "systemInstruction" in body else []
        assert body["contents"], "contents are not specified"
        for content in body["contents"]:
            messages.extend(asked_messages(content))
        (tools,) = body.get("tools", [{"functionDeclarations": []}])
        config = dict(body.get("generationConfig", {}))
        return ChatRequest(
            model=unquote(found[1]),
            messages=tuple(messages),
            tools=tuple(map(asked_tool, tools["functionDeclarations"])),
            tool_choice=body.get("toolConfig"),
            response_format=asked_format(config),
            stop=tuple(config.pop("stopSequences", ())),
            **{CONFIG[name]: value for name, value in config.items()},
        )

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        parts = [
            *({"text": piece, "thought": True} for piece in answer.reasoning),
            *({"text": piece} for piece in answer.text),
        ]
        if answer.tool_calls:
            parts.append({"calls": [called(call) for call in answer.tool_calls]})
        if not MODEL_PATH.fullmatch(request.path)[2].startswith("stream"):
            flat = [inner for part in parts for inner in part.get("calls", [part])]
            return Reply((encoded(self.event(flat, answer, last=True)),), 200, JSON)
        assert request.target.endswith("?alt=sse")
        pieces = [part.get("calls", [part]) for part in parts]
        events = [self.event(piece, answer) for piece in pieces]
        events.append(self.event([{"text": ""}], answer, last=True))
        return Reply(tuple(self.frame(encoded(event)) for event in events), 200, SSE)

    def event(
        self, parts: list[dict[str, Any]], answer: Answer, *, last: bool = False
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = FINISH[answer.finish_reason]
        event = {"candidates": [candidate], "modelVersion": self.model, "responseId": "r1"}
        if answer.usage is not None:
            prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
            counts = {"promptTokenCount": prompt, "totalTokenCount": prompt}
            if last:
                thoughts = completion // 2
                counts |= {
                    "candidatesTokenCount": completion - thoughts,
                    "thoughtsTokenCount": thoughts,
                    "totalTokenCount": prompt + completion,
                    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
                }
            event["usageMetadata"] = counts
        return event

    def frame(self, payload: bytes) -> bytes:
        return b"data: " + payload + b"\r\n\r\n"

    def failure(self, status: int, message: str) -> Reply:
        return Reply((encoded(self.error(status, message)),), status, JSON)

    def error(self, status: int, message: str, *details: dict[str, Any]) -> dict[str, Any]:
        error: dict[str, Any] = {"code": status, "message": message}
        error["status"] = STATUSES.get(status, "UNKNOWN")
        if details:
            error["details"] = list(details)
        return {"error": error}

    def failure_midway(self, message: str) -> bytes:
        return self.frame(encoded(self.error(503, message)))

    def asked_texts(self, request: WireRequest) -> list[str]:
        found = MODEL_PATH.fullmatch(request.path)
        assert found is not None
        requests = request.json()["requests"]
        assert 1 <= len(requests) <= 100, "at most 100 requests can be in one batch"
        assert {one["model"] for one in requests} == {f"models/{unquote(found[1])}"}
        return ["".join(part["text"] for part in one["content"]["parts"]) for one in requests]

    def embeddings(self, request: WireRequest, vectors: list[list[float]]) -> Reply:
        rows = [{"values": vector} for vector in vectors]
        return Reply((encoded({"embeddings": rows}),), 200, JSON)


def asked_system(content: dict[str, Any]) -> Message:
    (part,) = content["parts"]
    return Message(role="system", content=part["text"])


def asked_messages(content: dict[str, Any]) -> list[Message]:
    assert content["role"] in ("user", "model")
    parts = content["parts"]
    assert parts, "parts must not be empty"
    for part in parts:
        kinds = {"text", "inlineData", "functionCall", "functionResponse"} & part.keys()
        assert len(kinds) == 1, "required oneof field 'data' must have one initialized field"
        if "inlineData" in part:
            b64decode(part["inlineData"]["data"], validate=True)
    if "functionResponse" in parts[0]:
        return [asked_result(part["functionResponse"]) for part in parts]
    role = "assistant" if content["role"] == "model" else "user"
    calls = tuple(asked_call(part) for part in parts if "functionCall" in part)
    text = "".join(part["text"] for part in parts if "text" in part)
    return [Message(role=role, content=None if calls and not text else text, tool_calls=calls)]


def asked_call(part: dict[str, Any]) -> ToolCall:
    call = part["functionCall"]
    assert isinstance(call["args"], dict), "args is a Struct"
    return ToolCall(call.get("id", ""), FunctionCall(call["name"], json.dumps(call["args"])))


def asked_result(result: dict[str, Any]) -> Message:
    assert isinstance(result["response"], dict), "response is a Struct"
    return Message(
        role="tool",
        content=result["response"]["output"],
        tool_call_id=result.get("id"),
        name=result["name"],
    )


def asked_tool(tool: dict[str, Any]) -> Tool:
    assert FUNCTION_NAME.fullmatch(tool["name"]), "Invalid function name"
    assert "parameters" not in tool, "a JSON Schema goes to parametersJsonSchema"
    # Google takes both spellings of every field, and its own client sends this one so
    schema = tool.get("parametersJsonSchema", tool.get("parameters_json_schema"))
    return Tool(tool["name"], tool.get("description", ""), schema)


def asked_format(config: dict[str, Any]) -> dict[str, Any] | None:
    media_type = config.pop("responseMimeType", None)
    schema = config.pop("responseJsonSchema", None)
    assert schema is None or media_type == "application/json"
    if media_type is None:
        return None
    if schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "?", "schema": schema}}


def called(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.function.arguments)
    function: dict[str, Any] = {"name": call.function.name}
    return {"functionCall": function | ({"args": arguments} if arguments else {})}


@pytest.fixture
def gemini_wire() -> GeminiWire:
    return GeminiWire()
