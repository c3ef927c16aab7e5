"""One address of a service, prepared once and called often."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import httpx
import msgspec

from runtime_core.errors import UpstreamProtocolError
from runtime_core.upstream.failures import read_error, upstream_errors
from runtime_core.upstream.framing import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from runtime_core.upstream.failures import Refine

__all__ = ("Endpoint",)

T = TypeVar("T")

#: A whole answer larger than this (256 MiB) is refused.
_MAX_BODY = 256 * 1024 * 1024

_DRAIN_SECONDS = 0.05

_encode = msgspec.json.Encoder().encode


class Endpoint:
    """One address of a service behind this server.

    Prepares URL and headers once: httpx's own request building costs more than the rest of a call.

    :param name: what error messages call the service, e.g. the backend's name.
    :param client: the kernel's client; never closed here.
    :param url: absolute.
    :param headers: sent with each request, credentials among them; they win over the client's.
    :param refine: given the error of a status and the first 64 KiB of its body, returns the error
        to raise, for services whose bodies say more than their statuses.
    """

    def __init__(
        self,
        name: str,
        client: httpx.AsyncClient,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        refine: Refine | None = None,
    ) -> None:
        self.name = name
        self._refine = refine
        self._client = client
        with upstream_errors(name):
            parsed = httpx.URL(url)
            self._url = parsed.copy_with(username=None, password=None)
            self._headers = _prepared(client, parsed, headers or {})

    @asynccontextmanager
    async def stream(
        self, body: object, *, method: str = "POST", silence: float | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send *body* as JSON and give the response, its body not yet read.

        Leaving the block closes the connection unless the body was read to its end.  A status
        of 300 or more, and whatever fails inside the block, is raised as the kernel's error.

        :param body: anything msgspec encodes; ``bytes`` are sent as they are, None sends nothing.
        :param silence: seconds without a byte until it has timed out, where the client's are not
            enough.
        """
        with upstream_errors(self.name):
            request = self._request(method, body)
            if silence is not None:
                limits = self._client.timeout.as_dict() | {"read": silence}
                request.extensions = {**request.extensions, "timeout": limits}
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    raise await read_error(response, self.name, self._refine)
                yield response
                await _drain(response)
            finally:
                await response.aclose()

    async def post(self, body: object, answer: type[T]) -> T:
        """Send *body* as JSON and return the whole answer, decoded as *answer*."""
        async with self.stream(body) as response:
            return msgspec.json.decode(await self.read(response), type=answer)

    async def get(self, answer: type[T]) -> T:
        """Return the whole answer, decoded as *answer*."""
        async with self.stream(None, method="GET") as response:
            return msgspec.json.decode(await self.read(response), type=answer)

    async def read(self, response: httpx.Response) -> bytes:
        """Return the whole body of a response that `stream` gave.

        :raises UpstreamProtocolError: it is larger than 256 MiB.
        """
        pieces: list[bytes] = []
        size = 0
        async for piece in pieces_of(response):
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_BODY:
                raise UpstreamProtocolError(f"{self.name} answered more than {_MAX_BODY} bytes.")
        return b"".join(pieces)

    def _request(self, method: str, body: object) -> httpx.Request:
        if body is None:
            return httpx.Request(method, self._url, headers=self._headers)
        content = body if isinstance(body, bytes) else _encode(body)
        # given a stream, httpx takes the headers as they are; given the content it works them out
        # once more, at a quarter of the cost of the whole call
        stream = httpx.ByteStream(content)
        request = httpx.Request(method, self._url, headers=self._headers, stream=stream)
        request.headers["content-length"] = str(len(content))
        return request


def _prepared(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str]
) -> httpx.Headers:
    prepared = httpx.Headers({"host": url.copy_with(userinfo=b"").netloc.decode("ascii")})
    prepared.update(client.headers)
    prepared["content-type"] = "application/json"
    if url.userinfo:
        prepared["authorization"] = (
            f"Basic {b64encode(f'{url.username}:{url.password}'.encode()).decode('ascii')}"
        )
    prepared.update(headers)
    return prepared


async def _drain(response: httpx.Response) -> None:
    """Read what follows the last event of an answer, so that the connection can serve again.

    That is the empty chunk which ends the body; it often arrives a moment later.
    """
    if response.is_closed or not isinstance(response.stream, httpx.AsyncByteStream):
        return
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in response.stream:
                return
