"""HTTP for tools: to addresses others have chosen, within the bounds of a policy.

An `Egress` has two clients.  ``operator`` calls what an operator registered; ``untrusted`` calls
what a model, a script or a template chose.  Neither shares a connection with the other: each
connection was checked, by its IP address, when it was made.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from io import BytesIO
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver

from runtime_core._version import __version__
from runtime_core.errors import TimedOut, UpstreamError
from runtime_core.upstream.addresses import Policy
from runtime_core.upstream.answers import Answer, StreamedAnswer
from runtime_core.upstream.causes import translated
from runtime_core.upstream.connections import Connector, Trust
from runtime_core.upstream.decoding import ENCODINGS
from runtime_core.upstream.failures import upstream_errors
from runtime_core.upstream.requests import Outgoing, prepare, redirected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aiohttp.abc import ResolveResult

__all__ = ("Egress", "EgressClient", "create_egress")

#: The largest answer a tool gets, unless it says otherwise (10 MiB, decompressed).
MAX_ANSWER = 10 * 1024 * 1024

_LARGE_BODY = 1024 * 1024


def create_egress(
    *,
    operator_private: bool = True,
    untrusted_private: bool = False,
    connect_timeout: float = 5.0,
    resolver: AbstractResolver | None = None,
) -> Egress:
    """Return the clients for tools; does no I/O, close them with ``aclose()``.

    :param operator_private: whether addresses an operator registered may be private.
    :param untrusted_private: whether addresses somebody else chose may be private.
    :param connect_timeout: seconds for name lookup, TCP and TLS together.
    :param resolver: looks names up instead of the system; never closed here.
    """
    trust = Trust()
    untrusted = EgressClient(
        Policy(
            "a model, a script or a template",
            untrusted_private,
            "RUNTIME_EGRESS_UNTRUSTED_PRIVATE",
        ),
        trust=trust,
        connect_timeout=connect_timeout,
        resolver=resolver,
    )
    operator = EgressClient(
        Policy("an operator", operator_private, "RUNTIME_EGRESS_OPERATOR_PRIVATE"),
        trust=trust,
        connect_timeout=connect_timeout,
        resolver=resolver,
        elsewhere=untrusted,
    )
    return Egress(operator, untrusted)


class Egress:
    """The two clients for tools; which one is a question of who chose the address."""

    def __init__(self, operator: EgressClient, untrusted: EgressClient) -> None:
        self.operator = operator
        self.untrusted = untrusted

    async def aclose(self) -> None:
        """Close every connection; may be called twice."""
        await self.operator.aclose()
        await self.untrusted.aclose()


class EgressClient:
    """HTTP under one policy, over connections of its own.

    Only http and https, no proxies, no cookies.  Redirects to another host lead to where the
    service, not the one who chose the address, wants: they are followed as untrusted ones.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        trust: Trust,
        connect_timeout: float,
        resolver: AbstractResolver | None = None,
        elsewhere: EgressClient | None = None,
    ) -> None:
        self.policy = policy
        self._trust = trust
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._resolver = resolver
        self._own_resolver: AbstractResolver | None = None
        self._elsewhere = elsewhere or self
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> None:
        """Say at once what is wrong with an address; a name is looked up only when it is called.

        :raises AddressRefused: it is no URL that can be called, or its IP address is out of bounds.
        """
        self._locate(prepare("GET", url, (), None))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout: float | None = 30.0,  # noqa: ASYNC109 - a limit of the whole exchange
        max_bytes: int | None = MAX_ANSWER,
        redirects: int = 5,
        confidential: bool = False,
    ) -> Answer:
        """Call *url* and return the whole answer, whatever its status.

        The parameters and errors are those of `stream`.
        """
        async with self.stream(
            method,
            url,
            headers=headers,
            body=body,
            timeout=timeout,
            max_bytes=max_bytes,
            redirects=redirects,
            confidential=confidential,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), answer.url)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout: float | None = 30.0,  # noqa: ASYNC109 - a limit of the whole exchange
        max_bytes: int | None = MAX_ANSWER,
        redirects: int = 5,
        confidential: bool = False,
    ) -> AsyncIterator[StreamedAnswer]:
        """Call *url* and give the answer, whatever its status, its body not yet read.

        Leaving the block closes the connection unless the body was read to its end.

        :param headers: another origin gets only those that hold no credential.
        :param timeout: seconds for everything, redirects and body included; None: no limit.
        :param max_bytes: of the body, decompressed; None: no limit.
        :param redirects: how many are followed; 0 gives the redirecting answer itself.
        :param confidential: whether the body holds a credential: another origin does not get it.
        :raises AddressRefused: the address, or one it redirects to, is out of bounds.
        :raises TaskFailed: the method or a header is none; nothing has been sent.
        :raises UpstreamUnavailable: no connection, or it broke.
        :raises UpstreamProtocolError: the answer is garbled, or ended half-way.
        :raises UpstreamError: the answer is too large, or redirects too often, or a confidential
            body elsewhere.
        :raises TimedOut: it took longer than *timeout*.
        """
        sent = prepare(method, url, headers, body, confidential=confidential)
        try:
            async with asyncio.timeout(timeout) as timer:
                sent, response = await self._follow(sent, redirects)
                try:
                    yield StreamedAnswer(response, sent, max_bytes)
                finally:
                    # an unfinished body takes its connection with it
                    response.release()
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise TimedOut(f"{sent.name} took longer than {timeout:g} seconds.") from exc

    async def aclose(self) -> None:
        """Close every connection; may be called twice."""
        if self._session is not None:
            await self._session.close()
        if self._own_resolver is not None:
            await self._own_resolver.close()

    async def _follow(
        self, sent: Outgoing, redirects: int
    ) -> tuple[Outgoing, aiohttp.ClientResponse]:
        """Send, and send again where the answers point to; the last answer is returned."""
        client, left = self, redirects
        while True:
            response = await client._send(sent)
            try:
                onward = redirected(sent, response) if redirects else None
            except BaseException:
                response.close()
                raise
            if onward is None:
                return sent, response
            response.release()
            if not left:
                raise UpstreamError(f"{sent.name} redirected more than {redirects} times.")
            left -= 1
            if onward.url.raw_host != sent.url.raw_host:
                client = client._elsewhere
            sent = onward

    async def _send(self, sent: Outgoing) -> aiohttp.ClientResponse:
        self._locate(sent)
        session = self._session or self._open_session()
        with upstream_errors(sent.name):
            try:
                return await session.request(
                    sent.method,
                    sent.url,
                    headers=sent.headers,
                    data=_sendable(sent.body),
                    allow_redirects=False,
                    timeout=self._timeout,
                    ssl=self._trust.context if sent.url.scheme == "https" else True,
                )
            except (aiohttp.ClientError, TimeoutError) as exc:
                raise translated(exc, sent.url.scheme) from exc

    def _locate(self, sent: Outgoing) -> None:
        if sent.address is not None:
            self.policy.check(sent.address, sent.host)

    def _open_session(self) -> aiohttp.ClientSession:
        resolver = self._resolver
        if resolver is None:
            resolver = self._own_resolver = aiohttp.DefaultResolver()
        self._session = aiohttp.ClientSession(
            connector=Connector(
                limit=0,
                resolver=_CheckingResolver(self.policy, resolver),
                socket_factory=self._checked_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"accept-encoding": ENCODINGS, "user-agent": f"runtime-api/{__version__}"},
            skip_auto_headers=("content-type",),
        )
        return self._session

    def _checked_socket(self, found: tuple[Any, ...]) -> socket.socket:
        """Make the socket of one connection: the last look at where it leads."""
        family, kind, protocol, _, target = found
        self.policy.check(ip_address(target[0].partition("%")[0]), target[0])
        return socket.socket(family, kind, protocol)


def _sendable(body: bytes | None) -> bytes | BytesIO | None:
    """Return a large body as a file, of which the client sends one piece after the other."""
    return body if body is None or len(body) < _LARGE_BODY else BytesIO(body)


class _CheckingResolver(AbstractResolver):
    """Looks names up; what it returns is what is connected to, and was checked.

    A name with one address that is out of bounds is refused as a whole: which of its addresses is
    connected to is not ours to say.
    """

    def __init__(self, policy: Policy, resolver: AbstractResolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            self._policy.check(ip_address(one["host"].partition("%")[0]), host)
        return found

    async def close(self) -> None:
        """Do nothing: who made the resolver closes it."""
