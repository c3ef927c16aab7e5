"""The load generator counts right answers, and only those."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bench.load import Job, percentile, run
from bench.upstream import CHUNKS, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def serving(factory: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Canned(asyncio.Protocol):
    """Answers whatever it gets with the same bytes, then hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(self.answer)
        self.transport.close()


def job(port: int, **options: object) -> Job:
    return Job(**{"port": port, "path": CHAT, "headers": {}, "seconds": 10.0, **options})  # type: ignore[arg-type]


async def test_counts_the_answers_it_was_asked_for() -> None:
    async with serving(Upstream) as port:
        result = await run(job(port, concurrency=4, requests=40))
    assert (result.count, result.errors) == (40, 0)
    assert result.rate == pytest.approx(40 / result.elapsed)
    assert 0 < result.times["latency"]["p50"] <= result.times["latency"]["p99"]


async def test_stops_when_time_is_up() -> None:
    async with serving(Upstream) as port:
        result = await run(job(port, concurrency=2, seconds=0.05))
    assert result.count > 0
    assert 0.05 <= result.elapsed < 5


async def test_sees_every_token_of_streams() -> None:
    async with serving(Upstream) as port:
        result = await run(job(port, concurrency=2, requests=6, stream=True))
    assert (result.count, result.errors) == (6, 0)
    assert result.times["first"]["n"] == 6


async def test_measures_how_long_paced_tokens_travel() -> None:
    async with serving(Upstream) as port:
        result = await run(job(port, requests=2, stream=True, pace=1))
    assert result.times["forward"]["n"] == 2
    assert result.times["forward_all"]["n"] == 2 * CHUNKS
    assert 0 < result.times["forward_all"]["p50"] < 1000


async def test_a_refusal_is_an_error_and_not_an_answer() -> None:
    async with serving(Upstream) as port:
        result = await run(job(port, path="/nowhere", requests=3))
    assert (result.count, result.errors) == (0, 3)
    assert "status 404" in result.first_error
    assert "no such route" in result.first_error


@pytest.mark.parametrize(
    ("answer", "stream", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", False, "0 pieces"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\npiece piece [DONE]",
            True,
            "2 pieces",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (6 * CHUNKS) + b"piece " * CHUNKS,
            True,
            "64 pieces",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nhalf", False, "connection lost"),
        (b"what?\r\n\r\n", False, "not HTTP"),
    ],
    ids=["short", "missing tokens", "missing end", "cut off", "not HTTP"],
)
async def test_a_wrong_answer_is_an_error(answer: bytes, stream: bool, problem: str) -> None:
    async with serving(lambda: Canned(answer)) as port:
        result = await run(job(port, requests=2, stream=stream))
    assert (result.count, result.errors) == (0, 2)
    assert problem in result.first_error


async def test_connects_again_when_the_server_hangs_up() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 384\r\n\r\n" + b"piece " * CHUNKS
    )
    async with serving(lambda: Canned(answer)) as port:
        result = await run(job(port, concurrency=2, requests=10))
    assert (result.count, result.errors) == (10, 0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([3.0], 0.99, 3.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(100)], 0.99, 99.0),
    ],
)
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
