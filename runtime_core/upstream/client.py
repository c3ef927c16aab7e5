"""The one HTTP client of the server: httpx's interface over aiohttp's connections.

httpx's own transport costs three to five times as much and collapses at a hundred concurrent
requests.  Also off: proxies from the environment, cookies, decompression, limits of the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import httpx

from runtime_core._version import __version__
from runtime_core.upstream.causes import translated
from runtime_core.upstream.connections import Connector, Trust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("create_client",)

#: How much of a body is handed over at once, when so much has arrived.
_READ_BYTES = 64 * 1024


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
        self._direct = _Transport()
        super().__init__(
            transport=self._direct,
            timeout=timeout,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
        )
        self._limits = timeout.as_dict()
        self._no_cookies = _NoCookies()

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """Send a prepared request; a plain one goes straight to the transport.

        Authentication flows, redirects, hooks and the log of each request are what httpx adds on
        its way, at a quarter of the cost of a call; this client has none of them.
        """
        if not stream or options:
            return await super().send(request, stream=stream, **options)
        request.extensions.setdefault("timeout", self._limits)
        return await self._direct.handle_async_request(request)

    @property
    def cookies(self) -> httpx.Cookies:
        """Nothing: backends are shared by all users, and none of them has a session."""
        return self._no_cookies

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError("this client keeps no cookies")


class _Transport(httpx.AsyncBaseTransport):
    """aiohttp's connections behind httpx's seam.

    The package ``httpx-aiohttp`` does the same, but takes refused, reset and closed connections
    for time-outs, and its conversions cost as much again as aiohttp itself.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._trust = Trust()
        self._timeouts: dict[tuple[float | None, float | None], aiohttp.ClientTimeout] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = self._open_session()
        try:
            response = await self._session.request(
                request.method,
                str(request.url),
                headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                ],
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=self._timeout(request.extensions.get("timeout", {})),
                server_hostname=request.extensions.get("sni_hostname"),
                ssl=self._trust.context if request.url.scheme == "https" else True,
            )
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise translated(exc, request.url.scheme) from exc
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=_Body(response), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    def _timeout(self, limits: dict[str, float | None]) -> aiohttp.ClientTimeout:
        key = limits.get("connect"), limits.get("read")
        if key not in self._timeouts:
            connect, read = key
            self._timeouts[key] = aiohttp.ClientTimeout(connect=connect, sock_read=read)
        return self._timeouts[key]


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while piece := await content.read(_READ_BYTES):
                yield piece
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise translated(exc) from exc

    async def aclose(self) -> None:
        # an unfinished body takes its connection with it, a finished one has given it back
        self._response.release()
