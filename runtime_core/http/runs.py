"""Running chains for ordinary answers and for live ones."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_core.engine.closing import closing
from runtime_core.engine.values import wire_output
from runtime_core.errors import RuntimeCoreError
from runtime_core.http.disconnect import until_disconnected
from runtime_core.http.errors import RunFailed, envelope
from runtime_core.http.feed import Feed
from runtime_core.http.sse import EventStream, sse_frame
from runtime_core.http.wire.runs import event_wire
from runtime_core.types import (
    Delta,
    RunEvent,
    RunFinished,
    RunRequest,
    Step,
    StepFinished,
    StepStarted,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar import Request, Response

    from runtime_core.protocols import ChainRunner

__all__ = ("Finished", "collect", "live_run", "new_run_id", "run_headers", "run_output")


class Finished(Struct, frozen=True):
    """A run that reached its end; ``text`` is what the last asked model wrote, to the byte."""

    output: RunFinished
    steps: list[Step]
    text: str


def new_run_id() -> str:
    """Return the id of a new run."""
    return str(uuid.uuid4())


def run_headers(run_id: str) -> dict[str, str]:
    """Return the headers of every answer that comes from a run."""
    return {"X-Run-ID": run_id}


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
    async for event in events:
        kind = type(event)
        if kind is Delta:
            texts.append(event.chunk.text)  # type: ignore[union-attr]
        elif kind is StepFinished:
            steps.append(event.step)  # type: ignore[union-attr]
        elif kind is StepStarted:
            texts.clear()
        elif isinstance(event, RunFinished):
            return Finished(event, steps, "".join(texts))
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
