"""Downloads over HTTP: the queue, taking jobs out of it, and progress as it happens."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from litestar.testing import TestClient

from runtime_core.errors import DatabaseUnavailable, InvalidRequest, ModelNotFound, NotFound
from runtime_core.types import Download, DownloadEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

CREATED = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
JOB = Download(
    id="1",
    backend_id="b1",
    base_url="http://b1:11434",
    model="phi3:3.8b",
    status="running",
    attempts=1,
    completed=5,
    total=10,
    created_at=CREATED,
    updated_at=CREATED,
)


class Downloads:
    """A queue that remembers what it was asked, and tells watchers what it is given."""

    def __init__(self) -> None:
        self.jobs: list[Download] = []
        self.cancelled: list[tuple[str, str | None, str | None]] = []
        self.deleted: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.events: asyncio.Queue[DownloadEvent | Exception | None] = asyncio.Queue()
        self.watchers = 0
        self.left = asyncio.Event()

    async def list(self, tenant_id: str) -> list[Download]:
        if self.failure:
            raise self.failure
        return self.jobs

    async def cancel(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> list[Download]:
        self.cancelled.append((tenant_id, model, base_url))
        return []

    async def watch(self, tenant_id: str) -> AsyncIterator[DownloadEvent]:
        self.watchers += 1
        try:
            while (event := await self.events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.watchers -= 1
            self.left.set()

    async def delete_model(self, tenant_id: str, backend_id: str, model: str) -> None:
        if self.failure:
            raise self.failure
        self.deleted.append((backend_id, model))


@pytest.fixture
def downloads() -> Downloads:
    return Downloads()


@pytest.fixture
def client(make_app: Callable[..., Any], downloads: Downloads) -> Iterator[TestClient[Any]]:
    with TestClient(make_app({"rooms": {"downloads": downloads}})) as client:
        yield client


def test_an_empty_queue_is_a_list(client: TestClient[Any]) -> None:
    response = client.get("/queue")
    assert (response.status_code, response.json()) == (200, [])


def test_the_queue(client: TestClient[Any], downloads: Downloads) -> None:
    downloads.jobs = [JOB]
    assert client.get("/queue").json() == [
        {
            "id": "http://b1:11434",
            "taskType": "model_download",
            "modelJob": {"url": "http://b1:11434", "model": "phi3:3.8b"},
            "scheduledFor": 0,
            "validUntil": 0,
            "createdAt": "2026-01-31T12:00:00.000005Z",
            "updatedAt": "2026-01-31T12:00:00.000005Z",
            "backendId": "b1",
            "status": "running",
            "priority": 0,
            "attempts": 1,
            "completed": 5,
            "total": 10,
            "error": "",
        }
    ]


def test_a_queue_that_cannot_be_read(client: TestClient[Any], downloads: Downloads) -> None:
    downloads.failure = DatabaseUnavailable("the database is busy")
    assert client.get("/queue").status_code == 503


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("phi3:3.8b", "phi3:3.8b"),
        ("org%2Fm3", "org/m3"),
        ("a%20b%2C%25%C3%A9", "a b,%é"),
        ("inProgress", "inProgress"),
    ],
)
def test_a_model_is_removed_from_the_queue(
    client: TestClient[Any], downloads: Downloads, path: str, model: str
) -> None:
    response = client.delete(f"/queue/{path}")
    assert (response.status_code, response.json()) == (200, "Model removed from queue")
    assert downloads.cancelled == [("default", model, None)]


@pytest.mark.parametrize(
    ("query", "cancelled"),
    [
        ({"url": "http://b1:11434"}, (None, "http://b1:11434")),
        ({"model": "phi3"}, ("phi3", None)),
        ({"url": "http://b1:11434", "model": "phi3"}, (None, "http://b1:11434")),
        ({"url": "", "model": "phi3"}, ("phi3", None)),
    ],
)
def test_downloads_are_cancelled(
    client: TestClient[Any], downloads: Downloads, query: dict[str, str], cancelled: Any
) -> None:
    response = client.delete("/queue/cancel", params=query)
    assert (response.status_code, response.json()) == (
        200,
        "Model download cancellation initiated",
    )
    assert downloads.cancelled == [("default", *cancelled)]


@pytest.mark.parametrize("query", [{}, {"url": ""}, {"other": "x"}])
def test_cancelling_nothing_in_particular(
    client: TestClient[Any], downloads: Downloads, query: dict[str, str]
) -> None:
    response = client.delete("/queue/cancel", params=query)
    assert response.status_code == 400
    assert "url or model" in response.json()["error"]["message"]
    assert downloads.cancelled == []


def test_there_is_no_way_to_queue_by_hand(client: TestClient[Any]) -> None:
    response = client.post("/queue", json={})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_a_model_is_deleted_from_a_backend(client: TestClient[Any], downloads: Downloads) -> None:
    response = client.delete("/backends/b1/models/org%2Fm3:1")
    assert (response.status_code, response.json()) == (200, "model removed from backend")
    assert downloads.deleted == [("b1", "org/m3:1")]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (NotFound("backend 'b9' is not in use"), 404, "not_found"),
        (ModelNotFound("b1 has no such model"), 404, "model_not_found"),
        (InvalidRequest("its models are not managed from here"), 400, "bad_request"),
    ],
)
def test_a_model_cannot_be_deleted(
    client: TestClient[Any], downloads: Downloads, failure: Exception, status: int, code: str
) -> None:
    downloads.failure = failure
    response = client.delete("/backends/b1/models/phi3")
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


# -------------------------------------------------------------------------
# As it happens
# -------------------------------------------------------------------------


@pytest.fixture
async def live(
    make_app: Callable[..., Any], serve: Any, downloads: Downloads
) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app({"rooms": {"downloads": downloads}}, sse_heartbeat=0.05)
    async with (
        serve(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client,
    ):
        yield client
        if downloads.watchers:
            await asyncio.wait_for(downloads.left.wait(), 5)


def news(status: str, **fields: Any) -> DownloadEvent:
    return DownloadEvent(base_url="http://b1", model="phi3", status=status, **fields)


async def data(lines: AsyncIterator[str]) -> dict[str, Any]:
    async for line in lines:
        if line.startswith("data: "):
            decoded: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return decoded
    raise AssertionError("the stream has ended")


async def test_headers_and_comments_come_before_any_news(live: httpx.AsyncClient) -> None:
    async with live.stream("GET", "/queue/inProgress") as response:
        assert response.headers["content-type"] == "text/event-stream"
        async for line in response.aiter_lines():
            assert line.startswith(":")
            break


async def test_news_come_as_they_happen(live: httpx.AsyncClient, downloads: Downloads) -> None:
    async with live.stream("GET", "/queue/inProgress") as response:
        lines = response.aiter_lines()
        downloads.events.put_nowait(news("pulling manifest"))
        assert await data(lines) == {
            "status": "pulling manifest",
            "model": "phi3",
            "baseUrl": "http://b1",
        }
        downloads.events.put_nowait(news("pulling", digest="sha256:1", completed=5, total=9))
        assert await data(lines) == {
            "status": "pulling",
            "digest": "sha256:1",
            "total": 9,
            "completed": 5,
            "model": "phi3",
            "baseUrl": "http://b1",
        }
        downloads.events.put_nowait(news("failed", error="no space left on device"))
        assert (await data(lines))["error"] == "no space left on device"
        assert downloads.watchers == 1
    await asyncio.wait_for(downloads.left.wait(), 5)
    assert downloads.watchers == 0


async def test_a_failure_is_the_last_frame(live: httpx.AsyncClient, downloads: Downloads) -> None:
    downloads.events.put_nowait(news("pulling"))
    downloads.events.put_nowait(DatabaseUnavailable("the database is busy"))
    async with live.stream("GET", "/queue/inProgress") as response:
        frames = [line for line in [line async for line in response.aiter_lines()] if line]
    assert json.loads(frames[-1].removeprefix("data: "))["error"]["code"] == "database_unavailable"


async def test_head_watches_nothing(live: httpx.AsyncClient, downloads: Downloads) -> None:
    response = await live.head("/queue/inProgress")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert downloads.watchers == 0
