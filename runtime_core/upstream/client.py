"""The one HTTP client of the server: httpx's interface over aiohttp's connections.

httpx's own transport costs three to five times as much and collapses at a hundred concurrent
requests.  Also off: proxies from the environment, cookies, decompression, limits of the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from runtime_core._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("create_client",)


def create_client(
    *, connect_timeout: float = 5.0, read_timeout: float = 300.0
) -> httpx.AsyncClient:
    """Return the client that all backends share; close it with ``aclose()``.

    :param connect_timeout: seconds for name lookup, TCP and TLS together.
    :param read_timeout: seconds without a single byte from the service; a stream may last longer.
    """
    return _Client(
        httpx.Timeout(read_timeout, connect=connect_timeout, pool=None),
        {"accept-encoding": "identity", "user-agent": f"runtime-api/{__version__}"},
    )


class _NoCookies(httpx.Cookies):
    """A jar that stays empty, for free: parsing cookies costs 60 µs a request."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Take nothing."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Send nothing."""


class _Client(httpx.AsyncClient):
    def __init__(self, timeout: httpx.Timeout, headers: dict[str, str]) -> None:
        super().__init__(
            transport=_Transport(),
            timeout=timeout,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
        )
        self._no_cookies = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        """Nothing: backends are shared by all users, and none of them has a session."""
        return self._no_cookies

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError("this client keeps no cookies")


class _Transport(AiohttpTransport):
    """aiohttp's connections, with its exceptions translated to the right ones of httpx's.

    The base class reports refused, reset and closed connections as connect time-outs, because
    aiohttp derives all of them from ``ClientConnectionError``.
    """

    def __init__(self) -> None:
        # The certificate store may come from SSL_CERT_FILE: private authorities are common.
        self._ssl = httpx.create_ssl_context(trust_env=True)
        super().__init__(verify=self._ssl, trust_env=False, client=self._open_session)

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await super().handle_async_request(request)
        except (httpx.TransportError, aiohttp.ClientError) as exc:
            raise _translated(exc) from exc
        response.stream = _Body(response.stream)
        return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: object) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except (httpx.TransportError, aiohttp.ClientError) as exc:
            raise _translated(exc) from exc

    async def aclose(self) -> None:
        await self._stream.aclose()


def _translated(exc: Exception) -> httpx.TransportError:
    cause = exc if isinstance(exc, aiohttp.ClientError) else exc.__cause__
    text = str(exc) or type(cause or exc).__name__
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(text)
    if isinstance(cause, TimeoutError):
        return httpx.ReadTimeout(text)
    if isinstance(cause, aiohttp.ClientConnectorError):
        return httpx.ConnectError(text)
    if isinstance(cause, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return httpx.UnsupportedProtocol(text)
    if isinstance(cause, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return httpx.RemoteProtocolError(text)
    if isinstance(cause, aiohttp.ClientError):
        return httpx.ReadError(text)
    return exc if isinstance(exc, httpx.TransportError) else httpx.TransportError(text)
