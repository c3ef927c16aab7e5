"""What templates may call on strings, lists and objects, each within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Undefined

from runtime_core.engine.templates.fields import kind
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime_core.engine.templates.budget import Budget

    Function = Callable[..., Any]

__all__ = ("as_list", "join_texts", "method", "repeat", "replace_text")


def as_list(budget: Budget, value: Any) -> list[Any] | tuple[Any, ...]:
    """Return what a loop goes over: a list's elements, an object's keys, a string's characters.

    :raises TemplateFailed: *value* cannot be gone over.
    """
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, (dict, str)):
        budget.charge(len(value))
        return list(value)
    if isinstance(value, Undefined):
        return () if not value else (value,)
    raise TemplateFailed(f"the template loops over {kind(value)}: only lists and objects can be")


def repeat(budget: Budget, value: str, count: int) -> str:
    """Do the work of ``"x" * 3``."""
    budget.text(len(value) * max(count, 0))
    return value * count


def replace_text(budget: Budget, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Replace *old* by *new* in a text."""
    value, old, new = budget.write(value), budget.write(old), budget.write(new)
    times = value.count(old)
    budget.text(len(value) + times * max(len(new) - len(old), 0))
    replaced: str = value.replace(old, new, -1 if count is None else count)
    return replaced


def join_texts(budget: Budget, values: Any, separator: Any = "") -> str:
    """Join the texts of a list's elements."""
    elements, separator = as_list(budget, values), budget.write(separator)
    parts = [budget.write(element) for element in elements]
    budget.text(sum(map(len, parts)) + len(separator) * len(parts))
    joined: str = separator.join(parts)
    return joined


def method(data: object, name: str) -> Function | None:
    """Return a method templates may call on *data*: a function of the budget, then arguments."""
    methods = _METHODS.get(type(data))
    function = None if methods is None else methods.get(name)
    if function is None:
        return None
    return lambda budget, *args, **kwargs: function(budget, data, *args, **kwargs)


def _plain_method(function: Function) -> Function:
    def call(budget: Budget, data: Any, *args: Any, **kwargs: Any) -> Any:
        for argument in (data, *args):
            budget.charge_for(argument)
        return function(data, *args, **kwargs)

    return call


def _splitting(function: Function) -> Function:
    def call(budget: Budget, data: str, *args: Any, **kwargs: Any) -> list[str]:
        # as many parts as the text could have, paid before they are made
        separator = args[0] if args and isinstance(args[0], str) else None
        budget.charge(1 + (data.count(separator) if separator else len(data) // 2))
        parts: list[str] = function(data, *args, **kwargs)
        return parts

    return call


_METHODS: dict[type, Mapping[str, Function]] = {
    str: {
        **{
            name: _plain_method(getattr(str, name))
            for name in (
                *("upper", "lower", "strip", "lstrip", "rstrip", "title", "capitalize"),
                *("startswith", "endswith", "removeprefix", "removesuffix", "find", "rfind"),
                *("count", "isdigit", "isalpha", "isalnum", "isspace", "partition", "rpartition"),
            )
        },
        **{name: _splitting(getattr(str, name)) for name in ("split", "rsplit", "splitlines")},
        "replace": replace_text,
        "join": lambda budget, separator, values: join_texts(budget, values, separator),
    },
    dict: {
        "get": _plain_method(dict.get),
        "items": _plain_method(lambda data: [list(pair) for pair in data.items()]),
        "keys": _plain_method(list),
        "values": _plain_method(lambda data: list(data.values())),
    },
    list: {"index": _plain_method(list.index), "count": _plain_method(list.count)},
}
