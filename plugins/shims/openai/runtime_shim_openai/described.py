"""How the API's description shows what is written without a type of its own."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from runtime_core.types import FinishReason, ToolCall

__all__ = ("EXAMPLE", "Completion", "OpenAIError")

EXAMPLE = {"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]}


class OpenAIErrorBody(Struct, frozen=True):
    """What went wrong; ``param`` names the field at fault, null when there is none."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(Struct, frozen=True):
    """The answer to a request that fails, in the shape that OpenAI's clients read."""

    error: OpenAIErrorBody


class CompletionMessage(Struct, frozen=True):
    """What the model said, or the tools it asks for."""

    role: str
    content: str | list[Any] | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class CompletionChoice(Struct, frozen=True):
    """The one answer."""

    index: int
    message: CompletionMessage
    finish_reason: FinishReason


class CompletionUsage(Struct, frozen=True):
    """Tokens, as the backend counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Struct, frozen=True):
    """A whole answer; ``created`` in unix seconds, ``stackTrace`` (the steps) when asked for."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    stackTrace: list[dict[str, Any]] | UnsetType = UNSET
