"""Hosts that an operator vouches for although their addresses are private."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Host", "TrustedHosts", "parse_host")

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}


class Host(NamedTuple):
    """A host's name in lower case; ``port`` None means every port."""

    name: str
    port: int | None


def parse_host(text: str) -> Host:
    """Read ``name``, ``name:port`` or ``[address]:port``.

    :raises ValueError: it is nothing of the kind.
    """
    found = _HOST.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 65536):
        raise ValueError(f"{text!r} is no host: write it like intranet.example or [::1]:8080")
    return Host(_canonical(found["name"].strip("[]")), port)


class TrustedHosts:
    """Which URLs lead to a host of the operator's list."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hosts = frozenset(map(parse_host, names))

    def __contains__(self, url: str) -> bool:
        """Whether *url* leads to one; a URL that can be read in two ways never does."""
        if not self._hosts:
            return False
        try:
            parts = urlsplit(url)
            name, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return False
        if not name or "@" in parts.netloc or "%" in parts.netloc:
            return False
        name = _canonical(name)
        return Host(name, port) in self._hosts or Host(name, None) in self._hosts


def _canonical(name: str) -> str:
    return name.lower().rstrip(".")
