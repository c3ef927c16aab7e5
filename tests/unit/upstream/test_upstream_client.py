"""The client and its endpoints on real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime_core import errors
from runtime_core.upstream import Endpoint, create_client, ndjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ONE = b'8\r\n{"n":1}\n\r\n'
END = b"0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Counts connections and keeps the heads of requests."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.heads: list[bytes] = []
        self.connections = 0
        self.left = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line[15:]))
                await self.handler(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()
            self.tasks.discard(task)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Server, str]]:
    server = Server(handler)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield server, f"http://127.0.0.1:{port}"
    finally:
        listening.close()
        for task in tuple(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        await listening.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with create_client(connect_timeout=2.0, read_timeout=0.3) as client:
        yield client


def sends(*data: bytes, then: str = "wait") -> Handler:
    async def handler(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for piece in data:
            writer.write(piece)
            await writer.drain()
        if then == "close":
            raise ConnectionError
        if then == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionError
        if then == "hang":
            await reader.readexactly(1)

    return handler


async def lines_of(endpoint: Endpoint) -> list[bytes]:
    async with endpoint.stream({"x": 1}) as response:
        return [line async for line in ndjson(response)]


async def test_a_call(client: httpx.AsyncClient) -> None:
    async with serving(sends(CHUNKED, ONE, ONE, END)) as (server, url):
        endpoint = Endpoint("svc", client, f"{url}/a%2Fb?q=%C3%BC&r=1", {"x-api-key": "k"})
        assert await lines_of(endpoint) == [b'{"n":1}', b'{"n":1}']
    head = server.heads[0].decode().lower()
    assert head.startswith("post /a%2fb?q=%c3%bc&r=1 http/1.1\r\n")
    for header in (
        "content-type: application/json",
        "content-length: 7",
        "x-api-key: k",
        "accept-encoding: identity",
        f"host: {url.removeprefix('http://')}",
    ):
        assert head.count(f"\r\n{header}\r\n") == 1
    assert "cookie" not in head


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (sends(then="close"), errors.UpstreamUnavailable),
        (sends(then="reset"), errors.UpstreamUnavailable),
        (sends(b"SSH-2.0-OpenSSH\r\n\r\n", then="close"), errors.UpstreamProtocolError),
        (sends(CHUNKED, b"zz\r\n", then="close"), errors.UpstreamProtocolError),
        (sends(CHUNKED, ONE, then="close"), errors.UpstreamProtocolError),
        (sends(CHUNKED, ONE, then="reset"), errors.UpstreamError),
        (sends(OK[:-1], then="close"), errors.UpstreamProtocolError),
        (sends(b"HTTP/1.1 200", then="close"), errors.UpstreamUnavailable),
        (sends(then="hang"), errors.TimedOut),
        (sends(CHUNKED, then="hang"), errors.TimedOut),
        (sends(CHUNKED, ONE, then="hang"), errors.TimedOut),
    ],
)
async def test_faults(
    client: httpx.AsyncClient, handler: Handler, kind: type[errors.RuntimeCoreError]
) -> None:
    async with serving(handler) as (server, url):
        with pytest.raises(kind, match=r"^svc ") as caught:
            await lines_of(Endpoint("svc", client, url))
        assert caught.value.retryable
        async with asyncio.timeout(1):
            await server.left.wait()


@pytest.mark.parametrize(
    "url", ["", "nowhere", "localhost:11434/api", "ftp://x/", "http://", "http://[::1"]
)
async def test_addresses_that_are_none(client: httpx.AsyncClient, url: str) -> None:
    with pytest.raises(errors.UpstreamUnavailable, match=r"^svc .* check its base URL"):
        await Endpoint("svc", client, url).get(dict)


async def test_a_refused_connection(client: httpx.AsyncClient) -> None:
    async with serving(sends(OK)) as (_, url):
        pass
    with pytest.raises(errors.UpstreamUnavailable, match="cannot be reached"):
        await Endpoint("svc", client, url).get(dict)


async def test_a_connection_that_is_not_made_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with create_client(connect_timeout=0.2, read_timeout=30) as client, asyncio.timeout(5):
        with pytest.raises(errors.TimedOut):
            await Endpoint("svc", client, f"https://127.0.0.1:{port}/").get(dict)
    listening.close()
    await listening.wait_closed()


async def test_proxies_of_the_environment_are_not_asked(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(sends(OK)) as (_, url), create_client() as fresh:
        assert await Endpoint("svc", client, url).get(dict) == {}
        assert await Endpoint("svc", fresh, url).post({}, dict) == {}


async def test_cookies_are_not_kept(client: httpx.AsyncClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nset-cookie: a=1; path=/\r\ncontent-length: 2\r\n\r\n{}"
    async with serving(sends(head)) as (server, address):
        # jars take no cookies from addresses that are numbers
        url = address.replace("127.0.0.1", "localhost")
        for _ in range(2):
            assert await Endpoint("svc", client, url).get(dict) == {}
            assert (await client.get(url)).status_code == 200
    assert all(b"cookie" not in head.lower() for head in server.heads)
    assert not client.cookies


async def test_redirects_are_not_followed(client: httpx.AsyncClient) -> None:
    moved = b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
    async with serving(sends(moved)) as (_, url):
        with pytest.raises(errors.UpstreamRejected, match="base URL"):
            await Endpoint("svc", client, url, {"x-api-key": "k"}).get(dict)


async def test_a_name_and_password_in_the_address(client: httpx.AsyncClient) -> None:
    async with serving(sends(OK)) as (server, url):
        with_user = url.replace("//", "//me:p%40ss@")
        await Endpoint("svc", client, with_user).get(dict)
        await Endpoint("svc", client, with_user, {"Authorization": "Bearer x"}).get(dict)
    assert b"Basic bWU6cEBzcw==" in server.heads[0]
    assert b"me:" not in server.heads[0]
    assert b"Bearer x" in server.heads[1]
    assert b"Basic" not in server.heads[1]


async def test_a_connection_serves_again_though_its_end_comes_late(
    client: httpx.AsyncClient,
) -> None:
    async def late(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + ONE)
        await writer.drain()
        for _ in range(5):
            await asyncio.sleep(0)
        writer.write(END)

    async with serving(late) as (server, url):
        endpoint = Endpoint("svc", client, url)
        for _ in range(3):
            async with endpoint.stream({}) as response:
                async for _ in ndjson(response):
                    break
    assert server.connections == 1


async def test_an_end_that_never_comes_does_not_hold_up(client: httpx.AsyncClient) -> None:
    async with serving(sends(CHUNKED, ONE, then="hang")) as (server, url):
        async with asyncio.timeout(0.25), Endpoint("svc", client, url).stream({}) as response:
            async for _ in ndjson(response):
                break
        async with asyncio.timeout(1):
            await server.left.wait()


async def test_leaving_closes_at_once(client: httpx.AsyncClient) -> None:
    async with serving(sends(CHUNKED, ONE, then="hang")) as (server, url):

        async def stream() -> AsyncIterator[bytes]:
            async with Endpoint("svc", client, url).stream({}) as response:
                async for line in ndjson(response):
                    yield line

        lines = stream()
        assert await anext(lines) == b'{"n":1}'
        await lines.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(0.2):
            await server.left.wait()


async def test_cancelling_closes_at_once(client: httpx.AsyncClient) -> None:
    asked = asyncio.Event()

    async def hang(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.readexactly(1)

    async with serving(hang) as (server, url):
        task = asyncio.create_task(Endpoint("svc", client, url).post({}, dict))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(0.2):
            await server.left.wait()


async def test_no_request_waits_for_a_connection(client: httpx.AsyncClient) -> None:
    everyone = asyncio.Barrier(200)

    async def together(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await everyone.wait()
        writer.write(OK)

    async with (
        serving(together) as (server, url),
        create_client(read_timeout=20) as patient,
        asyncio.timeout(20),
    ):
        endpoint = Endpoint("svc", patient, url)
        answers = await asyncio.gather(*(endpoint.post({}, dict) for _ in range(200)))
    assert answers == [{}] * 200
    assert server.connections == 200


async def test_answers_of_another_shape(client: httpx.AsyncClient) -> None:
    async with serving(sends(OK)) as (_, url):
        with pytest.raises(errors.UpstreamProtocolError, match="makes no sense"):
            await Endpoint("svc", client, url).get(list[int])


async def test_bodies_are_sent_as_they_are() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"{}")

    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
        endpoint = Endpoint("svc", client, "http://svc.test/x", {"user-agent": "me"})
        await endpoint.post(b'{"raw": true}', dict)
        await endpoint.post({"text": "ü"}, dict)
        await endpoint.get(dict)
    assert [request.content for request in seen] == [
        b'{"raw": true}',
        '{"text":"ü"}'.encode(),
        b"",
    ]
    assert [request.method for request in seen] == ["POST", "POST", "GET"]
    assert {request.headers["user-agent"] for request in seen} == {"me"}
    assert seen[1].headers["content-length"] == str(len(seen[1].content))
