"""URLs that come from outside, read once and strictly.

What is checked is what is connected to: every spelling of an address becomes the address itself,
and what browsers, libraries and resolvers read in different ways is refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from yarl import URL

from runtime_core.errors import AddressRefused

__all__ = ("Location", "locate")

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_BRACKET = re.compile(r"(?:[a-z]+:)?//\[", re.IGNORECASE)
_USERINFO = re.compile(r"//.*@")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
#: An address whose path and query are encoded already, as RFC 3986 wants it.
_ENCODED = re.compile(
    r"https?://[^/?#]+((?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)*)"
    r"(?:\?((?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*))?(?:#|\Z)",
    re.IGNORECASE,
)
_STEP = re.compile(r"/\.\.?(?:/|\Z)")
_LONGEST_NAME = 253
_SHOWN = 200


class Location(NamedTuple):
    """A URL whose host is spelled in one way, and its address when that is no name."""

    url: URL
    address: IPv4Address | IPv6Address | None


def locate(text: str, base: URL | None = None) -> Location:
    """Read the URL *text*, relative to *base* when there is one; its fragment is dropped.

    :raises AddressRefused: it is no URL of http or https, holds a name or password, or a host
        that can be read in more than one way.
    """
    if _UNSAFE.search(text):
        raise _refused(text, "holds spaces, control characters or backslashes: encode them")
    try:
        url = URL(text).with_fragment(None)
        url = base.join(url) if base is not None else url
    except ValueError as exc:
        raise _refused(text, f"is no URL: {exc}") from exc
    if url.scheme not in ("http", "https"):
        raise _refused(text, "does not begin with http:// or https://")
    if url.raw_user is not None or url.raw_password is not None:
        raise _refused(text, "holds a name or password: send them as a header")
    if not url.raw_host or url.port == 0:
        raise _refused(text, "names no host, or port 0")
    return _with_one_spelling(_as_written(url, text), text)


def _as_written(url: URL, text: str) -> URL:
    """Return *url* with the escapes that *text* has: ``%3B`` is not ``;`` to every service."""
    match = _ENCODED.match(text)
    if match is None or not match[1] or _STEP.search(match[1]) or "[" in text:
        return url
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=match[1],
        query_string=match[2] or "",
        encoded=True,
    )


def _with_one_spelling(url: URL, text: str) -> Location:
    host = (url.raw_host or "").lower()
    if ":" in host:
        return Location(url, _ipv6(host, text))
    address = _ipv4(host, text)
    if address is not None:
        return Location(url.with_host(str(address)), address)
    labels = host.removesuffix(".").split(".")
    if (
        _BRACKET.match(text)
        or len(host) > _LONGEST_NAME
        or not all(_LABEL.match(label) for label in labels)
    ):
        raise _refused(text, "has a host that is neither a name nor an address")
    return Location(url, None)


def _ipv6(host: str, text: str) -> IPv6Address:
    if "%" in host:
        raise _refused(text, "names a network interface of this machine")
    try:
        return IPv6Address(host)
    except ValueError as exc:
        raise _refused(text, f"has a host that is no IPv6 address: {exc}") from exc


def _ipv4(host: str, text: str) -> IPv4Address | None:
    """Read an address the way ``inet_aton`` and browsers do: 127.1, 0177.0.0.1, 0x7f000001."""
    parts = host.removesuffix(".").split(".")
    if not _NUMERIC.match(parts[-1]):
        return None
    numbers = [_number(part) for part in parts]
    *octets, last = numbers
    if (
        len(parts) > 4
        or any(not 0 <= octet <= 255 for octet in octets)
        or not 0 <= last < 256 ** (4 - len(octets))
    ):
        raise _refused(text, "has a host that is no IPv4 address")
    value = last
    for position, octet in enumerate(octets):
        value += octet << 8 * (3 - position)
    return IPv4Address(value)


def _number(part: str) -> int:
    """Return the number *part* spells, in decimal, octal or hexadecimal; -1 when it is none."""
    if not _NUMERIC.match(part) or len(part) > _LONGEST_NAME:
        return -1
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    if part.startswith("0") and len(part) > 1:
        return int(part, 8) if not set(part) & {"8", "9"} else -1
    return int(part)


def _refused(text: str, why: str) -> AddressRefused:
    shown = _USERINFO.sub("//***@", text.partition("?")[0])
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return AddressRefused(f"The address {shown!r} {why}.")
