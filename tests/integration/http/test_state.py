"""``/state`` as it is now, and as it changes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

from runtime_core.types import BackendState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from litestar.testing import TestClient

PATIENCE = 10


def state(backend_id: str, **fields: Any) -> BackendState:
    given = {"reachable": True, "name": backend_id, "type": "fake", "base_url": "http://gpu"}
    return BackendState(id=backend_id, **{**given, **fields})


def test_no_backends(api: TestClient[Any]) -> None:
    assert api.get("/state").json() == []


def test_every_backend_is_listed(api: TestClient[Any], fleet: Any) -> None:
    fleet.now = [
        state("configured", error="down", reachable=False),
        state("registered", created_at="2026-01-01T00:00:00.000001Z", wanted=("m",)),
    ]
    first, second = api.get("/state").json()
    assert first == {
        "id": "configured",
        "name": "configured",
        "models": [],
        "pulledModels": [],
        "loadedModels": [],
        "backend": {
            "id": "configured",
            "name": "configured",
            "baseUrl": "http://gpu",
            "type": "fake",
            "createdAt": "0001-01-01T00:00:00Z",
            "updatedAt": "0001-01-01T00:00:00Z",
        },
        "error": "down",
        "reachable": False,
        "latencyMs": None,
        "breaker": "closed",
        "inFlight": 0,
    }
    assert second["backend"]["createdAt"] == "2026-01-01T00:00:00.000001Z"
    assert second["models"] == ["m"]
    assert "error" not in second


async def frames(response: httpx.Response) -> AsyncIterator[Any]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_the_stream_begins_with_all_and_goes_on_with_changes(
    make_app: Callable[..., Any], fleet: Any, serve: Any
) -> None:
    fleet.now = [state("a"), state("b")]
    app = make_app({"rooms": {"fleet": fleet}})
    async with (
        asyncio.timeout(PATIENCE),
        serve(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        async with client.stream("GET", "/state/stream") as response:
            assert response.headers["content-type"] == "text/event-stream"
            events = frames(response)
            snapshot = [await anext(events), await anext(events)]
            assert snapshot == (await client.get("/state")).json()
            fleet.news.put_nowait(state("b", reachable=False, error="down"))
            changed = await anext(events)
            assert (changed["id"], changed["error"]) == ("b", "down")
            fleet.news.put_nowait("a")
            assert await anext(events) == {"id": "a", "removed": True}
            assert not fleet.left.is_set()
        await fleet.left.wait()


async def test_a_quiet_stream_has_its_headers_at_once(
    make_app: Callable[..., Any], fleet: Any, serve: Any
) -> None:
    app = make_app({"rooms": {"fleet": fleet}}, sse_heartbeat=0.05)
    async with (
        asyncio.timeout(PATIENCE),
        serve(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("GET", "/state/stream") as response,
    ):
        assert response.status_code == 200
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith(":")


def test_head_of_the_stream_ends(api: TestClient[Any], fleet: Any) -> None:
    fleet.now = [state("a")]
    response = api.head("/state/stream")
    assert response.status_code == 200
    assert response.content == b""
