"""Go's template functions, as filters of their first argument."""

from __future__ import annotations

import html
import operator
import urllib.parse
from typing import TYPE_CHECKING, Any

from jinja2 import Undefined, pass_context

from runtime_core.engine.templates.fields import MissingField, item, kind, text
from runtime_core.engine.templates.printf import printf
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.engine.templates.sandbox import RenderContext

__all__ = ("GO_FILTERS",)


@pass_context
def _eq(context: RenderContext, value: Any, *others: Any) -> bool:
    if not others:
        raise TemplateFailed("eq compares at least two values")
    for other in others:
        context.budget.charge_for(other)
    return any(_same(value, other) for other in others)


@pass_context
def _ne(context: RenderContext, value: Any, other: Any) -> bool:
    context.budget.charge_for(other)
    return not _same(value, other)


def _same(one: Any, other: Any) -> bool:
    # Python takes true for 1; JSON does not
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def _comparing(name: str, compare: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    @pass_context
    def call(context: RenderContext, value: Any, other: Any) -> bool:
        context.budget.charge_for(other)
        _check_order(name, value, other)
        return compare(value, other)

    return call


def _check_order(name: str, one: Any, other: Any) -> None:
    if isinstance(one, str) and isinstance(other, str):
        return
    for side in (one, other):
        if isinstance(side, Undefined):
            text(side)
        if isinstance(side, bool) or not isinstance(side, (int, float)):
            raise TemplateFailed(
                f"{name} compares two numbers or two strings, not {kind(one)} and {kind(other)}"
            )


@pass_context
def _len(context: RenderContext, value: Any) -> int:
    if isinstance(value, str):
        context.budget.charge_for(value)
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, (list, tuple, dict)):
        return len(value)
    if isinstance(value, Undefined):
        text(value)
    raise TemplateFailed(f"len needs a string, a list or an object, got {kind(value)}")


@pass_context
def _index(context: RenderContext, value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        value = item(value, key)
    return value


@pass_context
def _slice(context: RenderContext, value: Any, start: int = 0, end: int | None = None) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise TemplateFailed(f"slice needs a string or a list, got {kind(value)}")
    context.budget.charge_for(value)
    if not 0 <= start <= (len(value) if end is None else end) <= len(value):
        raise TemplateFailed(f"slice: the bounds are outside of {kind(value)} of {len(value)}")
    return value[start:end]


@pass_context
def _print(context: RenderContext, *values: Any) -> str:
    parts: list[str] = []
    for position, value in enumerate(values):
        # Go puts a space between two operands when neither is a string
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            parts.append(" ")
        parts.append(context.budget.write(value))
    context.budget.text(sum(map(len, parts)))
    return "".join(parts)


@pass_context
def _println(context: RenderContext, *values: Any) -> str:
    parts = [context.budget.write(value) for value in values]
    context.budget.text(sum(map(len, parts)) + len(parts))
    return " ".join(parts) + "\n"


@pass_context
def _printf(context: RenderContext, form: Any, *arguments: Any) -> str:
    return printf(form, arguments, context.budget)


@pass_context
def _html(context: RenderContext, *values: Any) -> str:
    return html.escape(_print(context, *values))


@pass_context
def _urlquery(context: RenderContext, *values: Any) -> str:
    return urllib.parse.quote_plus(_print(context, *values))


@pass_context
def _values(context: RenderContext, value: Any) -> Any:
    return [element for _, element in _pairs(context, value)]


@pass_context
def _pairs(context: RenderContext, value: Any) -> list[tuple[Any, Any]]:
    """Return what ``range`` goes over: index and element, or key and value in order of keys."""
    if isinstance(value, (list, tuple)):
        context.budget.charge_for(value)
        return list(enumerate(value))
    if isinstance(value, dict):
        context.budget.charge_for(value)
        return sorted(value.items(), key=operator.itemgetter(0))
    if isinstance(value, int) and not isinstance(value, bool):
        context.budget.charge(1 + max(value, 0))
        return [(number, number) for number in range(value)]
    if value is None or isinstance(value, MissingField):
        return []
    if isinstance(value, Undefined):
        text(value)
    raise TemplateFailed(f"range goes over lists, objects and whole numbers, not {kind(value)}")


#: By the name the translation writes.
GO_FILTERS: dict[str, Callable[..., Any]] = {
    "go_eq": _eq,
    "go_ne": _ne,
    "go_lt": _comparing("lt", operator.lt),
    "go_le": _comparing("le", operator.le),
    "go_gt": _comparing("gt", operator.gt),
    "go_ge": _comparing("ge", operator.ge),
    "go_len": _len,
    "go_index": _index,
    "go_slice": _slice,
    "go_print": _print,
    "go_println": _println,
    "go_printf": _printf,
    "go_html": _html,
    "go_urlquery": _urlquery,
    "go_values": _values,
    "go_pairs": _pairs,
}
