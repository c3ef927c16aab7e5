"""Structs that msgspec decodes the conversation's wire shapes into; private to `interchange`.

Whole numbers are read as ``int | float`` because clients write ``1.0``.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from runtime_core.types.chat import FinishReason, Role

__all__ = (
    "WireBody",
    "WireCompletion",
    "WireHistory",
    "WireMessage",
    "WireTool",
    "WireToolCall",
)


class WireFunctionCall(Struct):
    """The function of a tool call."""

    name: str
    arguments: str | None = None


class WireToolCall(Struct):
    """A tool call of a message."""

    function: WireFunctionCall
    id: str = ""
    type: Literal["function", ""] | None = None


class WireMessage(Struct):
    """A message of a request (``tool_calls``) or of a history (``callTools``)."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[WireToolCall] | None = None
    callTools: list[WireToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    id: str | None = None
    timestamp: str | None = None


class WireFunction(Struct):
    """The function a tool describes."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class WireTool(Struct):
    """A tool of a request."""

    function: WireFunction | None = None
    type: str | None = None


class WireStreamOptions(Struct):
    """How a stream is to be sent."""

    include_usage: bool | None = None


class WireBody(Struct):
    """The body of a chat completion request."""

    model: str | None = None
    messages: list[WireMessage] | None = None
    tools: list[WireTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    stop: str | list[str] | None = None
    seed: int | float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream: bool | None = None
    stream_options: WireStreamOptions | None = None


class WireHistory(Struct):
    """A chat history."""

    messages: list[WireMessage] | None = None
    model: str | None = None
    inputTokens: int | float | None = None
    outputTokens: int | float | None = None


class WireChoice(Struct):
    """One choice of a completion."""

    message: WireMessage
    finish_reason: FinishReason | None = None


class WireUsage(Struct):
    """Token counts of a completion."""

    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None


class WireCompletion(Struct):
    """A chat completion."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
