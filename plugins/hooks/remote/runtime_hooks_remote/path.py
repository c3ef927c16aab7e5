"""Path templates, filled so that they lead nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from runtime_core.errors import TaskFailed
from runtime_hooks_remote.styles import path_writer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runtime_hooks_remote.shapes import Parameter
    from runtime_hooks_remote.styles import Writer

__all__ = ("PathTemplate",)

_NAME = re.compile(r"\{([^{}/]+)\}")

#: What a document's path may hold as it is; everything else is encoded.
_SAFE = "/:@!$&'()*+,;=-._~%"

#: "." or ".." where servers, and the clients on the way, take it for a step in the path.
_STEP = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\;?#]|$)")

#: How often what is in between may decode a path before somebody looks at its steps.
_DECODINGS = 4


class PathTemplate:
    """The path of an operation.

    :param taken: see `runtime_hooks_remote.styles`.
    """

    def __init__(
        self, path: str, parameters: Collection[Parameter], taken: Collection[str]
    ) -> None:
        writers = {each.name: path_writer(each, taken) for each in parameters}
        literals = _NAME.split(path)
        self._first = quote(literals[0], safe=_SAFE)
        self._rest: list[tuple[str, Writer, str]] = [
            (name, writers[name], quote(literal, safe=_SAFE))
            for name, literal in zip(literals[1::2], literals[2::2], strict=True)
        ]

    def fill(self, given: Mapping[str, Any]) -> str:
        """Return the path with *given* in it, percent-encoded.

        :raises TaskFailed: a value is empty, or would lead to another path.
        """
        path = self._first
        for name, write, literal in self._rest:
            path += write(given[name])[0] + literal
        if self._rest:
            _require_no_step(path)
        return path


def _require_no_step(path: str) -> None:
    text = path
    for _ in range(_DECODINGS):
        if _STEP.search(text):
            raise TaskFailed(
                f"the arguments make the path {path[:200]!r}: a '.' or '..' between slashes leads "
                "to another path, give another value"
            )
        if "%" not in text:
            return
        text = unquote(text)
