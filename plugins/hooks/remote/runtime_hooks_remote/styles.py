"""Parameters as OpenAPI's styles write them.

Each function is given a value and ``taken``, names that an object whose properties become
parameters of their own must not use: those of other parameters, and those the operator fills in.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from runtime_core.errors import TaskFailed
from runtime_hooks_remote.texts import escaped, escaped_reserved, plain, require_field_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from runtime_hooks_remote.shapes import Parameter, Property

__all__ = ("Writer", "cookie_writer", "header_writer", "path_writer", "query_writer")

Writer: TypeAlias = "Callable[[Any], list[str]]"
_Text: TypeAlias = "Callable[[Any], str]"

_SEPARATORS = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}

#: What may stand in a cookie's value as it is, of what `quote` would encode.
_COOKIE = "!#$&'()*+/:<=>?@[]^`{|}"


def query_writer(parameter: Parameter | Property, taken: Collection[str]) -> Writer:
    """Return what writes a value as pairs ``name=value`` of a query or a form."""
    reserved = getattr(parameter, "allow_reserved", False)
    text: _Text = escaped_reserved if reserved else escaped
    name = escaped(parameter.name)
    if parameter.media_type:
        return lambda value: [f"{name}={text(plain(value))}"]
    if parameter.style == "deepObject":
        return partial(_deep, name, text)
    if parameter.explode:
        return partial(_exploded, name, text, taken)
    return partial(_delimited, name, text, _SEPARATORS.get(parameter.style, ","))


def cookie_writer(parameter: Parameter, taken: Collection[str]) -> Writer:
    """Return what writes a value as pairs ``name=value`` of a cookie header."""
    name = parameter.name
    if parameter.media_type:
        return lambda value: [f"{name}={_cookie_text(name, plain(value))}"]
    text = partial(_cookie_text, name)
    if parameter.explode:
        return partial(_exploded, name, text, taken)
    return partial(_delimited, name, text, ",")


def header_writer(parameter: Parameter) -> Writer:
    """Return what writes a value as the text of a header."""
    what = f"the value of header {parameter.name!r}"

    def write(value: Any) -> list[str]:
        if parameter.media_type:
            return [require_field_text(plain(value), what)]
        return [require_field_text(_simple(value, plain, parameter.explode), what)]

    return write


def path_writer(parameter: Parameter, taken: Collection[str]) -> Writer:
    """Return what writes a value as a part of a path; it never ends, or leaves, its segment."""
    name, explode = parameter.name, parameter.explode

    def text_of(value: Any) -> str:
        if parameter.media_type:
            return escaped(plain(value))
        if parameter.style == "matrix":
            return _matrix(name, value, explode, taken)
        if parameter.style == "label":
            return _label(value, explode)
        return _simple(value, escaped, explode)

    def write(value: Any) -> list[str]:
        text = "" if value in ("", [], {}) else text_of(value)
        if not text:  # also of a list of nothing: /things/ is another path than /things/{id}
            raise TaskFailed(f"the argument {name!r} is a part of the path and must not be empty")
        return [text]

    return write


def _items(value: dict[str, Any], taken: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    return ((k, v) for k, v in value.items() if v is not None and k not in taken)


def _exploded(name: str, text: _Text, taken: Collection[str], value: Any) -> list[str]:
    if isinstance(value, list):
        return [f"{name}={text(item)}" for item in value if item is not None]
    if isinstance(value, dict):
        return [f"{escaped(key)}={text(item)}" for key, item in _items(value, taken)]
    return [f"{name}={text(value)}"]


def _delimited(name: str, text: _Text, separator: str, value: Any) -> list[str]:
    if isinstance(value, list):
        items = [text(item) for item in value if item is not None]
    elif isinstance(value, dict):
        items = [part for key, item in _items(value) for part in (text(key), text(item))]
    else:
        items = [text(value)]
    return [f"{name}={separator.join(items)}"] if items else []


def _deep(name: str, text: _Text, value: Any) -> list[str]:
    """Write ``name[key]=value``, and so on inside; lists are counted, as services read them."""
    if isinstance(value, dict):
        inside = _items(value)
    elif isinstance(value, list):
        inside = ((str(index), item) for index, item in enumerate(value) if item is not None)
    else:
        return [f"{name}={text(value)}"]
    return [
        pair for key, item in inside for pair in _deep(f"{name}%5B{escaped(key)}%5D", text, item)
    ]


def _simple(value: Any, text: _Text, explode: bool) -> str:
    if isinstance(value, list):
        return ",".join(text(item) for item in value if item is not None)
    if isinstance(value, dict):
        joint = "=" if explode else ","
        return ",".join(f"{text(key)}{joint}{text(item)}" for key, item in _items(value))
    return text(value)


def _label(value: Any, explode: bool) -> str:
    if not explode or not isinstance(value, list | dict):
        return f".{_simple(value, escaped, explode=False)}"
    if isinstance(value, list):
        return "".join(f".{escaped(item)}" for item in value if item is not None)
    return "".join(f".{escaped(key)}={escaped(item)}" for key, item in _items(value))


def _matrix(name: str, value: Any, explode: bool, taken: Collection[str]) -> str:
    key = escaped(name)
    if explode:
        return "".join(f";{pair}" for pair in _exploded(key, escaped, taken, value))
    return f";{key}={_simple(value, escaped, explode=False)}"


def _cookie_text(name: str, value: Any) -> str:
    text = require_field_text(plain(value), f"the value of cookie {name!r}")
    return quote(text, safe=_COOKIE)
