"""Reaching into values: the fields of JSON objects and of conversations, and nothing else.

A template never touches a Python attribute: what it can name is listed here.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import StrictUndefined, Undefined

from runtime_core.engine.values import json_text
from runtime_core.errors import TemplateFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
    Usage,
    Value,
    text_of,
)
from runtime_core.types.interchange import completion_to_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("Cell", "MissingField", "MissingVariable", "field", "item", "kind", "text", "variable")


class MissingVariable(StrictUndefined):
    """A variable that does not exist: an error wherever its value is needed."""

    __slots__ = ()


class MissingField(Undefined):
    """A field that an object does not have: false and empty where asked, an error as text."""

    __slots__ = ()


class Cell:
    """A variable of a Go template, which a block inside may assign to."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def variable(name: str, variables: Mapping[str, Value], extra: Mapping[str, object]) -> Any:
    """Return the data of a variable; *extra* wins; a `MissingVariable` when there is none."""
    if name in extra:
        data = extra[name]
        return data.data if isinstance(data, Value) else data
    value = variables.get(name)
    if value is not None:
        return value.data
    known = ", ".join(sorted({*variables, *extra})) or "none"
    return MissingVariable(
        hint=f"the template uses the variable {name!r}, which does not exist; there are: {known}"
    )


def field(data: object, name: str) -> Any:
    """Return a field of an object or of a conversation; a `MissingField` when it has none.

    Fields of conversations have their wire names (``tool_call_id``) and Go's (``ToolCallID``).

    :raises TemplateFailed: *data* is nothing that has fields.
    """
    if isinstance(data, dict):
        if name in data:
            return data[name]
        known = ", ".join(map(str, list(data)[:20])) or "none"
        return MissingField(hint=f"the object has no field {name!r}; there are: {known}")
    readers = _READERS.get(type(data))
    if readers is not None:
        read = readers.get(_normal(name))
        if read is not None:
            return read(data)
        known = ", ".join(_FIELDS[type(data)])
        return MissingField(hint=f"{kind(data)} has no field {name!r}; there are: {known}")
    if isinstance(data, Cell) and name == "value":
        return data.value
    if isinstance(data, Undefined):
        _fail_undefined(data)
    raise TemplateFailed(f"the template wants the field {name!r} of {kind(data)}, which has none")


def item(data: object, key: object) -> Any:
    """Return the element of a list at an index, or the field of an object.

    :raises TemplateFailed: *data* is nothing that has elements.
    """
    if isinstance(key, str):
        return field(data, key)
    if isinstance(data, dict):
        return data.get(key, MissingField(hint=f"the object has no key {key!r}"))
    if isinstance(data, (list, tuple, str)) and isinstance(key, int):
        try:
            return data[key]
        except IndexError:
            return MissingField(hint=f"{kind(data)} of {len(data)} has no element {key}")
    if isinstance(data, Undefined):
        _fail_undefined(data)
    raise TemplateFailed(f"the template wants an element of {kind(data)}, which has none")


def text(data: object) -> str:
    """Return the text a value is rendered as: a string itself, all else JSON's own text.

    :raises TemplateFailed: a missing variable or field, or nothing that is data.
    """
    if isinstance(data, str):
        return data
    if isinstance(data, Undefined):
        _fail_undefined(data)
    return json_text(data)


def kind(data: object) -> str:
    """Name the kind of a value, with its article, for messages."""
    return _KINDS.get(type(data), "a value of this kind")


def _fail_undefined(data: Undefined) -> NoReturn:
    raise TemplateFailed(data._undefined_message)


def _normal(name: str) -> str:
    """Write wire names (``tool_call_id``) and Go's (``ToolCallID``) alike."""
    return name.replace("_", "").lower()


def _attributes(*names: str, **renamed: str) -> dict[str, Callable[[Any], Any]]:
    named = {**{name: name for name in names}, **renamed}
    return {name: operator.attrgetter(attribute) for name, attribute in named.items()}


#: By type: the field's name on the wire, and its reader.
_FIELDS: dict[type, dict[str, Callable[[Any], Any]]] = {
    ChatHistory: _attributes(
        "messages", "model", inputTokens="input_tokens", outputTokens="output_tokens"
    ),
    Message: {
        **_attributes("role", "id", "timestamp", "tool_calls", callTools="tool_calls"),
        "content": text_of,
        "tool_call_id": lambda message: message.tool_call_id or "",
        "name": lambda message: message.name or "",
    },
    ToolCall: _attributes("id", "type", "function"),
    FunctionCall: _attributes("name", "arguments"),
    Tool: _attributes("name", "description", "parameters"),
    ChatRequest: _attributes(
        *("model", "messages", "tools", "stop", "seed", "temperature", "top_p", "max_tokens")
    ),
    ChatCompletion: {
        **_attributes("id", "created", "model", "usage"),
        "choices": lambda completion: completion_to_wire(completion)["choices"],
    },
    Usage: _attributes("prompt_tokens", "completion_tokens", "total_tokens"),
}
_READERS = {
    kind_of_data: {_normal(name): read for name, read in fields.items()}
    for kind_of_data, fields in _FIELDS.items()
}

_KINDS: dict[type, str] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "an object",
    ChatHistory: "a chat history",
    ChatRequest: "a chat request",
    ChatCompletion: "a chat completion",
    Message: "a message",
    ToolCall: "a tool call",
    FunctionCall: "a function",
    Tool: "a tool",
    Usage: "a token count",
}
