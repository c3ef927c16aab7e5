"""Models fetched by the server, and taken off it again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import PullProgress
from runtime_core.upstream import ndjson, reported_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runtime_core.upstream import Endpoint

__all__ = ("Pulls",)

#: Nothing is said while a large model is checked: 400 GB at 250 MB/s.
_SILENCE_S = 1800.0

_SUCCESS = "success"

_UNKNOWN = re.compile(r"file does not exist|manifest unknown|not found", re.IGNORECASE)

#: What the server will say again, however often it is asked.
_FINAL = re.compile(
    r"no space left|not enough space|quota exceeded|read-only file system|permission denied"
    r"|access is denied|invalid model name|unauthorized|unsupported|newer version",
    re.IGNORECASE,
)


class _Line(Struct):
    status: str = ""
    digest: str = ""
    total: int | None = None
    completed: int | None = None
    error: str | dict[str, Any] | None = None


class Pulls:
    """``/api/pull`` and ``/api/delete`` of one server."""

    def __init__(self, name: str, pull: Endpoint, delete: Endpoint) -> None:
        self._name = name
        self._pull = pull
        self._delete = delete
        self._decode = msgspec.json.Decoder(_Line).decode

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Have the server fetch a model; bytes are those of all layers that it has named so far."""
        layers = _Layers()
        body = {"model": model, "stream": True}
        async with self._pull.stream(body, silence=_SILENCE_S) as response:
            async for raw in ndjson(response):
                line = self._decode(raw)
                if line.error is not None:
                    text = _text(line.error)
                    raise reported_error(
                        self._name, text, status=_status(text), request=response.request
                    )
                if line.status == _SUCCESS:
                    return
                yield layers.progress(line)
        raise UpstreamProtocolError(
            f"{self._name} stopped reporting on {model!r} before it was there."
        )

    async def delete(self, model: str) -> None:
        """Have the server delete a model."""
        async with self._delete.stream({"model": model}, method="DELETE"):
            """It answers with a status alone."""


class _Layers:
    """Adds up the layers of a model; each is reported on by its own."""

    def __init__(self) -> None:
        self._total: dict[str, int] = {}
        self._completed: dict[str, int] = {}

    def progress(self, line: _Line) -> PullProgress:
        if line.digest:
            if line.total:
                self._total[line.digest] = line.total
            self._completed[line.digest] = line.completed or 0
        return PullProgress(
            line.status, sum(self._completed.values()), sum(self._total.values()), line.digest
        )


def _text(error: str | dict[str, Any]) -> str:
    if isinstance(error, dict):
        return str(error.get("message", error))
    return error or "it gives no reason"


def _status(text: str) -> int:
    """Return the status the server would have answered with, had it not begun to stream."""
    if _FINAL.search(text):
        return 400
    return 404 if _UNKNOWN.search(text) else 500
