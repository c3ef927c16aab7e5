"""Requests of tools: checked before a byte is sent, and rewritten where a redirect wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from runtime_core.errors import TaskFailed, UpstreamError
from runtime_core.upstream.locations import locate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    import aiohttp
    from yarl import URL

__all__ = ("RESERVED_HEADERS", "Outgoing", "prepare", "redirected")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

#: What the connection itself is made of, in lower case; a tool that set it could smuggle a second
#: request.
RESERVED_HEADERS = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
#: All that another origin gets to see: in any other header there may be a credential.
_HARMLESS = frozenset(
    (
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-language",
        "content-type",
        "user-agent",
    )
)
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True)
class Outgoing:
    """A request that may be sent once its address has been checked."""

    method: str
    url: URL
    address: IPv4Address | IPv6Address | None
    headers: CIMultiDict[str]
    body: bytes | None
    confidential: bool = False

    @property
    def host(self) -> str:
        """The host as the URL spells it."""
        return self.url.raw_host or ""

    @cached_property
    def name(self) -> str:
        """What messages call the service: scheme, host and port; paths may hold secrets."""
        return str(self.url.origin())


def prepare(
    method: str,
    url: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes | None,
    *,
    confidential: bool = False,
) -> Outgoing:
    """Return the request.

    :param confidential: whether no other origin may be sent the body.
    :raises AddressRefused: *url* cannot be read in exactly one way.
    :raises TaskFailed: the method or a header is none.
    """
    if not _TOKEN.match(method) or method.upper() in ("CONNECT", "TRACE"):
        raise TaskFailed(f"{method[:50]!r} is no HTTP method that can be used here.")
    where = locate(url)
    return Outgoing(method.upper(), where.url, where.address, _checked(headers), body, confidential)


def redirected(sent: Outgoing, response: aiohttp.ClientResponse) -> Outgoing | None:
    """Return the request *response* asks for instead, or None when it is no redirect.

    :raises AddressRefused: it points to what is no URL of http or https.
    :raises UpstreamError: it would take a confidential body to another origin.
    """
    target = response.headers.get("location")
    if response.status not in _REDIRECTS or not target:
        return None
    where = locate(target.strip(), sent.url)
    onward = replace(sent, url=where.url, address=where.address)
    if _becomes_get(response.status, sent.method):
        onward = replace(onward, method="GET", body=None, headers=_without_content(sent.headers))
    if where.url.origin() != sent.url.origin():
        if onward.confidential and onward.body:
            raise UpstreamError(
                f"{sent.name} redirects to {onward.name}, which is not sent the credential that "
                "the body holds: call it there, if that is meant to get it."
            )
        onward = replace(onward, headers=_harmless(onward.headers))
    return onward


def _checked(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    checked: CIMultiDict[str] = CIMultiDict()
    spelled: dict[str, str] = {}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    for name, value in pairs:
        if not _TOKEN.match(name):
            raise TaskFailed(f"{name[:50]!r} is no name of an HTTP header.")
        if name.lower() in RESERVED_HEADERS:
            raise TaskFailed(f"The header {name!r} is set by the connection itself: leave it out.")
        if _UNSAFE_VALUE.search(value):
            raise TaskFailed(f"The header {name!r} holds line breaks or control characters.")
        # the client takes another spelling for another header, and lets it replace the first
        checked.add(spelled.setdefault(name.lower(), name), value)
    return checked


def _becomes_get(status: int, method: str) -> bool:
    """Say whether a redirect is followed with GET, as browsers do it."""
    return (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")


def _without_content(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if not name.lower().startswith("content-")
    )


def _harmless(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() in _HARMLESS
    )
