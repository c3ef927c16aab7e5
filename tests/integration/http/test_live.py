"""A real server on a socket: clients that leave, bodies in pieces, frames as they come."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHAT = {"message": "one two three", "stream": True}


class Connection:
    """A client that sees every byte, and may leave at any of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def post(self, path: str, body: object, *, accept: str = "*/*") -> None:
        raw = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        self.writer.write(head.encode() + raw)

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(text)

    async def leave(self) -> None:
        self.writer.transport.abort()
        await asyncio.wait([asyncio.ensure_future(self.writer.wait_closed())])


def leftovers() -> list[str]:
    """Tasks of the product, or of a request, which have not ended."""
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name() in ("feed", "watch") or "run_asgi" in repr(task.get_coro())
    ]


async def no_leftovers() -> None:
    async with asyncio.timeout(2):
        while leftovers():  # noqa: ASYNC110 - what is waited for is that nothing is left
            await asyncio.sleep(0.005)


@pytest.fixture
async def port(make_app: Callable[..., Any], serve: Any) -> AsyncIterator[int]:
    async with serve(make_app()) as port:
        yield port


@pytest.mark.parametrize(
    ("path", "body", "accept"),
    [
        ("/execute", {"prompt": "x"}, "*/*"),
        ("/chat", {"message": "x"}, "*/*"),
        ("/chat", {"message": "x", "stream": True}, "*/*"),
        ("/tasks", {"input": "x", "chain": None}, "*/*"),
        ("/tasks", {"input": "x", "chain": None}, "text/event-stream"),
    ],
    ids=["execute", "chat", "chat-stream", "tasks", "tasks-live"],
)
@pytest.mark.parametrize("script", [["PAUSE"], ["one ", "PAUSE"]], ids=["early", "midway"])
async def test_a_client_that_leaves_stops_the_model(
    port: int,
    models: Any,
    chain: Callable[..., Any],
    path: str,
    body: dict[str, Any],
    accept: str,
    script: list[str],
) -> None:
    models.script = script
    if "chain" in body:
        body = {**body, "chain": chain()}
    client = await Connection.open(port)
    client.post(path, body, accept=accept)
    await asyncio.wait_for(models.paused.wait(), 5)
    assert models.open == 1
    await client.leave()
    await asyncio.wait_for(models.closed.wait(), 1)
    assert models.open == 0
    await no_leftovers()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as other:
        assert (await other.get("/chat")).json() == []
        assert (await other.get("/health")).status_code == 200


async def test_pieces_arrive_while_the_model_still_talks(port: int, models: Any) -> None:
    models.script = ["first", "PAUSE", " second"]
    client = await Connection.open(port)
    client.post("/chat", CHAT)
    head = await client.until(b"\r\n\r\n")
    assert b"text/event-stream" in head
    assert b"x-request-id" in head
    assert await client.until(b'"first"}\n\n')
    assert not models.closed.is_set()
    models.go_on.set()
    rest = await client.until(b"0\r\n\r\n")
    assert b'{"delta":" second"}' in rest
    assert rest.count(b"data: ") == 2
    client.writer.close()


async def test_silence_has_a_heartbeat(
    make_app: Callable[..., Any], serve: Any, models: Any
) -> None:
    models.script = ["first", "PAUSE", " second"]
    async with serve(make_app(sse_heartbeat=0.01)) as port:
        client = await Connection.open(port)
        client.post("/chat", CHAT)
        await client.until(b": still here\n\n")
        models.go_on.set()
        await client.until(b"0\r\n\r\n")
        client.writer.close()


async def test_an_unfinished_body_is_forgotten_with_its_client(
    make_app: Callable[..., Any], serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    async with serve(app) as port:
        client = await Connection.open(port)
        client.writer.write(b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        async with asyncio.timeout(5):
            while not app.gate.metrics.requests_in_flight:  # noqa: ASYNC110 - a plain number
                await asyncio.sleep(0.005)
        await client.leave()
        await no_leftovers()
        assert not app.gate.metrics.requests_in_flight
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_body_in_endless_pieces_is_cut_off(
    make_app: Callable[..., Any], serve: Any
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(100):
            yield b"x" * 1000

    async with (
        serve(make_app(max_body=5000)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        response = await client.post("/execute", content=pieces())
        assert response.status_code == 413
        again = await client.post("/execute", json={"prompt": "hi"})
        assert again.json()["response"] == "hi"
    await no_leftovers()


async def test_one_connection_serves_many_requests(port: int) -> None:
    client = await Connection.open(port)
    for n in range(3):
        client.post("/execute", {"prompt": f"request {n}"})
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert f"request {n}".encode() in await client.until(b"}")
    client.writer.close()


async def test_head_of_a_document_keeps_the_connection_usable(port: int) -> None:
    client = await Connection.open(port)
    client.writer.write(b"HEAD /version HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await client.until(b"\r\n\r\n")
    assert b"content-length: 97" in head.lower()
    client.writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    client.writer.close()


async def test_a_hundred_clients_come_and_go(port: int, models: Any) -> None:
    models.script = ["one ", "PAUSE"]
    clients = [await Connection.open(port) for _ in range(100)]
    for client in clients:
        client.post("/chat", CHAT)
    await asyncio.gather(*(client.until(b"one ") for client in clients))
    assert models.open == 100
    await asyncio.gather(*(client.leave() for client in clients))
    await no_leftovers()
    assert models.open == 0


async def test_names_with_slashes_over_the_wire(port: int) -> None:
    chain = {"id": "org/a b%", "tasks": [{"id": "a"}]}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await client.post("/taskchains", json=chain)
        response = await client.get("/taskchains/org%2Fa%20b%25")
        assert response.json()["id"] == "org/a b%"
        assert (await client.get("/taskchains/org/a%20b%25")).status_code == 404
