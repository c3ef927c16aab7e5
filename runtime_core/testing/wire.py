"""How a model service speaks over HTTP, as pure functions that its imitation is made of.

A wire is written from the service's own documentation, never from the provider it will judge.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Struct, field

from runtime_core.types import ChatRequest, FinishReason, ToolCall, Usage

__all__ = ("Answer", "ChatWire", "EmbeddingWire", "Reply", "WireRequest")


class WireRequest(Struct, frozen=True):
    """A request as the service receives it: lower-case header names, the query in ``target``."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def json(self) -> Any:
        """Return the decoded body."""
        return msgspec.json.decode(self.body)


class Reply(Struct, frozen=True):
    """What the service sends back, in the frames (lines, events) that it would send one by one."""

    frames: tuple[bytes, ...]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Answer(Struct, frozen=True, kw_only=True):
    """What the model says: each piece of text in a frame of its own, then the tool calls.

    ``usage`` None means that the service does not report any.
    """

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage | None = None


class ChatWire(Protocol):
    """The protocol of a service with chat models.

    ``model`` is listed by the service.  ``base_path`` follows the address in the backend's
    ``base_url``.  ``options`` are the fields of `ChatRequest` that the protocol can carry, and
    ``finish_reasons`` those it can report.
    """

    model: str
    base_path: str
    options: frozenset[str]
    finish_reasons: frozenset[FinishReason]

    def operation(self, request: WireRequest) -> Literal["chat", "embed", "list", "other"]:
        """Tell what a request is for."""
        ...

    def other(self, request: WireRequest) -> Reply:
        """Answer what is neither chat nor embedding, the listing of models above all."""
        ...

    def asked(self, request: WireRequest) -> ChatRequest:
        """Decode a chat request, and complain if the service would."""
        ...

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        """Encode an answer to *request*."""
        ...

    def frame(self, payload: bytes) -> bytes:
        """Wrap arbitrary bytes as one frame of a stream."""
        ...

    def failure(self, status: int, message: str) -> Reply:
        """Encode a refusal."""
        ...

    def failure_midway(self, message: str) -> bytes:
        """Encode the frame that reports a failure after a stream has begun."""
        ...


@runtime_checkable
class EmbeddingWire(Protocol):
    """The protocol of a service that also has embedding models."""

    def asked_texts(self, request: WireRequest) -> list[str]:
        """Decode the texts of an embedding request."""
        ...

    def embeddings(self, request: WireRequest, vectors: list[list[float]]) -> Reply:
        """Encode the vectors of an embedding request."""
        ...
