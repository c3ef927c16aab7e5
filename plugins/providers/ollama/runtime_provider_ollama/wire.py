"""Ollama's JSON, in and out."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from runtime_core.errors import InvalidRequest, UpstreamProtocolError
from runtime_core.types import (
    ChatChunk,
    ChatRequest,
    FinishReason,
    Message,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
    text_of,
)

__all__ = ("AnswerReader", "ChatLine", "chat_body")

#: Our names of sampling options, and Ollama's.
_OPTIONS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("max_tokens", "num_predict"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)


# -- requests -------------------------------------------------------------


def chat_body(request: ChatRequest, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the body of ``POST /api/chat``.

    :param defaults: the backend's ``keep_alive``, ``think`` and model ``options``.
    :raises InvalidRequest: the request holds what Ollama cannot be told.
    """
    body: dict[str, Any] = {**defaults, "model": request.model, "stream": True}
    body["messages"] = _messages(request.messages)
    if tools := _offered(request):
        body["tools"] = [_tool(tool) for tool in tools]
    answer_format = _format(request.response_format)
    if answer_format is not None:
        body["format"] = answer_format
    extra = dict(request.extra)
    options = (defaults.get("options") or {}) | _options(request)
    options |= extra.pop("options", None) or {}
    if options:
        body["options"] = options
    return body | extra


def _options(request: ChatRequest) -> dict[str, Any]:
    given = {theirs: getattr(request, ours) for ours, theirs in _OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _format(response_format: dict[str, Any] | None) -> Any:
    kind = (response_format or {}).get("type")
    if kind == "json_object":
        return "json"
    if response_format and kind == "json_schema":
        return (response_format.get("json_schema") or {}).get("schema") or "json"
    return None


def _offered(request: ChatRequest) -> tuple[Tool, ...]:
    """Return the tools to offer; Ollama has no ``tool_choice``, so a choice narrows the offer."""
    if request.tool_choice == "none":
        return ()
    if isinstance(request.tool_choice, dict):
        chosen = (request.tool_choice.get("function") or {}).get("name")
        return tuple(tool for tool in request.tools if tool.name == chosen)
    return request.tools


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    sent = []
    for message in messages:
        names.update((call.id, call.function.name) for call in message.tool_calls)
        sent.append(_message(message, names))
    return sent


def _message(message: Message, names: dict[str, str]) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    sent: dict[str, Any] = {"role": role, "content": text_of(message)}
    if images := _images(message):
        sent["images"] = images
    if message.tool_calls:
        sent["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        # older servers know the tool's name only, newer ones the call's id too
        sent["tool_call_id"] = message.tool_call_id
        sent["tool_name"] = message.name or names.get(message.tool_call_id, "")
    return sent


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise InvalidRequest(
            f"The arguments of the tool call {call.id!r} are not a JSON object: {exc}",
            param="messages",
        ) from exc
    return {"id": call.id, "function": {"name": call.function.name, "arguments": arguments}}


def _images(message: Message) -> list[str]:
    """Return a message's images in base64, which is all that Ollama takes."""
    if not isinstance(message.content, list):
        return []
    return [_image(part) for part in message.content if part.get("type") != "text"]


def _image(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if part.get("type") != "image_url" or not isinstance(url, str):
        raise InvalidRequest(
            f"Ollama takes text and image_url parts, not {part.get('type')!r}.", param="messages"
        )
    head, found, data = url.partition(";base64,")
    if not (found and head.startswith("data:")):
        raise InvalidRequest(
            "Ollama takes images as data: URLs in base64 only; send the image itself.",
            param="messages",
        )
    return data


# -- answers --------------------------------------------------------------


class _Function(Struct):
    name: str
    arguments: dict[str, Any] | None = None


class _Call(Struct):
    function: _Function
    id: str = ""


class _Said(Struct):
    content: str | None = ""
    thinking: str | None = ""
    tool_calls: list[_Call] | None = None


class ChatLine(Struct):
    """One line of the answer to ``POST /api/chat``."""

    message: _Said | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: str | dict[str, Any] | None = None

    @property
    def error_text(self) -> str:
        """The error as Ollama, or a proxy before it, words it."""
        if isinstance(self.error, dict):
            return str(self.error.get("message", self.error))
        return self.error or ""


class AnswerReader:
    """Turns the lines of one answer into chunks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls = 0
        self._ids: set[str] = set()

    def chunk(self, line: ChatLine) -> ChatChunk:
        """Return what *line* says; the last one has the finish reason.

        :raises UpstreamProtocolError: the line says nothing at all.
        """
        said = line.message
        if said is None:
            if not line.done:
                raise UpstreamProtocolError(
                    f"{self._name} sent a line with neither a message nor an end; is its address "
                    f"that of an Ollama server?"
                )
            said = _Said()
        calls = tuple(map(self._delta, said.tool_calls)) if said.tool_calls else ()
        return ChatChunk(
            said.content or "",
            calls,
            self._finish_reason(line) if line.done else None,
            _usage(line) if line.done else None,
            said.thinking or "",
        )

    def _delta(self, call: _Call) -> ToolCallDelta:
        index = self._calls
        self._calls += 1
        # most versions give no ids, and some the same one to each call
        unique = call.id if call.id and call.id not in self._ids else f"call_{uuid4().hex}"
        self._ids.add(unique)
        arguments = msgspec.json.encode(call.function.arguments or {}).decode()
        return ToolCallDelta(index, unique, call.function.name, arguments)

    def _finish_reason(self, line: ChatLine) -> FinishReason:
        if line.done_reason == "length":
            return "length"
        # "load" and "unload" answer an empty conversation: nothing was said, and that is the end
        return "tool_calls" if self._calls else "stop"


def _usage(line: ChatLine) -> Usage | None:
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(line.prompt_eval_count or 0, line.eval_count or 0)
