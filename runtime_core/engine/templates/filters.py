"""The filters and tests of templates: a closed list, each within the budget."""

from __future__ import annotations

import html
import urllib.parse
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import Undefined, pass_context
from jinja2 import filters as jinja_filters
from jinja2 import tests as jinja_tests

from runtime_core.engine.templates.fields import Cell, item, kind
from runtime_core.engine.templates.gofunctions import GO_FILTERS
from runtime_core.engine.templates.methods import as_list, join_texts, replace_text
from runtime_core.engine.values import json_text
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime_core.engine.templates.budget import Budget
    from runtime_core.engine.templates.sandbox import RenderContext

    Function = Callable[..., Any]

__all__ = ("FILTERS", "TESTS")

#: Jinja's own, on a value's text.
_ON_TEXT = ("capitalize", "lower", "trim", "truncate", "upper")
#: Jinja's own, on a value's text, word by word.
_ON_WORDS = ("title", "wordcount")
#: Jinja's own, on lists and objects; what they return lazily is made a list.
_ON_LISTS = (
    *("dictsort", "first", "groupby", "items", "last", "map", "max", "min", "reject", "rejectattr"),
    *("reverse", "select", "selectattr", "sort", "unique"),
)
#: Jinja's own, on single values.
_ON_VALUES = ("abs", "default", "d", "filesizeformat", "float", "int")

_TESTS = (
    *("boolean", "defined", "divisibleby", "even", "false", "float", "in", "integer", "iterable"),
    *("lower", "mapping", "none", "number", "odd", "sameas", "sequence", "string", "true"),
    *("undefined", "upper", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<="),
    *("gt", "greaterthan", ">", "ge", ">="),
)


# -------------------------------------------------------------------------
# Jinja's own, wrapped
# -------------------------------------------------------------------------


def _wrapped(function: Function, prepare: Callable[[Budget, Any], Any]) -> Function:
    """Charge for the arguments, call with what the function wants first, keep the result."""
    wanted = getattr(function, "jinja_pass_arg", None)
    wanted_name = getattr(wanted, "name", "")

    @pass_context
    def call(context: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = context.budget
        value = prepare(budget, value)
        for argument in (*args, *kwargs.values()):
            budget.charge_for(argument)
        first = _first_argument(context, wanted_name)
        return _kept(budget, function(*first, value, *args, **kwargs))

    return call


def _first_argument(context: RenderContext, wanted: str) -> tuple[Any, ...]:
    if wanted == "context":
        return (context,)
    if wanted == "eval_context":
        return (context.eval_ctx,)
    return (context.environment,) if wanted == "environment" else ()


def _kept(budget: Budget, result: Any) -> Any:
    if isinstance(result, str):
        budget.text(len(result))
        return str(result)
    if hasattr(result, "__next__"):
        kept = []
        for element in result:
            budget.charge(1)
            kept.append(element)
        return budget.built(kept)
    return result


def _charged(budget: Budget, value: Any) -> Any:
    budget.charge_for(value)
    return value


def _text(budget: Budget, value: Any) -> str:
    return budget.write(value)


def _words(budget: Budget, value: Any) -> str:
    made = budget.write(value)
    budget.charge(1 + len(made) // 8)
    return made


def _elements(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        budget.charge(1 + len(value))
    elif not isinstance(value, Undefined):
        budget.charge_for(value)
    return value


# -------------------------------------------------------------------------
# Ours
# -------------------------------------------------------------------------


@pass_context
def _iterate(context: RenderContext, value: Any, weight: int) -> Any:
    """Pay for a whole loop, whose body has *weight* nodes, before it starts."""
    elements = as_list(context.budget, value)
    context.budget.charge(1 + len(elements) * weight)
    return elements


@pass_context
def _concat(context: RenderContext, values: Any) -> str:
    """Do the work of ``a ~ b ~ c``."""
    parts = [context.budget.write(value) for value in values]
    context.budget.text(sum(map(len, parts)))
    return "".join(parts)


@pass_context
def _built(context: RenderContext, value: Any) -> Any:
    return context.budget.built(value)


@pass_context
def _compared(context: RenderContext, value: Any) -> Any:
    context.budget.charge_for(value)
    return value


@pass_context
def _join(context: RenderContext, value: Any, d: Any = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = [item(element, attribute) for element in as_list(context.budget, value)]
    return join_texts(context.budget, value, d)


@pass_context
def _replace(
    context: RenderContext, value: Any, old: Any, new: Any, count: int | None = None
) -> str:
    return replace_text(context.budget, value, old, new, count)


@pass_context
def _center(context: RenderContext, value: Any, width: int = 80) -> str:
    context.budget.text(width)
    return context.budget.write(value).center(width)


@pass_context
def _indent(
    context: RenderContext, value: Any, width: Any = 4, first: bool = False, blank: bool = False
) -> str:
    made = context.budget.write(value)
    size = width if isinstance(width, int) else len(context.budget.write(width))
    context.budget.text(len(made) + (made.count("\n") + 1) * max(size, 0))
    indented = jinja_filters.do_indent(made, width, first, blank)
    return str(indented)


@pass_context
def _list(context: RenderContext, value: Any) -> list[Any]:
    elements = as_list(context.budget, value)
    context.budget.charge(1 + len(elements))
    return list(elements)


@pass_context
def _length(context: RenderContext, value: Any) -> int:
    if isinstance(value, (str, list, tuple, dict, Undefined)):
        return len(value)
    raise TemplateFailed(f"the template wants the length of {kind(value)}, which has none")


@pass_context
def _round(context: RenderContext, value: Any, precision: int = 0, method: str = "common") -> Any:
    if not isinstance(precision, int) or abs(precision) > 100:
        raise TemplateFailed("round takes a precision between -100 and 100")
    return jinja_filters.do_round(value, precision, method)  # type: ignore[arg-type]


@pass_context
def _sum(context: RenderContext, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    elements = as_list(context.budget, value)
    context.budget.charge(1 + len(elements))
    if attribute is not None:
        elements = [item(element, attribute) for element in elements]
    numbers = (*elements, start)
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise TemplateFailed("sum adds numbers only: use join for texts")
    return context.budget.number(sum(elements, start))


@pass_context
def _tojson(context: RenderContext, value: Any, indent: int | None = None) -> str:
    if isinstance(value, str):
        return json_text(context.budget.write(value))
    made = context.budget.write(value)
    if indent is None:
        return made
    if not isinstance(indent, int) or not 0 < indent <= 8:
        raise TemplateFailed("tojson indents by 1 to 8 spaces")
    pretty = msgspec.json.format(made, indent=indent)
    context.budget.text(len(pretty))
    return pretty


@pass_context
def _string(context: RenderContext, value: Any) -> str:
    return _text(context.budget, value)


@pass_context
def _escape(context: RenderContext, value: Any) -> str:
    return html.escape(_text(context.budget, value))


@pass_context
def _urlencode(context: RenderContext, value: Any) -> str:
    if isinstance(value, dict):
        context.budget.charge_for(value)
        write = context.budget.write
        pairs = [(write(key), write(element)) for key, element in value.items()]
        return urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
    return urllib.parse.quote(_text(context.budget, value), safe="/")


@pass_context
def _batch(context: RenderContext, value: Any, linecount: int) -> list[list[Any]]:
    elements = list(as_list(context.budget, value))
    if not isinstance(linecount, int) or linecount < 1:
        raise TemplateFailed("batch makes lists of at least one element")
    context.budget.charge(1 + len(elements))
    return [elements[start : start + linecount] for start in range(0, len(elements), linecount)]


@pass_context
def _cell(context: RenderContext, value: Any) -> Cell:
    return Cell(value)


@pass_context
def _assign(context: RenderContext, cell: Any, value: Any) -> str:
    if not isinstance(cell, Cell):
        raise TemplateFailed("only variables of the template can be assigned to")
    cell.value = value
    return ""


FILTERS: dict[str, Function] = {
    **{name: _wrapped(jinja_filters.FILTERS[name], _text) for name in _ON_TEXT},
    **{name: _wrapped(jinja_filters.FILTERS[name], _words) for name in _ON_WORDS},
    **{name: _wrapped(jinja_filters.FILTERS[name], _elements) for name in _ON_LISTS},
    **{name: _wrapped(jinja_filters.FILTERS[name], _charged) for name in _ON_VALUES},
    **GO_FILTERS,
    **dict.fromkeys(("json", "tojson"), _tojson),
    **dict.fromkeys(("length", "count"), _length),
    **dict.fromkeys(("escape", "e"), _escape),
    "batch": _batch,
    "center": _center,
    "format": GO_FILTERS["go_printf"],
    "indent": _indent,
    "join": _join,
    "list": _list,
    "replace": _replace,
    "round": _round,
    "string": _string,
    "sum": _sum,
    "urlencode": _urlencode,
    # what the guard and the translation write into templates themselves
    "go_assign": _assign,
    "go_built": _built,
    "go_cell": _cell,
    "go_compared": _compared,
    "go_concat": _concat,
    "go_iterate": _iterate,
}

_JINJA_TESTS: Mapping[str, Any] = jinja_tests.TESTS
TESTS: dict[str, Function] = {name: _wrapped(_JINJA_TESTS[name], _charged) for name in _TESTS}
