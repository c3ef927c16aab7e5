"""What is sent: request bodies in the wire's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.types import ChatRequest, Message, Tool

__all__ = ("MaxTokensField", "encode_chat", "encode_embeddings")

#: The two names servers know the answer's token limit by.
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

#: Fields of a request whose name and shape are the wire's own.
_SAME = (
    "temperature",
    "top_p",
    "response_format",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)

_json = msgspec.json.Encoder()


def encode_chat(
    request: ChatRequest,
    *,
    max_tokens_field: MaxTokensField = "max_tokens",
    include_usage: bool = True,
) -> bytes:
    """Return the JSON body of a chat completion; only fields that are set are sent.

    ``request.extra`` is merged last and wins.  Choices about tools are left out when there are no
    tools, because servers refuse them.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": request.stream,
    }
    if include_usage and request.stream:
        body["stream_options"] = {"include_usage": True}
    for name in _SAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_tokens is not None:
        body[max_tokens_field] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop
    if request.tools:
        _add_tools(body, request)
    body.update(request.extra)
    return _json.encode(body)


def encode_embeddings(
    model: str, texts: Sequence[str], *, extra: Mapping[str, Any] | None = None
) -> bytes:
    """Return the JSON body of an embeddings request; *extra* is merged last and wins."""
    return _json.encode(
        {"model": model, "input": list(texts), "encoding_format": "float", **(extra or {})}
    )


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = message.tool_calls
    elif message.content is None:
        body["content"] = ""  # null is for assistants that call tools; servers refuse it elsewhere
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        body["name"] = message.name
    return body


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
