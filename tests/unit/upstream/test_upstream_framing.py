from __future__ import annotations

import gzip
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.errors import UpstreamProtocolError
from runtime_core.upstream import MAX_EVENT_BYTES, ndjson, sse_data
from runtime_core.upstream.framing import LineDecoder, SSEDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class Pieces(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def cut(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in cuts)})
    return [body[a:b] for a, b in pairwise(places)]


def events(*pieces: bytes) -> list[bytes]:
    decoder = SSEDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)] + decoder.rest()


def lines(*pieces: bytes) -> list[bytes]:
    decoder = LineDecoder()
    return [line for piece in pieces for line in decoder.feed(piece)] + [decoder.rest()]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data: a\r\n: \r\ndata: b\r\rdata: c\n\r\n", [b"a\nb", b"c"]),
        (b"data:one\n\ndata:  two\n\n", [b"one", b" two"]),
        (b"data: a\ndata: b\ndata:\n\n", [b"a\nb\n"]),
        (b": hello\n\n: \n:\ndata: one\n: in between\ndata: more\n\n", [b"one\nmore"]),
        (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
        (b"data: one\n\n\xef\xbb\xbfdata: two\n\n", [b"one"]),
        (b"event: x\nid: 7\nretry: 10\ndata: one\n\n", [b"one"]),
        (b"event: nothing\n\ndata: one\n\n", [b"one"]),
        (b"data\n\ndata\ndata\n\n", [b"", b"\n"]),
        (b"database: no\nDATA: no\n data: no\n\n", []),
        (b"data: one\n", [b"one"]),
        (b"data: [DONE]", [b"[DONE]"]),
        (b"\n\n\n", []),
        (b"", []),
        ('data: {"t":"a\u2028b\x85c\x0bd"}\n\n'.encode(), ['{"t":"a\u2028b\x85c\x0bd"}'.encode()]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_as_the_standard_says(stream: bytes, expected: list[bytes], size: int) -> None:
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert events(*pieces) == expected


TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@given(
    st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 500)),
)
def test_events_survive_any_cut(messages: list[list[str]], end: str, cuts: list[int]) -> None:
    stream = "".join(
        "".join(f"data: {line}{end}" for line in message) + end for message in messages
    ).encode()
    assert events(*cut(stream, cuts)) == ["\n".join(message).encode() for message in messages]


@given(st.lists(TEXT), st.lists(st.integers(0, 500)))
def test_lines_survive_any_cut(texts: list[str], cuts: list[int]) -> None:
    body = "\n".join(texts).encode()
    assert lines(*cut(body, cuts)) == (body.split(b"\n"))


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    assert b"\n".join(lines(*pieces)) == b"".join(pieces)
    events(*pieces)


@pytest.mark.parametrize(
    ("decoder", "piece"),
    [
        (LineDecoder, b"data: " + b"x" * 1_000_000),
        (SSEDecoder, b"data: " + b"x" * 1_000_000),
        (SSEDecoder, b"data: " + b"x" * 1_000_000 + b"\n"),
    ],
)
def test_what_does_not_end_is_refused(
    decoder: type[LineDecoder | SSEDecoder], piece: bytes
) -> None:
    feed = decoder().feed
    for _ in range(MAX_EVENT_BYTES // len(piece)):
        assert feed(piece) == []
    with pytest.raises(UpstreamProtocolError, match="without ending"):
        feed(piece)


def test_the_limit_is_for_each_event() -> None:
    lines_decoder, sse_decoder = LineDecoder(), SSEDecoder()
    half = b"x" * (MAX_EVENT_BYTES // 2)
    for _ in range(4):
        assert lines_decoder.feed(half) == []
        assert lines_decoder.feed(b"\n") == [half]
        assert sse_decoder.feed(b"data: " + half) == []
        assert sse_decoder.feed(b"\n\n") == [half]
        assert sse_decoder.feed(b": " + half + b"\n") == []


async def test_blank_lines_are_left_out() -> None:
    response = httpx.Response(200, stream=Pieces(b'{"a"', b":1}\n\n \r\n{}\r\n", b"  \n[]"))
    assert [line async for line in ndjson(response)] == [b'{"a":1}', b"{}\r", b"[]"]


async def test_a_line_is_given_before_the_next_piece_is_awaited() -> None:
    asked: list[int] = []

    class Watched(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number in range(3):
                asked.append(number)
                yield b"data: %d\n\n" % number

    seen = []
    async for data in sse_data(httpx.Response(200, stream=Watched())):
        seen.append((data, len(asked)))
    assert seen == [(b"0", 1), (b"1", 2), (b"2", 3)]


async def test_an_event_that_ends_with_the_body() -> None:
    response = httpx.Response(200, stream=Pieces(b"data: one\n\ndata: [DO", b"NE]"))
    assert [data async for data in sse_data(response)] == [b"one", b"[DONE]"]


async def test_bodies_that_were_read_or_compressed() -> None:
    assert [line async for line in ndjson(httpx.Response(200, content=b"1\n2"))] == [b"1", b"2"]
    packed = gzip.compress(b"data: one\n\ndata: two\n\n")
    response = httpx.Response(
        200,
        headers={"content-encoding": "gzip"},
        stream=Pieces(packed[:11], packed[11:]),
    )
    assert [data async for data in sse_data(response)] == [b"one", b"two"]
