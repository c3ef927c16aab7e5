"""How OpenAI speaks, for the conformance suite of providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from runtime_core.testing import Reply
from runtime_openai_wire._fake_answers import Script, event, events
from runtime_openai_wire._fake_requests import chat_request, check_chat, check_embeddings

if TYPE_CHECKING:
    from runtime_core.testing import Answer, WireRequest
    from runtime_core.types import ChatRequest, FinishReason

__all__ = ("OpenAIWire",)


class OpenAIWire:
    """A `runtime_core.testing.ChatWire` and `EmbeddingWire` that speaks OpenAI's protocol.

    :param base_path: what follows the address in a backend's ``base_url``.
    :param max_tokens_field: the name under which the answer's token limit must come.
    """

    model = "gpt-fake"
    options = frozenset(
        {
            "frequency_penalty",
            "max_tokens",
            "presence_penalty",
            "response_format",
            "seed",
            "stop",
            "temperature",
            "tools",
            "top_p",
        }
    )
    finish_reasons: frozenset[FinishReason] = frozenset(
        {"stop", "length", "tool_calls", "content_filter"}
    )

    def __init__(self, base_path: str = "/v1", max_tokens_field: str = "max_tokens") -> None:
        self.base_path = base_path
        self._wrong = {"max_tokens", "max_completion_tokens"} - {max_tokens_field}

    def operation(self, request: WireRequest) -> Literal["chat", "embed", "list", "other"]:
        """Tell what a request is for."""
        paths: dict[str, Literal["chat", "embed", "list"]] = {
            f"{self.base_path}/chat/completions": "chat",
            f"{self.base_path}/embeddings": "embed",
            f"{self.base_path}/models": "list",
        }
        return paths.get(request.path, "other")

    def other(self, request: WireRequest) -> Reply:
        """List the model, or refuse."""
        if self.operation(request) != "list":
            return self.failure(404, f"Invalid URL ({request.method} {request.path})")
        return _json({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    def asked(self, request: WireRequest) -> ChatRequest:
        """Decode a chat request."""
        body = request.json()
        check_chat(body, (body["model"],))
        assert not self._wrong & body.keys(), f"{self._wrong} was sent"
        return chat_request(body)

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        """Encode an answer."""
        script = Script(
            pieces=answer.text,
            reasoning=answer.reasoning,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
        )
        frames = tuple(frame for _, frame in events(request.json(), script))
        return Reply(frames, 200, {"content-type": "text/event-stream"})

    def frame(self, payload: bytes) -> bytes:
        """Wrap bytes as an event."""
        return event(payload)

    def failure(self, status: int, message: str) -> Reply:
        """Encode a refusal."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return _json(_error(message, kind), status)

    def failure_midway(self, message: str) -> bytes:
        """Encode the event of a failure."""
        return event(_error(message, "server_error"))

    def asked_texts(self, request: WireRequest) -> list[str]:
        """Decode the texts of an embedding request."""
        return check_embeddings(request.json(), (self.model,))

    def embeddings(self, request: WireRequest, vectors: list[list[float]]) -> Reply:
        """Encode vectors, not in the order of the texts."""
        rows = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        return _json({"object": "list", "model": self.model, "data": rows[::-1]})


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _json(body: Any, status: int = 200) -> Reply:
    return Reply((msgspec.json.encode(body),), status, {"content-type": "application/json"})
