"""Answers to tools: compressed, too large, too slow, broken off, or in pieces."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core import errors
from runtime_core.upstream.decoding import Decompressor

if TYPE_CHECKING:
    from runtime_core.upstream import Egress


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


PIECE = 256 * 1024
TEXT = b"some text, again and again; " * 40_000
COMPRESSED = {
    "gzip": ("gzip", gzip.compress(TEXT, mtime=0)),
    "x-gzip": ("X-GZip", gzip.compress(TEXT, mtime=0)),
    "members": (
        "gzip",
        gzip.compress(TEXT[:999], mtime=0) + gzip.compress(TEXT[999:], mtime=0) + b"\0" * 9,
    ),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "raw": ("deflate", raw_deflate(TEXT)),
    "identity": ("identity", TEXT),
}


@pytest.mark.parametrize("how", COMPRESSED)
@pytest.mark.parametrize("slowly", [False, True])
async def test_compressed_answers(
    egress: Egress, service: Any, whole: Any, how: str, slowly: bool
) -> None:
    encoding, body = COMPRESSED[how]
    answer = whole(body, content_encoding=encoding)

    async def dribble(head: str, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(answer), 4001):
            writer.write(answer[start : start + 4001])
            await writer.drain()
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    service.answers["/"] = dribble if slowly else answer
    got = await egress.operator.request("GET", f"{service.url}/")
    assert got.body == TEXT


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, PIECE + 22, PIECE + 240, 2 * PIECE])
def test_what_is_left_when_a_piece_is_full(size: int) -> None:
    """The end may be read already when there is no room for it yet."""
    decompressor = Decompressor("deflate")
    pieces = list(decompressor.feed(raw_deflate(b"x" * size)))
    decompressor.finish()
    assert b"".join(pieces) == b"x" * size
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("br", b"xx", "reads gzip, deflate only"),
        (
            "gzip, gzip",
            gzip.compress(gzip.compress(b"x", mtime=0), mtime=0),
            "reads gzip, deflate only",
        ),
        ("gzip", b"no gzip", "cannot be decompressed"),
        ("deflate", b"no deflate", "cannot be decompressed"),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-9], "ended too early"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-8] + b"12345678", "cannot be decompressed"),
    ],
)
async def test_answers_that_cannot_be_decompressed(
    egress: Egress, service: Any, whole: Any, encoding: str, body: bytes, says: str
) -> None:
    service.answers["/"] = whole(body, content_encoding=encoding)
    with pytest.raises(errors.UpstreamProtocolError, match=says):
        await egress.operator.request("GET", f"{service.url}/")


async def test_a_bomb(egress: Egress, service: Any, whole: Any) -> None:
    """128 MiB in 128 KiB: read no further than what was asked for."""
    engine = zlib.compressobj(wbits=31)
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(128)) + engine.flush()
    service.answers["/"] = whole(bomb, content_encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(errors.UpstreamError, match="more than 1000000 bytes") as caught:
            await egress.operator.request("GET", f"{service.url}/", max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not caught.value.retryable
    assert peak < 8 << 20
    await service.left.wait()


async def test_answers_as_large_as_asked_for(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/"] = whole(b"x" * 1000)
    url = f"{service.url}/"
    assert len((await egress.operator.request("GET", url, max_bytes=1000)).body) == 1000
    assert len((await egress.operator.request("GET", url, max_bytes=None)).body) == 1000
    with pytest.raises(errors.UpstreamError, match="more than 999 bytes"):
        await egress.operator.request("GET", url, max_bytes=999)


async def test_answers_that_announce_too_much(egress: Egress, service: Any) -> None:
    service.answers["/"] = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"
    with pytest.raises(errors.UpstreamError, match="more than 4999 bytes"):
        await egress.operator.request("GET", f"{service.url}/", max_bytes=4999)
    await service.left.wait()


async def test_answers_without_end(egress: Egress, service: Any) -> None:
    async def pour(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    service.answers["/"] = pour
    with pytest.raises(errors.UpstreamError, match="more than 1000000 bytes"):
        await egress.operator.request("GET", f"{service.url}/", max_bytes=1_000_000)
    await service.left.wait()


async def test_only_the_size_of_a_body_counts(egress: Egress, service: Any) -> None:
    service.answers["/"] = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"
    answer = await egress.operator.request("HEAD", f"{service.url}/", max_bytes=10)
    assert answer.headers["content-length"] == "5000"


async def test_drops_that_never_end(egress: Egress, service: Any) -> None:
    """Each drop comes soon enough; all of them together do not."""

    async def drip(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    service.answers["/"] = drip
    with pytest.raises(errors.TimedOut, match=r"127\.0\.0\.1:\d+ took longer than 0\.2 seconds"):
        await egress.operator.request("GET", f"{service.url}/", timeout=0.2)
    await service.left.wait()


async def test_redirects_share_one_time(egress: Egress, service: Any, whole: Any) -> None:
    async def late(head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.08)
        writer.write(whole(b"", "302 X", location="/"))
        await asyncio.Event().wait()

    service.answers["/"] = late
    with pytest.raises(errors.TimedOut):
        await egress.operator.request("GET", f"{service.url}/", timeout=0.2, redirects=100)


async def test_a_timeout_of_the_caller_is_the_callers(egress: Egress, service: Any) -> None:
    async def hang(head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    service.answers["/"] = hang
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await egress.operator.request("GET", f"{service.url}/")
    await service.left.wait()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", errors.UpstreamDisconnected),
        (b"SSH-2.0-x\r\n\r\n", errors.UpstreamProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", errors.UpstreamProtocolError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", None),
    ],
)
async def test_answers_that_break(
    egress: Egress, service: Any, said: bytes, kind: type[errors.UpstreamError] | None
) -> None:
    async def behave(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if kind is None:
            await asyncio.Event().wait()

    service.answers["/"] = behave
    with pytest.raises(kind or errors.UpstreamProtocolError, match=r"^http://127\.0\.0\.1:"):
        await egress.operator.request("POST", f"{service.url}/")


async def test_framing_that_breaks_midway(egress: Egress, service: Any) -> None:
    """The connection stays open and nothing more comes: the error does not wait for that."""
    read = asyncio.Event()

    async def garble(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await read.wait()
        writer.write(b"zz\r\n")
        await asyncio.Event().wait()

    service.answers["/"] = garble
    async with egress.operator.stream("GET", f"{service.url}/", timeout=None) as answer:
        pieces = aiter(answer)
        assert await anext(pieces) == b"one"
        read.set()
        with pytest.raises(errors.UpstreamProtocolError, match="garbled or broke off"):
            await anext(pieces)


async def test_streams(egress: Egress, service: Any) -> None:
    asked = asyncio.Event()

    async def speak(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await asked.wait()
        writer.write(b"3\r\ntwo\r\n")
        await asyncio.Event().wait()

    service.answers["/"] = speak
    got = []
    async with egress.operator.stream("GET", f"{service.url}/", timeout=None) as answer:
        assert answer.status == 200
        async for piece in answer:
            got.append(piece)
            asked.set()
            if len(got) == 2:
                break
    assert got == [b"one", b"two"]
    # the rest is not waited for
    await service.left.wait()


async def test_leaving_by_an_error_closes_at_once(egress: Egress, service: Any) -> None:
    async def hang(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.Event().wait()

    service.answers["/"] = hang
    with pytest.raises(TimeoutError, match="mine"):
        async with egress.operator.stream("GET", f"{service.url}/"):
            raise TimeoutError("mine")
    await service.left.wait()
