"""An OpenAPI document, read into operations and their tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_hooks_remote.openapi.loading import check_version, load
from runtime_hooks_remote.openapi.operations import Operations
from runtime_hooks_remote.openapi.problems import Problems
from runtime_hooks_remote.openapi.references import References
from runtime_hooks_remote.shapes import Document

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runtime_hooks_remote.openapi.nodes import Node

__all__ = ("read",)

_NOTHING: Mapping[str, bytes] = {}


def read(
    content: bytes,
    *,
    url: str = "",
    fetched: Mapping[str, bytes] = _NOTHING,
    injected: Collection[str] = (),
) -> Document:
    """Return the operations of an OpenAPI 3.0 or 3.1 document, in JSON or YAML, and its problems.

    It does no I/O, and takes a fifth of a millisecond of CPU an operation: read large documents in
    a thread.  An operation that cannot be used is left out, and ``problems`` says why.  Documents
    that references lead to and that are not in *fetched* are the result's ``missing``: fetch them,
    and read again.

    :param url: the document's own address, which relative references and servers need.
    :param fetched: the documents that there are already, by address.
    :param injected: names of parameters and properties that the caller fills in: the operations
        have them, the tools' schemas do not.
    :raises UnreadableDocument: it is no such document at all.
    """
    data = load(content)
    version = check_version(data)
    problems = Problems()
    references = References(data, url, fetched, problems)
    root = references.root
    paths = root.find("paths")
    _check_paths(root, paths, version, problems)
    reader = Operations(references, problems, version, url, injected)
    operations = reader.read(paths) if paths is not None else {}
    info = data.get("info")
    return Document(
        title=_text(info, "title"),
        version=_text(info, "version"),
        operations=operations,
        problems=problems.all(),
        missing=tuple(sorted(references.missing)),
    )


def _check_paths(root: Node, paths: Node | None, version: str, problems: Problems) -> None:
    if paths is not None and not isinstance(paths.value, dict):
        problems.add(paths, "paths must be an object of paths; there are no tools")
    elif paths is None and not (version == "3.1" and _has_other_parts(root)):
        problems.add(root, 'it has no "paths"; there are no tools')


def _has_other_parts(root: Node) -> bool:
    return root.find("webhooks") is not None or root.find("components") is not None


def _text(info: Any, key: str) -> str:
    value = info.get(key) if isinstance(info, dict) else None
    return str(value) if isinstance(value, str | int | float) else ""
