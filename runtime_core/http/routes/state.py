"""``/state``: what the backends are like now."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from runtime_core.http.answers import answer
from runtime_core.http.feed import Feed
from runtime_core.http.sse import EventStream, sse_frame
from runtime_core.http.wire.fleet import StateWire
from runtime_core.http.wire.states import StateEncoder
from runtime_core.protocols import FleetState
from runtime_core.settings import Settings
from runtime_core.types import BackendState

__all__ = ("STATE",)

_TAGS = ["Backends"]


@get("/state", tags=_TAGS, summary="Show the backends' live state")
async def show_state(
    fleet: NamedDependency[FleetState],
    state_encoder: NamedDependency[StateEncoder],
    tenant_id: NamedDependency[str],
) -> Response[list[StateWire]]:
    """Return what every backend that serves was like when it was last looked at."""
    return answer([state_encoder.wire(state) for state in fleet.states(tenant_id)])


@get("/state/stream", tags=_TAGS, summary="Watch the live state", opt={"streams": True})
async def watch_state(
    fleet: NamedDependency[FleetState],
    state_encoder: NamedDependency[StateEncoder],
    settings: NamedDependency[Settings],
    tenant_id: NamedDependency[str],
) -> Response[Any]:
    """Send the state of every backend, then each that changes, as server-sent events.

    A frame is an item of `GET /state`, or `{"id": "...", "removed": true}`.
    """

    def frames(batch: list[BackendState | str]) -> bytes:
        return b"".join([sse_frame(state_encoder.encode(one)) for one in batch])

    feed = Feed(fleet.watch(tenant_id))
    return EventStream(feed, frames, heartbeat=settings.sse_heartbeat, endless=True)


STATE = (show_state, watch_state)
