"""Values at the edges of a run: what clients send, what they get back, what prompts read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

import msgspec

from runtime_core.errors import TaskFailed, Unprocessable
from runtime_core.types import (
    DATA_TYPES,
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    DataType,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
    Usage,
    Value,
    text_of,
)
from runtime_core.types.interchange import (
    chat_request_to_wire,
    completion_from_wire,
    completion_to_wire,
    history_from_wire,
    history_to_wire,
    message_to_wire,
    read_chat_body,
    tool_call_to_wire,
    tool_to_wire,
    usage_to_wire,
)
from runtime_core.types.validation import validation_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("json_text", "prompt_text", "text_of_value", "to_value", "wire_output")

# -------------------------------------------------------------------------
# What clients send
# -------------------------------------------------------------------------


def to_value(data: object, input_type: str | None = None) -> Value:
    """Turn a client's ``input`` into the value a chain starts with.

    ``input_type`` is any case; None or "" means ``string`` for a string and ``json`` otherwise.

    :raises Unprocessable: an unknown type (``param`` is ``inputType``), or data that does not
        have the type's shape (``param`` starts with ``input``).
    """
    if not input_type:
        return Value(data, "string" if isinstance(data, str) else "json")
    name = input_type.strip().lower()
    if name not in DATA_TYPES:
        known = ", ".join(sorted(DATA_TYPES))
        message = f"inputType: unknown type {input_type!r}: use one of {known}"
        raise Unprocessable(message, param="inputType")
    convert = _CONVERSIONS.get(name)
    return Value(data if convert is None else convert(data), cast("DataType", name))


def _to_string(data: object) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, dict):
        if isinstance(text := data.get("value"), str):
            return text
        return json_text(data, sort=True)
    return json_text(data)


def _to_bool(data: object) -> bool:
    if isinstance(data, str):
        return data in {"1", "t", "T", "TRUE", "true", "True"}
    return isinstance(data, (bool, int, float)) and data != 0


_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
#: Longer than any 64-bit integer; Python refuses to parse thousands of digits.
_DIGITS = 20


def _to_int(data: object) -> int:
    if isinstance(data, bool):
        return 0
    if isinstance(data, str):
        return int(data) if len(data) <= _DIGITS and _INTEGER.fullmatch(data) else 0
    if isinstance(data, (int, float)):
        return int(data) if math.isfinite(data) else 0
    return 0


def _to_float(data: object) -> float:
    if isinstance(data, bool):
        return 0.0
    if isinstance(data, str):
        number = float(data) if _DECIMAL.fullmatch(data) else 0.0
    elif isinstance(data, float) or (isinstance(data, int) and abs(data) < 2**1023):
        number = float(data)
    else:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _to_completion(data: object) -> ChatCompletion:
    if data is None:
        raise Unprocessable("input: expected an object, got null", param="input")
    return completion_from_wire(data, prefix="input.")


class _SearchResult(msgspec.Struct):
    id: str
    type: str = ""
    distance: float = 0.0


def _to_search_results(data: object) -> list[dict[str, Any]]:
    try:
        results = msgspec.convert([] if data is None else data, list[_SearchResult])
    except msgspec.ValidationError as error:
        raise validation_error(error, prefix="input.") from error
    return [msgspec.structs.asdict(result) for result in results]


_CONVERSIONS: dict[str, Callable[[object], object]] = {
    "string": _to_string,
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "chat_history": lambda data: history_from_wire(data, prefix="input."),
    "openai_chat": lambda data: read_chat_body(data, prefix="input.").request,
    "openai_chat_response": _to_completion,
    "search_results": _to_search_results,
}

# -------------------------------------------------------------------------
# What clients get back
# -------------------------------------------------------------------------


def wire_output(value: Value) -> Any:
    """Return the JSON data that stands for a value in an answer."""
    return _plain(value.data)


def _plain(data: object) -> Any:
    write = _TO_WIRE.get(type(data))
    return data if write is None else write(data)


_TO_WIRE: dict[type, Callable[[Any], Any]] = {
    ChatHistory: history_to_wire,
    ChatRequest: chat_request_to_wire,
    ChatCompletion: completion_to_wire,
    Message: message_to_wire,
    Tool: tool_to_wire,
    ToolCall: tool_call_to_wire,
    FunctionCall: msgspec.structs.asdict,
    Usage: usage_to_wire,
}

# -------------------------------------------------------------------------
# What prompts and templates read
# -------------------------------------------------------------------------


def prompt_text(value: Value) -> str:
    """Return the text a model, or a parser, is given for a value.

    A conversation stands for the text of its last message; a float has six decimals.

    :raises TaskFailed: a value of this type has no prompt text.
    """
    write = _PROMPTS.get(value.type)
    if write is None:
        raise TaskFailed(
            f"a value of type {value.type} cannot be a prompt: use prompt_template to turn it "
            "into text, for example {{json .input}}"
        )
    return write(value.data)


def _last_text(data: ChatHistory | ChatRequest) -> str:
    return text_of(data.messages[-1]) if data.messages else ""


_PROMPTS: dict[str, Callable[[Any], str]] = {
    "string": str,
    "int": str,
    "float": "{:.6f}".format,
    "bool": lambda data: "true" if data else "false",
    "chat_history": _last_text,
    "openai_chat": _last_text,
}


def text_of_value(value: Value) -> str:
    """Return a value as text: a string as it is, everything else as JSON's own text."""
    return value.data if isinstance(value.data, str) else json_text(value.data)


def json_text(data: object, *, sort: bool = False) -> str:
    """Return *data* as compact JSON text; whole floats without ``.0``.

    Conversations and completions have their wire shapes; *sort* orders the keys of objects.
    """
    if data is None:
        return "null"
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, int):
        return str(data)
    try:
        plain = _whole(data)
        encoded = msgspec.json.encode(
            plain, enc_hook=_encode_unknown, order="sorted" if sort else None
        )
    except RecursionError as error:
        raise TaskFailed("the value is nested too deeply to be written as JSON") from error
    return encoded.decode()


def _encode_unknown(data: object) -> Any:
    plain = _plain(data)
    if plain is data:
        raise TaskFailed(f"a {type(data).__name__} is not JSON data")
    return plain


#: From here on, floats are written with an exponent anyway.
_LARGEST_PLAIN = 1e21


def _whole(data: object) -> Any:
    """Replace whole floats by integers; what holds none is returned as it is, uncopied."""
    if isinstance(data, float):
        return int(data) if data.is_integer() and abs(data) < _LARGEST_PLAIN else data
    if isinstance(data, dict):
        return _whole_members(data)
    if isinstance(data, (list, tuple)):
        changed = [_whole(item) for item in data]
        return changed if any(map(_is_not, changed, data)) else data
    plain = _plain(data)
    return data if plain is data else _whole(plain)


def _whole_members(data: dict[Any, Any]) -> dict[Any, Any]:
    changed = {key: _whole(value) for key, value in data.items()}
    return changed if any(map(_is_not, changed.values(), data.values())) else data


def _is_not(one: object, other: object) -> bool:
    return one is not other
