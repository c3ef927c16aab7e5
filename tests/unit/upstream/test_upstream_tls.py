"""The client on real TLS: which certificates it trusts, and what it says when it does not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from runtime_core import errors
from runtime_core.upstream import Endpoint, create_client, create_egress, ndjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import httpx

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
LINES = [b'{"n":1}', b'{"n":2}', b'{"n":3}']
ALERT = bytes.fromhex("15030100020246")  # a TLS alert: "protocol version"


class Server:
    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.next_line = asyncio.Semaphore(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await (self.stream(writer) if b"/stream" in head else self.answer(writer))
        writer.close()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()

    async def stream(self, writer: asyncio.StreamWriter) -> None:
        """Send each line when the one before it has been read."""
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for line in LINES:
            await self.next_line.acquire()
            writer.write(b"%x\r\n%b\n\r\n" % (len(line) + 1, line))
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()  # its connections end with the client


@asynccontextmanager
async def serving(certificate: trustme.LeafCert | None) -> AsyncIterator[Server]:
    server = Server()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    async with listening(server.serve, context) as server.port:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def client(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the authority as an operator has it do so."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with create_client(connect_timeout=5, read_timeout=5) as client, asyncio.timeout(10):
        yield client


async def test_a_certificate_of_a_private_authority(
    authority: trustme.CA, client: httpx.AsyncClient
) -> None:
    async with serving(authority.issue_cert("localhost", "127.0.0.1")) as server:
        for host in ("localhost", "127.0.0.1"):
            assert await Endpoint("svc", client, f"https://{host}:{server.port}/").get(dict) == {}


async def test_streams_piece_by_piece(authority: trustme.CA, client: httpx.AsyncClient) -> None:
    got = []
    async with serving(authority.issue_cert("localhost")) as server:
        endpoint = Endpoint("svc", client, f"https://localhost:{server.port}/stream")
        async with endpoint.stream(None, method="GET") as response:
            async for line in ndjson(response):
                got.append(line)
                server.next_line.release()
    assert got == LINES


async def test_connections_serve_again(authority: trustme.CA, client: httpx.AsyncClient) -> None:
    async with serving(authority.issue_cert("localhost")) as server:
        endpoint = Endpoint("svc", client, f"https://localhost:{server.port}/")
        for _ in range(5):
            await endpoint.get(dict)
        assert server.connections == 1


NOW = datetime.now(UTC)
REFUSED: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "another name": (
        lambda ours: ours.issue_cert("example.org"),
        r"certificate is not valid for 'localhost'; use a name the certificate was made for",
    ),
    "an unknown authority": (
        lambda ours: trustme.CA().issue_cert("localhost"),
        r"unable to get local issuer certificate; put its authority's .* SSL_CERT_FILE",
    ),
    "no longer valid": (
        lambda ours: ours.issue_cert("localhost", not_after=NOW - timedelta(days=1)),
        r"certificate has expired; renew it, or set this machine's clock",
    ),
    "not yet valid": (
        lambda ours: ours.issue_cert(
            "localhost", not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=2)
        ),
        r"certificate is not yet valid; .* this machine's clock",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_certificates_it_does_not_trust(
    authority: trustme.CA, client: httpx.AsyncClient, how: str
) -> None:
    issue, says = REFUSED[how]
    async with serving(issue(authority)) as server:
        with pytest.raises(
            errors.UpstreamUnavailable, match=rf"^svc cannot be reached: its TLS .* {says}"
        ) as caught:
            await Endpoint("svc", client, f"https://localhost:{server.port}/").get(dict)
    assert (caught.value.status, caught.value.code) == (502, "upstream_error")
    assert "0x" not in caught.value.message


async def test_an_address_the_certificate_is_not_for(
    authority: trustme.CA, client: httpx.AsyncClient
) -> None:
    async with serving(authority.issue_cert("localhost")) as server:
        with pytest.raises(errors.UpstreamUnavailable, match="use an address or a name"):
            await Endpoint("svc", client, f"https://127.0.0.1:{server.port}/").get(dict)


async def test_speaking_plainly_to_a_tls_port(
    authority: trustme.CA, client: httpx.AsyncClient
) -> None:
    async with serving(authority.issue_cert("localhost")) as server:
        with pytest.raises(errors.UpstreamUnavailable, match="begins with https://"):
            await Endpoint("svc", client, f"http://localhost:{server.port}/").get(dict)


async def test_speaking_plainly_to_a_tls_port_that_answers(client: httpx.AsyncClient) -> None:
    async with serving(None) as server:
        server.answer = alert  # type: ignore[method-assign]
        with pytest.raises(errors.UpstreamUnavailable, match="begin its address with https://"):
            await Endpoint("svc", client, f"http://localhost:{server.port}/").get(dict)


async def alert(writer: asyncio.StreamWriter) -> None:
    writer.write(ALERT)
    await writer.drain()
    raise ConnectionError


async def test_speaking_tls_to_a_plain_port(client: httpx.AsyncClient) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with listening(plain) as port:
        with pytest.raises(
            errors.UpstreamUnavailable, match=rf"localhost:{port} does not speak TLS: .*http://"
        ):
            await Endpoint("svc", client, f"https://localhost:{port}/").get(dict)


async def test_a_port_that_hangs_up_while_tls_is_set_up(client: httpx.AsyncClient) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.close()

    async with listening(rude) as port:
        with pytest.raises(errors.UpstreamUnavailable, match="broke off while TLS was set up"):
            await Endpoint("svc", client, f"https://localhost:{port}/").get(dict)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_of_certificates_that_cannot_be_read(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "missing.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with serving(authority.issue_cert("localhost")) as server, create_client() as client:
        with pytest.raises(errors.UpstreamUnavailable, match="let SSL_CERT_FILE name a PEM file"):
            await Endpoint("svc", client, f"https://localhost:{server.port}/").get(dict)


async def test_tools_trust_the_same_certificates(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    egress = create_egress()
    async with serving(authority.issue_cert("localhost")) as server:
        for _ in range(2):
            answer = await egress.operator.request("GET", f"https://localhost:{server.port}/")
            assert answer.body == b"{}"
        assert server.connections == 1
        with pytest.raises(errors.UpstreamUnavailable, match="is not accepted: IP address mism"):
            await egress.operator.request("GET", f"https://127.0.0.1:{server.port}/")
    await egress.aclose()
