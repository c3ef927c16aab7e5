"""Clients that leave: whatever they asked for, the call of the upstream ends within a second."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHOICE = {"index": 0, "delta": {"content": "one"}, "finish_reason": None}
EVENT = b"data: " + json.dumps({"id": "x", "choices": [CHOICE]}).encode() + b"\n\n"
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


class Connection:
    """A client that sees every byte, and may leave at any of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, server: Any) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def post(self, path: str, body: object, accept: str = "*/*", *, short_of: int = 0) -> None:
        raw = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        self.writer.write(head.encode() + raw[: len(raw) - short_of])

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(5):
            await self.reader.readuntil(text)

    async def leave(self, how: str) -> None:
        if how == "reset":
            self.writer.transport.abort()
        else:
            self.writer.close()
        await asyncio.wait([asyncio.ensure_future(self.writer.wait_closed())])


async def within_a_second(event: asyncio.Event) -> None:
    began = time.monotonic()
    async with asyncio.timeout(2):
        await event.wait()
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("said", [(), (HEAD,), (HEAD, CHUNK)], ids=["asked", "headers", "begun"])
async def test_a_client_that_leaves(
    patient: Any, ask: Any, upstreams: Any, said: tuple[bytes, ...], how: str
) -> None:
    patient.upstream.behave = upstreams.hang(*said)
    connection = await Connection.open(patient)
    connection.post(ask.path, ask.body, ask.headers["accept"])
    await patient.upstream.received.wait()
    if said == (HEAD, CHUNK) and ask.streams:
        await connection.until(b"one")
    await connection.leave(how)
    await within_a_second(patient.upstream.left)
    await patient.quiet()


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/openai/ask/v1/embeddings"])
async def test_a_client_that_leaves_while_texts_are_embedded(
    patient: Any, upstreams: Any, path: str
) -> None:
    patient.upstream.behave = upstreams.hang()
    connection = await Connection.open(patient)
    body = {"text": "hi"} if path == "/embed" else {"input": "hi", "model": "text-embedding-fake"}
    connection.post(path, body)
    await patient.upstream.received.wait()
    await connection.leave("close")
    await within_a_second(patient.upstream.left)
    await patient.quiet()


async def test_a_client_that_leaves_in_the_middle_of_its_request(patient: Any, ask: Any) -> None:
    connection = await Connection.open(patient)
    connection.post(ask.path, ask.body, short_of=2)
    await connection.writer.drain()
    await connection.leave("close")
    await patient.quiet()
    assert not patient.upstream.received.is_set()


async def test_a_chain_stops_where_its_client_left(patient: Any, upstreams: Any) -> None:
    """The second task is not begun, and nothing is retried, for nobody."""
    asked = 0
    hang = upstreams.hang()

    async def behave(reader: Any, writer: Any) -> None:
        nonlocal asked
        asked += 1
        await hang(reader, writer)

    patient.upstream.behave = behave
    task = {
        "handler": "prompt_to_string",
        "retry_on_failure": 3,
        "transition": {"on_failure": "b", "branches": [{"operator": "default", "goto": "b"}]},
    }
    last = {"branches": [{"operator": "default", "goto": "end"}]}
    chain = {"id": "x", "tasks": [{**task, "id": "a"}, {**task, "id": "b", "transition": last}]}
    connection = await Connection.open(patient)
    connection.post("/tasks", {"input": "hi", "chain": chain})
    await patient.upstream.received.wait()
    await connection.leave("close")
    await within_a_second(patient.upstream.left)
    await patient.quiet()
    assert asked == 1


async def test_many_clients_that_leave_at_once(patient: Any, upstreams: Any) -> None:
    """After a hundred of them there is not one file more than after ten."""

    async def come_and_go(path: str, body: dict[str, Any]) -> None:
        connection = await Connection.open(patient)
        connection.post(path, body)
        async with asyncio.timeout(5):
            while not patient.upstream.busy:  # noqa: ASYNC110 - busy is a number
                await asyncio.sleep(0.005)
        await connection.leave("close")

    async def many(times: int) -> int:
        for _ in range(times):
            patient.upstream.behave = upstreams.hang(HEAD, CHUNK)
            await asyncio.gather(
                *(come_and_go("/execute", {"prompt": "hi"}) for _ in range(5)),
                *(come_and_go("/chat", {"message": "hi", "stream": True}) for _ in range(5)),
            )
        files: int = await patient.open_files()
        return files

    files, tasks = await many(1), len(asyncio.all_tasks())
    assert await many(9) <= files + 2
    assert len(asyncio.all_tasks()) <= tasks + 2


async def test_a_client_that_does_not_read_does_not_stop_the_others(
    patient: Any, upstreams: Any
) -> None:
    patient.upstream.behave = upstreams.forever(HEAD, again=CHUNK * 100)
    connection = await Connection.open(patient)
    connection.post("/chat", {"message": "hi", "stream": True})
    await connection.until(b"one")
    async with patient.client() as client:
        for _ in range(3):
            began = time.monotonic()
            assert (await client.get("/livez")).status_code == 200
            assert time.monotonic() - began < 1.0
    await connection.leave("reset")
    await within_a_second(patient.upstream.left)
