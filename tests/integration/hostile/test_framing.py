"""Answers whose chunks are garbled after they have begun: the error comes at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

GARBLED = {
    "no size": b"zz\r\nhello\r\n",
    "no end of a chunk": b"3\r\nabcdef\r\n",
    "a size without bounds": b"f" * 30 + b"\r\n",
    "a new answer": b"HTTP/1.1 200 OK\r\n\r\n",
    "no trailer": b"0\r\nthis is no header\r\n\r\n",
}


def piece(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    data = f"data: {json.dumps({'id': 'x', 'model': 'm', 'choices': [choice]})}\n\n".encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def garbling(
    said: bytes, seen: asyncio.Event
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Begin an answer, garble it once its beginning was seen, and keep the connection open."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + piece("first"))
        await seen.wait()
        writer.write(said)
        await reader.read()

    return behave


@pytest.mark.parametrize("how", GARBLED)
async def test_a_stream_ends_with_an_error_at_once(patient: Any, how: str) -> None:
    seen = asyncio.Event()
    patient.upstream.behave = garbling(GARBLED[how], seen)
    body = {"model": "gpt-fake", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    text = ""
    async with (
        asyncio.timeout(5),
        patient.client() as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        async for part in response.aiter_text():
            text += part
            if "first" in text:
                seen.set()
    error = json.loads(text.split("\n\ndata: ")[-1])["error"]
    assert error["code"] == "upstream_error"
    assert "garbled" in error["message"]


async def test_a_whole_answer_is_an_error_at_once(patient: Any) -> None:
    seen = asyncio.Event()
    seen.set()
    patient.upstream.behave = garbling(GARBLED["no size"], seen)
    async with asyncio.timeout(5), patient.client() as client:
        response = await client.post("/execute", json={"prompt": "hi"})
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_error"
    assert "garbled" in response.json()["error"]["message"]
