"""The common case: templates of text, variables and their fields, rendered without Jinja."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import meta, nodes

from runtime_core.engine.templates.budget import MAX_TEXT
from runtime_core.engine.templates.expressions import ROOT, VARIABLES
from runtime_core.engine.templates.fields import item, text, variable
from runtime_core.engine.templates.translate import MACROS
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime_core.types import Value

__all__ = ("BUILTINS", "Part", "Path", "render_parts", "simple_parts", "used_variables")

#: Names a template may use that are no variables of the run.
BUILTINS = frozenset({ROOT, MACROS, VARIABLES, "range"})


class Path(NamedTuple):
    """A variable, and the keys that lead to what is rendered of it."""

    name: str
    keys: tuple[str | int, ...]


Part = str | Path


def simple_parts(tree: nodes.Template) -> tuple[Part, ...] | None:
    """Return what *tree* consists of; None when it needs more than text and paths."""
    parts: list[Part] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            part = _part(node)
            if part is None:
                return None
            parts.append(part)
    return tuple(parts)


def render_parts(
    parts: tuple[Part, ...],
    variables: Mapping[str, Value],
    macros: Mapping[str, str],
    extra: Mapping[str, object],
) -> str:
    """Render parts.

    :raises TemplateFailed: a variable or field is missing, or the text is too long.
    """
    made = "".join(
        [part if isinstance(part, str) else _text(part, variables, macros, extra) for part in parts]
    )
    if len(made) > MAX_TEXT:
        raise TemplateFailed(f"the template makes more than {MAX_TEXT} characters (text budget)")
    return made


def used_variables(tree: nodes.Template) -> frozenset[str] | None:
    """Return the names of the variables *tree* needs; None when that depends on its data."""
    names = meta.find_undeclared_variables(tree) - BUILTINS - _optional(tree)
    wholes = sum(name.name in (ROOT, VARIABLES) for name in tree.find_all(nodes.Name))
    accesses: Iterator[Any] = tree.find_all((nodes.Getitem, nodes.Getattr))
    for access in accesses:
        if isinstance(access.node, nodes.Name) and access.node.name in (ROOT, VARIABLES):
            key = _key(access)
            if isinstance(key, str):
                wholes -= 1
                names.add(key)
    return None if wholes else frozenset(names)


def _optional(tree: nodes.Template) -> set[str]:
    """Return the names that the template itself allows for: ``x is defined``, ``x | default``."""
    return {
        node.node.name
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if node.name in _ASKING and isinstance(node.node, nodes.Name)
    }


_ASKING = ("defined", "undefined", "default", "d")


def _text(
    path: Path,
    variables: Mapping[str, Value],
    macros: Mapping[str, str],
    extra: Mapping[str, object],
) -> str:
    if path.name == MACROS:
        return macros[str(path.keys[0])]
    data = variable(path.name, variables, extra)
    for key in path.keys:
        data = item(data, key)
    return data if isinstance(data, str) else text(data)


def _part(node: Any) -> Part | None:
    if isinstance(node, nodes.TemplateData):
        return node.data
    if isinstance(node, nodes.Const):
        return node.value if isinstance(node.value, str) else None
    keys: list[str | int] = []
    while isinstance(node, (nodes.Getitem, nodes.Getattr)):
        key = _key(node)
        if key is None:
            return None
        keys.append(key)
        node = node.node
    return _path(node, keys) if isinstance(node, nodes.Name) else None


def _path(name: nodes.Name, keys: list[str | int]) -> Path | None:
    if name.name in (ROOT, MACROS) and not keys:
        return None
    if name.name == ROOT:
        return Path(str(keys.pop()), tuple(reversed(keys)))
    if name.name in BUILTINS and name.name != MACROS:
        return None
    return Path(name.name, tuple(reversed(keys)))


def _key(node: nodes.Getitem | nodes.Getattr) -> str | int | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    key: Any = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return key if isinstance(key, (str, int)) and not isinstance(key, bool) else None
