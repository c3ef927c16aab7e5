"""YAML, as far as it is JSON: the 1.2 core schema, without tags, bounded in depth and size."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import yaml

from runtime_core.errors import InvalidRequest

__all__ = ("load_yaml",)

#: Values a document may stand for with all its aliases written out.
_MAX_NODES = 200_000

_OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


def load_yaml(raw: bytes, max_depth: int, max_values: int = _MAX_NODES) -> Any:
    """Return the document as JSON data: only the core schema's types, keys always text.

    :param max_depth: levels of lists and mappings it may have.
    :param max_values: values it may stand for with all its aliases written out.
    :raises InvalidRequest: malformed, not plain data, nested too deeply, or an alias bomb.
    """
    try:
        text = raw.decode("utf-8-sig")
        _check_events(text, max_depth)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise InvalidRequest("the request has no body; send a YAML document")
            _expanded(node, {}, max_values)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"the body is not YAML: {' '.join(str(error).split())}") from error


def _check_events(text: str, max_depth: int) -> None:
    """Refuse what is too deep before anything recursive touches it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, _OPENING):
            depth += 1
            if depth > max_depth:
                raise InvalidRequest(f"the body is nested more than {max_depth} levels deep")
        elif isinstance(event, _CLOSING):
            depth -= 1


def _expanded(node: yaml.Node, sizes: dict[int, int], most: int) -> int:
    """Return how many values *node* stands for; a node inside itself, or too many, is refused."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    known = sizes.get(id(node))
    if known is not None:
        if known == _OPEN:
            raise InvalidRequest("the YAML document contains itself; remove the recursive alias")
        return known
    sizes[id(node)] = _OPEN
    total = 1
    for child in node.value:
        total += sum(_expanded(part, sizes, most) for part in _parts(child))
        if total > most:
            raise InvalidRequest(
                f"the YAML document stands for more than {most} values; use fewer aliases"
            )
    sizes[id(node)] = total
    return total


_OPEN = -1


def _parts(child: Any) -> tuple[yaml.Node, ...]:
    return child if isinstance(child, tuple) else (child,)


class _Loader(yaml.CSafeLoader):
    """Reads the core schema's types; other tags have no constructor and are refused."""

    # filled below: the class's own tables, so that the library's stay as they are
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - so declared by the library
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def text_keys(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Return a mapping whose keys are text, as written; merge keys are merged."""
        self.flatten_mapping(node)
        mapping = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be text", key)
            mapping[key.value] = self.construct_object(value, deep=True)
        return mapping

    def list_of(self, node: yaml.SequenceNode) -> list[Any]:
        return [self.construct_object(child, deep=True) for child in node.value]

    def number(self, node: yaml.ScalarNode) -> float:
        try:
            value = float(node.value)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _refusal(f"{node.value} is not a number of JSON", node)
        return value

    def whole(self, node: yaml.ScalarNode) -> int:
        text = node.value
        try:
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        except ValueError:
            raise _refusal(f"{text[:40]} is not a whole number", node) from None

    def unknown(self, node: yaml.Node) -> Any:
        raise _refusal(f"the tag {node.tag} is not plain data", node)


def _refusal(text: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_TAG = "tag:yaml.org,2002:"


def _constructor(tag: str, construct: Any) -> None:
    _Loader.add_constructor(_TAG + tag, construct)


# without this entry, the library reads an unknown tag as text, a list or a mapping
_Loader.add_constructor(None, _Loader.unknown)
_constructor("null", lambda loader, node: None)
_constructor("bool", lambda loader, node: node.value.lower() == "true")
_constructor("int", _Loader.whole)
_constructor("float", _Loader.number)
_constructor("str", lambda loader, node: node.value)
_constructor("seq", _Loader.list_of)
_constructor("map", _Loader.text_keys)


def _resolver(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + tag, re.compile(rf"(?:{pattern})\Z"), list(first))


_resolver("null", r"~|null|Null|NULL|", "~nN")
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"\Z"), [""])
_resolver("bool", r"true|True|TRUE|false|False|FALSE", "tTfF")
_resolver("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolver(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
    "-+0123456789.",
)
_resolver("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.")
_resolver("merge", r"<<", "<")
