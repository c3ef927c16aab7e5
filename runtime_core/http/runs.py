"""Running chains for ordinary answers and for live ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from runtime_core.engine.closing import closing
from runtime_core.engine.values import wire_output
from runtime_core.errors import RuntimeCoreError
from runtime_core.http.disconnect import until_disconnected
from runtime_core.http.errors import RunFailed, envelope
from runtime_core.http.feed import Feed
from runtime_core.http.ids import new_id
from runtime_core.http.sse import EventStream, sse_frame
from runtime_core.http.wire.runs import event_wire
from runtime_core.types import (
    Delta,
    ModelRouted,
    Routed,
    RunEvent,
    RunFinished,
    RunRequest,
    Step,
    StepFinished,
    StepStarted,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from litestar import Request, Response

    from runtime_core.protocols import ChainRunner

__all__ = (
    "Finished",
    "collect",
    "last_route",
    "live_run",
    "new_run_id",
    "route_headers",
    "run_headers",
    "run_output",
)


class Finished(Struct, frozen=True):
    """A run that reached its end.

    ``text`` is what the last asked model wrote, to the byte, and ``route`` the way to it; None
    when no model was asked.
    """

    output: RunFinished
    steps: list[Step]
    text: str
    route: Routed | None = None


def new_run_id() -> str:
    """Return the id of a new run."""
    return new_id()


def run_headers(run_id: str, route: Routed | None = None) -> dict[str, str]:
    """Return the headers of an answer that comes from a run, and from a model."""
    headers = {"X-Run-ID": run_id}
    return headers if route is None else headers | route_headers(route)


def route_headers(route: Routed) -> dict[str, str]:
    """Return the headers that say who answered, after how many attempts, and how fast.

    Times are in milliseconds.  What names hold besides printable ASCII is percent-encoded.
    """
    spent = (("route", route.route_seconds), ("backend", route.backend_seconds))
    return {
        "X-Backend": _header_value(route.backend),
        "X-Model": _header_value(route.model),
        "X-Attempts": str(route.attempts),
        "Server-Timing": ", ".join(f"{name};dur={1000 * took:.3f}" for name, took in spent),
    }


def _header_value(name: str) -> str:
    if _is_plain(name):
        return name
    return quote(name, safe=_PLAIN, errors="replace")


#: Printable ASCII but for ``%`` itself, so that names can be decoded.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_is_plain = re.compile(f"[{re.escape(_PLAIN)}]*").fullmatch


def last_route(events: Sequence[RunEvent]) -> Routed | None:
    """Return the way to the last model that *events* name."""
    routed = (event.route for event in reversed(events) if isinstance(event, ModelRouted))
    return next(routed, None)


def run_output(event: RunFinished) -> Any:
    """Return a run's output as JSON data."""
    return wire_output(Value(event.output, event.output_type))


async def collect(runner: ChainRunner, run: RunRequest) -> Finished:
    """Run to the end.

    :raises RunFailed: with the steps so far.
    """
    steps: list[Step] = []
    try:
        async with closing(runner.run(run)) as events:
            return await _last(events, steps)
    except RuntimeCoreError as error:
        raise RunFailed(error, run.run_id, steps) from error


async def _last(events: AsyncIterator[RunEvent], steps: list[Step]) -> Finished:
    texts: list[str] = []
    route: Routed | None = None
    async for event in events:
        kind = type(event)
        if kind is Delta:
            texts.append(event.chunk.text)  # type: ignore[union-attr]
        elif kind is StepFinished:
            steps.append(event.step)  # type: ignore[union-attr]
        elif kind is StepStarted:
            texts.clear()
        elif kind is ModelRouted:
            route = event.route  # type: ignore[union-attr]
        elif isinstance(event, RunFinished):
            return Finished(event, steps, "".join(texts), route)
    raise RuntimeCoreError("the run ended without a result")


async def live_run(
    request: Request[Any, Any, Any], runner: ChainRunner, run: RunRequest, *, heartbeat: float
) -> Response[Any]:
    """Stream a run's events; one that cannot even begin is an ordinary error."""
    feed = Feed(runner.run(run))
    try:
        await until_disconnected(request, feed.head(lambda event: True))
    except RuntimeCoreError as error:
        raise RunFailed(error, run.run_id) from error
    encode = msgspec.json.Encoder().encode

    def frames(events: list[RunEvent]) -> bytes:
        return b"".join(
            [sse_frame(encode(event_wire(event, run.run_id, run_output))) for event in events]
        )

    def failure(error: RuntimeCoreError) -> bytes:
        return sse_frame(envelope(error, runId=run.run_id))

    return EventStream(
        feed, frames, error=failure, heartbeat=heartbeat, headers=run_headers(run.run_id)
    )
