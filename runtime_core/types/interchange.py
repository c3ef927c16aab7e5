"""The wire shapes of conversations: the chat request, the history, the completion.

Pure functions, and public: whatever speaks a chat protocol to clients decodes and encodes with
these.  What cannot be read raises `Unprocessable` whose ``param`` is the path of the field at
fault, for example ``messages.0.role``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from runtime_core.errors import InvalidRequest, Unprocessable
from runtime_core.types._wire import (
    WireBody,
    WireCompletion,
    WireHistory,
    WireMessage,
    WireTool,
    WireToolCall,
)
from runtime_core.types.chat import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
    Usage,
)
from runtime_core.types.validation import validation_error

__all__ = (
    "ZERO_TIME",
    "ChatBody",
    "WireBody",
    "chat_request_to_wire",
    "completion_from_history",
    "completion_from_wire",
    "completion_to_wire",
    "history_from_wire",
    "history_to_wire",
    "message_to_wire",
    "new_completion_id",
    "read_chat_body",
    "tool_call_to_wire",
    "tool_to_wire",
    "usage_to_wire",
)

T = TypeVar("T")

#: What a history's message without a time carries on the wire.
ZERO_TIME = "0001-01-01T00:00:00Z"


class ChatBody(Struct, frozen=True):
    """A decoded chat request, and how its answer is to be delivered."""

    request: ChatRequest
    stream: bool = False
    include_usage: bool = False


# -------------------------------------------------------------------------
# Requests
# -------------------------------------------------------------------------

_BODY: msgspec.json.Decoder[WireBody] = msgspec.json.Decoder(WireBody)


def read_chat_body(data: object, *, prefix: str = "") -> ChatBody:
    """Read the body of a chat completion request: JSON bytes, or JSON already decoded.

    Unknown fields are ignored; ``1.0`` is a whole number; ``prefix`` starts every ``param``.

    :raises InvalidRequest: the bytes are not JSON.
    :raises Unprocessable: a field is missing or has a wrong value.
    """
    wire = _decode(data, _BODY, WireBody, prefix)
    request = ChatRequest(
        model=wire.model or "",
        messages=_messages(wire.messages or (), f"{prefix}messages"),
        tools=_tools(wire.tools or (), f"{prefix}tools"),
        tool_choice=wire.tool_choice,
        parallel_tool_calls=wire.parallel_tool_calls,
        response_format=wire.response_format,
        temperature=wire.temperature,
        top_p=wire.top_p,
        max_tokens=_first_whole(
            (f"{prefix}max_completion_tokens", wire.max_completion_tokens),
            (f"{prefix}max_tokens", wire.max_tokens),
        ),
        stop=_stop(wire.stop),
        seed=_first_whole((f"{prefix}seed", wire.seed)),
        presence_penalty=wire.presence_penalty,
        frequency_penalty=wire.frequency_penalty,
    )
    options = wire.stream_options
    usage = options is not None and options.include_usage is True
    return ChatBody(request, stream=wire.stream is True, include_usage=usage)


def chat_request_to_wire(request: ChatRequest) -> dict[str, Any]:
    """Write a chat request as a client would send it; fields that are not set are left out."""
    wire: dict[str, Any] = {
        "model": request.model,
        "messages": [_request_message_to_wire(message) for message in request.messages],
    }
    if request.tools:
        wire["tools"] = [tool_to_wire(tool) for tool in request.tools]
    if request.stop:
        wire["stop"] = list(request.stop)
    for name in _OPTIONAL:
        if (value := getattr(request, name)) is not None:
            wire[name] = value
    return wire | request.extra


_OPTIONAL = (
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)


def tool_to_wire(tool: Tool) -> dict[str, Any]:
    """Write a tool as a chat request offers it."""
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def tool_call_to_wire(call: ToolCall) -> dict[str, Any]:
    """Write a tool call as messages carry it."""
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": call.type, "function": function}


def _request_message_to_wire(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [tool_call_to_wire(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        wire["name"] = message.name
    return wire


# -------------------------------------------------------------------------
# Histories
# -------------------------------------------------------------------------

_HISTORY: msgspec.json.Decoder[WireHistory] = msgspec.json.Decoder(WireHistory)


def history_from_wire(data: object, *, prefix: str = "") -> ChatHistory:
    """Read a chat history: JSON bytes, or JSON already decoded; None is an empty one.

    :raises InvalidRequest: the bytes are not JSON.
    :raises Unprocessable: a field is missing or has a wrong value.
    """
    if data is None:
        return ChatHistory()
    wire = _decode(data, _HISTORY, WireHistory, prefix)
    return ChatHistory(
        messages=_messages(wire.messages or (), f"{prefix}messages"),
        model=wire.model or "",
        input_tokens=_first_whole((f"{prefix}inputTokens", wire.inputTokens)) or 0,
        output_tokens=_first_whole((f"{prefix}outputTokens", wire.outputTokens)) or 0,
    )


def history_to_wire(history: ChatHistory) -> dict[str, Any]:
    """Write a chat history (camelCase ``callTools`` next to ``tool_call_id``)."""
    return {
        "messages": [message_to_wire(message) for message in history.messages],
        "model": history.model,
        "inputTokens": history.input_tokens,
        "outputTokens": history.output_tokens,
    }


def message_to_wire(message: Message) -> dict[str, Any]:
    """Write a message as histories carry it."""
    wire: dict[str, Any] = {"id": message.id, "role": message.role}
    if message.content:
        wire["content"] = message.content
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    if message.name:
        wire["name"] = message.name
    if message.tool_calls:
        wire["callTools"] = [tool_call_to_wire(call) for call in message.tool_calls]
    wire["timestamp"] = message.timestamp or ZERO_TIME
    return wire


# -------------------------------------------------------------------------
# Completions
# -------------------------------------------------------------------------

_COMPLETION: msgspec.json.Decoder[WireCompletion] = msgspec.json.Decoder(WireCompletion)


def new_completion_id() -> str:
    """Return a fresh completion id: ``chatcmpl-<unix nanoseconds>-<4 hex digits>``."""
    return f"chatcmpl-{time.time_ns()}-{secrets.token_hex(2)}"


def completion_from_history(
    history: ChatHistory, *, completion_id: str | None = None, created: int | None = None
) -> ChatCompletion:
    """Turn the last message of a history into a completion; ``created`` is in unix seconds."""
    message = history.messages[-1] if history.messages else None
    reason = history.finish_reason or "stop"
    if message is not None and message.tool_calls:
        reason = "tool_calls"
    elif reason == "tool_calls":
        reason = "stop"
    return ChatCompletion(
        id=completion_id or new_completion_id(),
        created=int(time.time()) if created is None else created,
        model=history.model,
        message=message,
        finish_reason=reason,
        usage=Usage(
            history.earlier.prompt_tokens + history.input_tokens,
            history.earlier.completion_tokens + history.output_tokens,
        ),
    )


def completion_to_wire(completion: ChatCompletion) -> dict[str, Any]:
    """Write a completion as chat clients read it; no message means no choices."""
    message = completion.message
    choices = []
    if message is not None:
        choices.append(
            {
                "index": 0,
                "message": _answer_to_wire(message),
                "finish_reason": completion.finish_reason,
            }
        )
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": choices,
        "usage": usage_to_wire(completion.usage),
    }


def usage_to_wire(usage: Usage) -> dict[str, int]:
    """Write token counts as completions carry them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _answer_to_wire(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role}
    if message.content or not message.tool_calls:
        wire["content"] = message.content or ""
    if message.tool_calls:
        wire["tool_calls"] = [tool_call_to_wire(call) for call in message.tool_calls]
    return wire


def completion_from_wire(data: object, *, prefix: str = "") -> ChatCompletion:
    """Read a completion: JSON bytes, or JSON already decoded; the first choice counts.

    :raises InvalidRequest: the bytes are not JSON.
    :raises Unprocessable: a field is missing or has a wrong value.
    """
    wire = _decode(data, _COMPLETION, WireCompletion, prefix)
    choice = wire.choices[0] if wire.choices else None
    path = f"{prefix}choices.0.message"
    usage = Usage()
    if wire.usage is not None:
        usage = Usage(
            _first_whole((f"{prefix}usage.prompt_tokens", wire.usage.prompt_tokens)) or 0,
            _first_whole((f"{prefix}usage.completion_tokens", wire.usage.completion_tokens)) or 0,
        )
    return ChatCompletion(
        id=wire.id or "",
        created=_first_whole((f"{prefix}created", wire.created)) or 0,
        model=wire.model or "",
        message=None if choice is None else _message(choice.message, path),
        finish_reason=(choice and choice.finish_reason) or "stop",
        usage=usage,
    )


# -------------------------------------------------------------------------
# Pieces
# -------------------------------------------------------------------------


def _messages(wire: Sequence[WireMessage], path: str) -> tuple[Message, ...]:
    return tuple([_message(message, f"{path}.{i}") for i, message in enumerate(wire)])


def _message(wire: WireMessage, path: str) -> Message:
    if isinstance(wire.content, list):
        _check_parts(wire.content, path)
    timestamp = wire.timestamp or ""
    return Message(
        role=wire.role,
        content=wire.content,
        tool_calls=_tool_calls(wire.tool_calls or wire.callTools or ()),
        tool_call_id=wire.tool_call_id or None,
        name=wire.name or None,
        id=wire.id or "",
        timestamp="" if timestamp == ZERO_TIME else timestamp,
    )


def _check_parts(parts: list[dict[str, Any]], path: str) -> None:
    for i, part in enumerate(parts):
        kind = part.get("type")
        if not isinstance(kind, str) or not kind:
            param = f"{path}.content.{i}.type"
            raise Unprocessable(f"{param}: a content part needs a type, e.g. text", param=param)
        if kind == "text" and not isinstance(part.get("text"), str):
            param = f"{path}.content.{i}.text"
            raise Unprocessable(f"{param}: a text part needs its text, a string", param=param)


def _tool_calls(wire: Sequence[WireToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        [
            ToolCall(call.id, FunctionCall(call.function.name, call.function.arguments or ""))
            for call in wire
        ]
    )


def _tools(wire: Sequence[WireTool], path: str) -> tuple[Tool, ...]:
    tools = []
    for i, tool in enumerate(wire):
        function = tool.function
        if tool.type not in (None, "function") or function is None:
            param = f"{path}.{i}.type" if function is not None else f"{path}.{i}.function"
            message = f"{param}: only tools of type function are offered to models"
            raise Unprocessable(message, param=param)
        tools.append(
            Tool(function.name, function.description or "", function.parameters, function.strict)
        )
    return tuple(tools)


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _first_whole(*fields: tuple[str, int | float | None]) -> int | None:
    """Return the first field that is set, as a whole number."""
    for param, number in fields:
        if isinstance(number, float):
            if not number.is_integer():
                message = f"{param}: expected a whole number, got {number}"
                raise Unprocessable(message, param=param)
            return int(number)
        if number is not None:
            return number
    return None


def _decode(data: object, decoder: msgspec.json.Decoder[T], shape: type[T], prefix: str) -> T:
    try:
        if isinstance(data, (bytes, bytearray, memoryview)):
            return decoder.decode(data)
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise validation_error(error, prefix=prefix) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
