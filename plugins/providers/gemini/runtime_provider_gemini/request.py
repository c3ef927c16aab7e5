"""What is sent: conversations in Gemini's shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime_core.errors import InvalidRequest
from runtime_core.types import text_of
from runtime_provider_gemini.signatures import wants_signatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.types import ChatRequest, ContentPart, Message, Tool, ToolCall
    from runtime_provider_gemini.options import GeminiOptions
    from runtime_provider_gemini.signatures import Signatures

__all__ = ("encode_chat", "encode_embeddings")

#: Our names of sampling options, and Gemini's.
_SAMPLING: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("max_tokens", "maxOutputTokens"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_URL_FIELDS: Final = {"image_url": "url", "file": "file_data"}
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,")

_json = msgspec.json.Encoder()


def encode_chat(request: ChatRequest, options: GeminiOptions, signatures: Signatures) -> bytes:
    """Return the JSON body of ``:streamGenerateContent``; only what is set is sent.

    ``request.extra`` is merged last and wins, its ``generationConfig`` field by field.

    :raises InvalidRequest: the request holds what Gemini cannot be told.
    """
    body = _conversation(request, signatures)
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        if request.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _tool_choice(request.tool_choice)}
    if options.safety_settings:
        body["safetySettings"] = options.safety_settings
    config = options.generation_config | _generation_config(request)
    extra = dict(request.extra)
    config |= extra.pop("generationConfig", None) or {}
    if config:
        body["generationConfig"] = config
    return _json.encode(body | extra)


def encode_embeddings(path: str, texts: Sequence[str], options: GeminiOptions) -> bytes:
    """Return the JSON body of ``:batchEmbedContents``.

    :param path: the model's resource name, such as ``models/gemini-embedding-001``.
    """
    same: dict[str, Any] = {"model": path}
    if options.embed_dimensions is not None:
        same["outputDimensionality"] = options.embed_dimensions
    if options.embed_task_type:
        same["taskType"] = options.embed_task_type
    return _json.encode(
        {"requests": [{**same, "content": {"parts": [{"text": text}]}} for text in texts]}
    )


# -- the conversation ------------------------------------------------------


def _conversation(request: ChatRequest, signatures: Signatures) -> dict[str, Any]:
    orders = [text_of(message) for message in request.messages if _is_order(message)]
    contents = _contents(request, signatures)
    parts = [{"text": "\n\n".join(orders)}]
    if not orders:
        return {"contents": contents}
    if not contents:  # which Gemini refuses
        return {"contents": [{"role": "user", "parts": parts}]}
    return {"systemInstruction": {"parts": parts}, "contents": contents}


def _is_order(message: Message) -> bool:
    return message.role in ("system", "developer")


def _contents(request: ChatRequest, signatures: Signatures) -> list[dict[str, Any]]:
    """Return the turns; the results of parallel tool calls are one turn."""
    signed = wants_signatures(request.model.removeprefix("models/"))
    names: dict[str, str] = {}
    contents: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for message in request.messages:
        if _is_order(message):
            continue
        if message.role == "tool":
            if not results:
                contents.append({"role": "user", "parts": results})
            results.append(_result(message, names))
            continue
        results = []
        names.update((call.id, call.function.name) for call in message.tool_calls)
        parts = _parts(message) + _calls(message.tool_calls, signatures, signed=signed)
        role = "model" if message.role == "assistant" else "user"
        contents.append({"role": role, "parts": parts or [{"text": ""}]})
    return contents


def _calls(
    calls: tuple[ToolCall, ...], signatures: Signatures, *, signed: bool
) -> list[dict[str, Any]]:
    """Return the parts of parallel calls; of them, models sign the first one only."""
    return [
        _call(call, signatures.of(call.id, needed=signed and call is calls[0])) for call in calls
    ]


def _call(call: ToolCall, signature: str | None) -> dict[str, Any]:
    try:
        args = msgspec.json.decode(call.function.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise InvalidRequest(
            f"The arguments of the tool call {call.id!r} are not a JSON object: {exc}",
            param="messages",
        ) from exc
    part: dict[str, Any] = {
        "functionCall": {"id": call.id, "name": call.function.name, "args": args}
    }
    if signature is not None:
        part["thoughtSignature"] = signature
    return part


def _result(message: Message, names: dict[str, str]) -> dict[str, Any]:
    call_id = message.tool_call_id or ""
    name = names.get(call_id) or message.name
    if not name:
        raise InvalidRequest(
            f"The tool result with tool_call_id {call_id!r} answers no tool call before it; send "
            "the assistant's message with that call too.",
            param="messages",
        )
    # as text: taken for an object, large numbers in it would lose their last digits
    response: dict[str, Any] = {"name": name, "response": {"output": _only_text(message)}}
    if call_id:
        response["id"] = call_id
    return {"functionResponse": response}


def _only_text(message: Message) -> str:
    if isinstance(message.content, list):
        for part in message.content:
            if part.get("type") != "text":
                raise _unusable(part, "in the results of tools, text parts")
    return text_of(message)


def _parts(message: Message) -> list[dict[str, Any]]:
    if isinstance(message.content, list):
        return [_part(part) for part in message.content]
    return [{"text": message.content}] if message.content else []


def _part(part: ContentPart) -> dict[str, Any]:
    kind = str(part.get("type"))
    if kind == "text":
        return {"text": str(part.get("text", ""))}
    held: Any = part.get(kind)
    if kind == "input_audio" and isinstance(held, dict) and isinstance(held.get("data"), str):
        return _inline(f"audio/{held.get('format', 'wav')}", held["data"])
    url = held.get(_URL_FIELDS.get(kind, "")) if isinstance(held, dict) else held
    url = url if isinstance(url, str) else ""
    head = _DATA_URL.match(url)
    if head is None:
        raise _unusable(part, "text, input_audio, and image_url or file with a data: URL in base64")
    return _inline(head[1], url[head.end() :])


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _unusable(part: ContentPart, instead: str) -> InvalidRequest:
    return InvalidRequest(
        f"Gemini cannot be sent this part of type {part.get('type')!r}; it takes {instead}.",
        param="messages",
    )


# -- what is wanted of the answer ------------------------------------------


def _generation_config(request: ChatRequest) -> dict[str, Any]:
    given = {theirs: getattr(request, ours) for ours, theirs in _SAMPLING}
    config = {name: value for name, value in given.items() if value is not None}
    if request.stop:
        config["stopSequences"] = request.stop
    kind = (request.response_format or {}).get("type")
    if request.response_format and kind in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        schema = (request.response_format.get("json_schema") or {}).get("schema")
        if schema is not None:
            config["responseJsonSchema"] = schema
    return config


def _tool(tool: Tool) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters is not None:
        declaration["parametersJsonSchema"] = tool.parameters
    return declaration


def _tool_choice(choice: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(choice, dict):
        function = choice.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return {"mode": "ANY", "allowedFunctionNames": [function["name"]]}
    elif choice in _MODES:
        return {"mode": _MODES[choice]}
    raise InvalidRequest(
        'tool_choice must be "auto", "none", "required" or '
        '{"type": "function", "function": {"name": …}} for Gemini.',
        param="tool_choice",
    )
