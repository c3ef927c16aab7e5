"""Templates: compiled once, rendered many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError

from runtime_core.engine.templates.budget import MAX_TEXT, Budget
from runtime_core.engine.templates.filters import FILTERS
from runtime_core.engine.templates.sandbox import RenderContext, Root, SandboxEnvironment, guard
from runtime_core.engine.templates.simple import Part, render_parts, simple_parts, used_variables
from runtime_core.engine.templates.translate import translate
from runtime_core.errors import TaskFailed, TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime_core.engine.macros import Macro
    from runtime_core.types import Value

__all__ = ("Template",)

_NOTHING: Mapping[Any, Any] = {}
_ENVIRONMENT = SandboxEnvironment()
#: What a rendering raises when its template does not fit its data.
_MISFITS = (
    *(TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError),
    # Jinja's truncate checks its arguments so
    AssertionError,
)
_UNCOMPILABLE = (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError)


class Template:
    """A template over a run's variables.

    Go forms (``{{.input}}``, ``{{if eq .x "y"}}``, ``{{range .items}}``) and Jinja's
    (``{{ input | upper }}``, ``{% for %}``) may stand side by side.  A variable whose name is no
    identifier is ``{{ vars["my-id"] }}`` or ``{{index . "my-id"}}``.  What a variable or a macro
    stands for is data and never rendered again.
    """

    __slots__ = ("_macro_keys", "_parts", "_root", "macros", "source", "variables")

    #: The macros the template uses; `render` needs a value for each.
    macros: frozenset[Macro]
    source: str
    #: The variables the template needs, None when it may use any (``{{ vars[name] }}``).
    variables: frozenset[str] | None

    _macro_keys: frozenset[str]
    #: A template of text and plain variables needs no Jinja to be rendered: ``_root`` is None.
    _parts: tuple[Part, ...]
    _root: Callable[[RenderContext], Iterator[str]] | None

    @classmethod
    def compile(cls, source: str) -> Template:
        """Compile *source*.

        :raises TemplateFailed: with the line at fault.
        """
        template = cls()
        template.source = source
        template._root, template._parts = None, (source,)
        template.macros, template._macro_keys = frozenset(), frozenset()
        template.variables = frozenset()
        if "{" in source:
            template._compile()
        return template

    def render(
        self,
        variables: Mapping[str, Value],
        macros: Mapping[str, str] = _NOTHING,
        extra: Mapping[str, object] = _NOTHING,
    ) -> str:
        """Render over *variables*; *extra* are further ones, plain data, which win.

        *macros* are what `ChainMacros.expand` returned.

        :raises TemplateFailed: a variable is missing, an expression does not fit its data, or the
            budget is used up.
        """
        try:
            if not self._macro_keys <= macros.keys():
                names = ", ".join(sorted(self._macro_keys - macros.keys()))
                raise TemplateFailed(f"the macros {names} have no value here")
            if self._root is None:
                return render_parts(self._parts, variables, macros, extra)
            return _render_root(self._root, variables, macros, extra)
        except TemplateFailed:
            raise
        except TaskFailed as error:
            raise TemplateFailed(error.message) from error
        except UndefinedError as error:
            raise TemplateFailed(error.message or "a value is missing") from error
        except RecursionError as error:
            raise TemplateFailed("the template, or its data, is nested too deeply") from error
        except _MISFITS as error:
            raise TemplateFailed(f"the template does not fit its data: {error}") from error

    def _compile(self) -> None:
        try:
            translation = translate(self.source, FILTERS)
            tree = _ENVIRONMENT.parse(translation.source)
            self.macros = translation.macros
            self._macro_keys = frozenset(map(str, translation.macros))
            parts = simple_parts(tree)
            if parts is not None:
                self._parts = parts
            else:
                tree = guard(tree, _ENVIRONMENT)
                code = _ENVIRONMENT.compile(tree)
                compiled = JinjaTemplate.from_code(_ENVIRONMENT, code, {})
                self._root = compiled.root_render_func
            self.variables = used_variables(tree)
        except TemplateSyntaxError as error:
            message = f"the template is wrong in line {error.lineno}: {error.message}"
            raise TemplateFailed(message) from error
        except _UNCOMPILABLE as error:
            message = f"the template is too large, or nested too deeply ({type(error).__name__})"
            raise TemplateFailed(message) from error


def _render_root(
    root: Callable[[RenderContext], Iterator[str]],
    variables: Mapping[str, Value],
    macros: Mapping[str, str],
    extra: Mapping[str, object],
) -> str:
    context = RenderContext(_ENVIRONMENT, {}, None, {})
    context.budget, context.macros = Budget(), macros
    context.root = Root(variables, extra)
    pieces, size = [], 0
    for piece in root(context):
        size += len(piece)
        if size > MAX_TEXT:
            context.budget.text(size)
        pieces.append(piece)
    return "".join(pieces)
