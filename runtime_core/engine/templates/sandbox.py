"""The Jinja environment of templates: nothing of Python is in reach, and everything is paid for.

A template is parsed by Jinja, then guarded: nodes and names that are not on the lists are
refused, and whatever can loop or grow is wrapped so that it is charged to the rendering's budget.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from jinja2 import TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from runtime_core.engine.templates.expressions import ROOT, VARIABLES
from runtime_core.engine.templates.fields import MissingField, field, item, kind, text, variable
from runtime_core.engine.templates.filters import FILTERS, TESTS
from runtime_core.engine.templates.methods import method, repeat
from runtime_core.engine.templates.printf import printf
from runtime_core.engine.templates.translate import MACROS
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime_core.engine.templates.budget import Budget
    from runtime_core.types import Value

__all__ = ("RenderContext", "Root", "SandboxEnvironment", "guard")


class Root:
    """What ``.`` is at the top of a Go template: its items are the variables."""

    __slots__ = ("extra", "variables")

    def __init__(self, variables: Mapping[str, Value], extra: Mapping[str, object]) -> None:
        self.variables = variables
        self.extra = extra

    def get(self, name: str) -> Any:
        """Return a variable's data, or a `MissingVariable`."""
        return variable(name, self.variables, self.extra)

    def data(self) -> dict[str, Any]:
        """Return all variables as one object."""
        return {name: self.get(name) for name in (*self.variables, *self.extra)}


class Function:
    """Something that templates may call; nothing else can be called."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class RenderContext(Context):
    """One rendering: its variables and its budget."""

    budget: Budget
    root: Root
    macros: Mapping[str, str]

    def resolve_or_missing(self, key: str) -> Any:
        """Find a variable or one of the built-in names."""
        if key == ROOT:
            return self.root
        if key == MACROS:
            return self.macros
        found = self.root.get(key)
        if not isinstance(found, Undefined):
            return found
        if key == VARIABLES:
            return self.root.data()
        return Function(_range) if key == "range" else found


def _range(budget: Budget, *bounds: int) -> list[int]:
    numbers = range(*bounds)
    try:
        budget.charge(1 + len(numbers))
    except OverflowError:
        raise TemplateFailed("the template makes a range without end (its step budget)") from None
    return list(numbers)


@pass_context
def _finalize(context: RenderContext, value: Any) -> str:
    return context.budget.write(value.data() if isinstance(value, Root) else value)


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with only what the lists name."""

    intercepted_binops: ClassVar[frozenset[str]] = frozenset(  # type: ignore[misc]
        {"+", "-", "*", "/", "//", "%", "**"}
    )
    context_class = RenderContext

    def __init__(self) -> None:
        super().__init__(
            finalize=_finalize,
            autoescape=False,
            optimized=False,
            keep_trailing_newline=True,
            extensions=("jinja2.ext.loopcontrols",),
            cache_size=0,
        )
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.globals = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``x.name``: a field, else a method on the list."""
        if isinstance(obj, LoopContext):
            return _loop_attribute(obj, attribute)
        if isinstance(obj, Root):
            return obj.get(attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        found = method(obj, attribute)
        return field(obj, attribute) if found is None else Function(found)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``x[key]``: an element or a field, never a method."""
        if isinstance(obj, Root):
            return obj.get(str(argument))
        return item(obj, argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """``f(x)``: only functions and methods on the lists."""
        if isinstance(__obj, Undefined):
            text(__obj)
        if not isinstance(__obj, Function):
            raise TemplateFailed(f"the template calls {kind(__obj)}, which is no function")
        # Jinja hands these to macros, which templates do not have
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        budget: Budget = __context.budget  # type: ignore[attr-defined]
        return __obj.call(budget, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``a + b`` and the like: on numbers, strings and lists."""
        return _binary(context.budget, operator, left, right)  # type: ignore[attr-defined]


_LOOP = frozenset(
    {
        *("depth", "depth0", "first", "index", "index0", "last", "length"),
        *("nextitem", "previtem", "revindex", "revindex0"),
    }
)


def _loop_attribute(loop: LoopContext, name: str) -> Any:
    if name in _LOOP:
        return getattr(loop, name)
    if name == "cycle":
        return Function(lambda budget, *values: loop.cycle(*values))
    return MissingField(hint=f"loop has no {name!r}; there are: cycle, {', '.join(sorted(_LOOP))}")


# -------------------------------------------------------------------------
# Arithmetic
# -------------------------------------------------------------------------

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def _binary(budget: Budget, symbol: str, left: Any, right: Any) -> Any:
    budget.charge(1)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if symbol == "**":
            return _power(budget, left, right)
        return budget.number(_ARITHMETIC[symbol](left, right))
    if isinstance(left, str) and (symbol == "%" or isinstance(right, (str, int))):
        return _binary_on_text(budget, symbol, left, right)
    if symbol == "+" and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        budget.charge(len(left) + len(right))
        return budget.built([*left, *right])
    return _refuse(symbol, left, right)


def _binary_on_text(budget: Budget, symbol: str, left: str, right: Any) -> str:
    if symbol == "%":
        return printf(left, right if isinstance(right, tuple) else (right,), budget)
    if symbol == "*" and isinstance(right, int):
        return repeat(budget, left, right)
    if symbol == "+" and isinstance(right, str):
        budget.text(len(left) + len(right))
        return left + right
    return _refuse(symbol, left, right)


def _refuse(symbol: str, left: Any, right: Any) -> NoReturn:
    for side in (left, right):
        if isinstance(side, Undefined):
            text(side)
    raise TemplateFailed(f"the template computes {kind(left)} {symbol} {kind(right)}")


def _power(budget: Budget, base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int):
        budget.number(1 << min(abs(base).bit_length() * abs(exponent), 100_000))
    return base**exponent


# -------------------------------------------------------------------------
# The guard
# -------------------------------------------------------------------------

_ALLOWED: frozenset[type[nodes.Node]] = frozenset(
    {
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.With),
        *(nodes.Assign, nodes.Break, nodes.Continue, nodes.Name, nodes.Const, nodes.Tuple),
        *(nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter),
        *(nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Concat),
        *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
        *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow),
    }
)


def guard(tree: nodes.Template, environment: SandboxEnvironment) -> nodes.Template:
    """Return *tree* with everything paid for.

    :raises TemplateSyntaxError: the template uses something that is not on the lists.
    """
    guarded: nodes.Template = _Guard().visit(tree)
    guarded.set_environment(environment)
    return guarded


def _filtered(name: str, node: Any, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


class _Guard(NodeTransformer):
    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        if type(node) not in _ALLOWED:
            name = type(node).__name__
            raise TemplateSyntaxError(f"{name!r} is not available in templates", node.lineno)
        return super().visit(node, *args, **kwargs)

    def visit_Name(self, node: nodes.Name) -> nodes.Node:
        if node.name in ("self", "super", "caller"):
            raise TemplateSyntaxError(f"{node.name!r} is not available in templates", node.lineno)
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise TemplateSyntaxError("a number is too large", node.lineno)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise TemplateSyntaxError("recursive loops are not available", node.lineno)
        weight = 1 + sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filtered("go_iterate", node.iter, nodes.Const(weight))
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        self._known(node, "filter", FILTERS)
        return self.generic_visit(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        self._known(node, "test", TESTS)
        return self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self._no_stars(node)
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered("go_concat", nodes.List(node.nodes, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filtered("go_compared", node.expr)
        for operand in node.ops:
            operand.expr = _filtered("go_compared", operand.expr)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return _filtered("go_built", self.generic_visit(node))

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return _filtered("go_built", self.generic_visit(node))

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filtered("go_built", node) if node.ctx == "load" else node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:
        if node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=node.lineno)
        return self.generic_visit(node)

    def _known(self, node: Any, what: str, known: Mapping[str, object]) -> None:
        self._no_stars(node)
        if node.name not in known:
            names = ", ".join(sorted(name for name in known if name[:3] != "go_"))
            raise TemplateSyntaxError(
                f"unknown {what} {node.name!r}; there are: {names}", node.lineno
            )

    def _no_stars(self, node: Any) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TemplateSyntaxError("*args and **kwargs are not available", node.lineno)
