from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.errors import UpstreamUnavailable
from runtime_core.http import EventStream, Feed, sse_frame
from runtime_core.http.context import ENDLESS
from runtime_core.http.sse import Endless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SCOPE: dict[str, Any] = {"type": "http", "method": "GET"}


class Source:
    """Yields *items*; "pause" waits until `go_on` is set."""

    def __init__(self, *items: object) -> None:
        self.items = items
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, bytes):
                    yield item
                else:
                    await self.go_on.wait()
        finally:
            self.closed.set()


def frames(batch: list[bytes]) -> bytes:
    return b"".join(map(sse_frame, batch))


def stream(source: Source, **options: Any) -> Any:
    options.setdefault("heartbeat", 60)
    return EventStream(Feed(source.stream()), frames, **options).to_asgi_response(None, None)


@pytest.mark.parametrize(
    ("arguments", "frame"),
    [
        ((b'{"a":1}', {}), b'data: {"a":1}\n\n'),
        (("text", {"event": "delta"}), b"event: delta\ndata: text\n\n"),
        ((b"x", {"id": "7"}), b"id: 7\ndata: x\n\n"),
        ((b"x", {"id": "7", "event": "e"}), b"id: 7\nevent: e\ndata: x\n\n"),
        ((b"", {}), b"data: \n\n"),
        (("a\nb\r\nc\rd", {}), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (("é", {}), "data: é\n\n".encode()),
    ],
)
def test_a_frame(arguments: tuple[bytes, dict[str, str]], frame: bytes) -> None:
    assert sse_frame(arguments[0], **arguments[1]) == frame


@pytest.mark.parametrize("field", ["id", "event"])
def test_a_field_cannot_smuggle_another_one(field: str) -> None:
    with pytest.raises(ValueError, match="line breaks"):
        sse_frame(b"x", **{field: "1\ndata: forged"})


async def test_what_is_ready_leaves_in_one_write(client: Any, own_tasks: Any) -> None:
    source = Source(b"1", b"2", b"3")
    await stream(source, finish=lambda: sse_frame(b"[DONE]"))(SCOPE, client.receive, client.send)
    assert client.chunks == [b"data: 1\n\ndata: 2\n\ndata: 3\n\n", b"data: [DONE]\n\n"]
    assert client.finished
    assert client.started["status"] == 200
    assert client.headers["content-type"] == "text/event-stream"
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-accel-buffering"] == "no"
    assert not own_tasks()


async def test_headers_leave_before_the_first_frame(client: Any) -> None:
    source = Source("pause", b"late")
    serving = asyncio.create_task(
        stream(source, headers={"X-Run-ID": "r1"})(SCOPE, client.receive, client.send)
    )
    async with asyncio.timeout(5), client.arrived:
        await client.arrived.wait_for(lambda: client.started)
    assert not client.chunks
    assert client.headers["x-run-id"] == "r1"
    source.go_on.set()
    await serving
    assert client.body == b"data: late\n\n"


async def test_silence_is_filled_with_comments(client: Any) -> None:
    source = Source("pause", b"x")
    serving = asyncio.create_task(
        stream(source, heartbeat=0.005)(SCOPE, client.receive, client.send)
    )
    await client.until(b": still here\n\n: still here\n\n")
    source.go_on.set()
    await serving
    assert client.body.endswith(b"\n\ndata: x\n\n")


async def test_an_error_is_the_last_frame(client: Any) -> None:
    source = Source(b"1", UpstreamUnavailable("the backend broke"))
    await stream(source, finish=lambda: b"data: [DONE]\n\n")(SCOPE, client.receive, client.send)
    first, last = client.body.decode().removesuffix("\n\n").split("\n\n")
    assert first == "data: 1"
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["message"] == "the backend broke"
    assert error["code"] == "upstream_error"
    assert client.finished


async def test_an_unexpected_error_is_logged_and_not_shown(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await stream(Source(b"1", KeyError("secret")))(SCOPE, client.receive, client.send)
    assert b"secret" not in client.body
    assert b"internal_error" in client.body
    assert "secret" in caplog.text


async def test_the_error_frame_can_have_another_shape(client: Any) -> None:
    source = Source(UpstreamUnavailable("gone"))
    await stream(source, error=lambda error: error.message.encode())(
        SCOPE, client.receive, client.send
    )
    assert client.body == b"gone"


@pytest.mark.parametrize("leave_at", ["waiting", "blocked"])
async def test_a_client_that_leaves_cancels_the_source(
    client: Any, own_tasks: Callable[[], list[str]], leave_at: str
) -> None:
    source = Source(b"1", "pause", b"2")
    serving = asyncio.create_task(
        stream(source, finish=lambda: b"data: [DONE]\n\n")(SCOPE, client.receive, client.send)
    )
    await client.until(b"data: 1")
    if leave_at == "blocked":
        client.reads.clear()
        source.go_on.set()
        await asyncio.sleep(0)
    client.gone.set()
    await asyncio.sleep(0)
    client.reads.set()  # a server lets writes to a lost connection return
    async with asyncio.timeout(5):
        await serving
    assert source.closed.is_set()
    assert b"[DONE]" not in client.body
    assert not own_tasks()


async def test_a_server_that_raises_on_a_lost_connection_is_no_error(
    client: Any, own_tasks: Any
) -> None:
    source = Source(b"1", "pause")

    async def send(message: Any) -> None:
        raise OSError("gone")

    await stream(source)(SCOPE, client.receive, send)
    assert not own_tasks()


async def test_a_client_that_does_not_read_is_told_and_disconnected(
    client: Any, own_tasks: Any
) -> None:
    source = Source(b"1", "pause", b"2")
    serving = asyncio.create_task(stream(source, patience=0.01)(SCOPE, client.receive, client.send))
    await client.until(b"data: 1")
    client.reads.clear()
    source.go_on.set()
    await client.gave_up.wait()
    client.reads.set()
    await serving
    assert client.body.endswith(b": ended, since the client did not read\n\n")
    assert client.finished
    assert not own_tasks()


async def test_cancelling_the_server_closes_the_source(client: Any, own_tasks: Any) -> None:
    source = Source("pause")
    serving = asyncio.create_task(stream(source)(SCOPE, client.receive, client.send))
    async with asyncio.timeout(5), client.arrived:
        await client.arrived.wait_for(lambda: client.started)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert source.closed.is_set()
    assert not own_tasks()


async def test_a_head_request_ends_with_the_headers(client: Any) -> None:
    source = Source("pause")
    scope = {**SCOPE, "runtime.head": True}
    async with asyncio.timeout(5):
        await stream(source)(scope, client.receive, client.send)
    assert client.finished
    assert not client.body


@pytest.mark.parametrize("late", [False, True])
async def test_an_endless_stream_ends_when_all_do(late: bool) -> None:
    source, endless, sent = Source(b"a", "pause"), Endless(), []

    async def send(message: Any) -> None:
        sent.append(message)
        if not late and b"a" in message.get("body", b""):
            endless.end()

    if late:
        endless.end()
    async with asyncio.timeout(5):
        await stream(source, endless=True)({**SCOPE, ENDLESS: endless}, never, send)
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert not endless._feeds


async def test_a_stream_with_an_end_is_left_to_it() -> None:
    source, endless, sent = Source(b"a", "pause", b"b"), Endless(), []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if b"a" in sent[-1]:
            endless.end()
            source.go_on.set()

    async with asyncio.timeout(5):
        await stream(source)({**SCOPE, ENDLESS: endless}, never, send)
    assert b"data: b" in b"".join(sent)


async def never() -> Any:
    await asyncio.Event().wait()
