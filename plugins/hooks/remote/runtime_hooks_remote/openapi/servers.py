"""Where operations that name a server of their own are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from runtime_hooks_remote.openapi.nodes import Node

__all__ = ("UnusableServer", "server_of")

_VARIABLE = re.compile(r"\{([^{}]+)\}")
_FIT = re.compile(r"[!-~]+")


class UnusableServer(Exception):
    """An operation's server has no usable address; the text says why and what to do."""


def server_of(operation: Node, item: Node, url: str) -> str:
    """Return the absolute address of an operation's own server, without a slash at its end.

    "" where neither the operation nor its path names one: calls then go to the hook's endpoint.
    The ``servers`` of the document as a whole are not looked at: whoever registered the hook said
    where the service is, and documents often name another place (a public address, localhost).

    :param url: the document's own address, which relative ones are relative to.
    :raises UnusableServer: it is no http address, or lacks the value of a variable.
    """
    for holder in (operation, item):
        servers = holder.find("servers")
        first = next(servers.elements(), None) if servers is not None else None
        if first is not None:
            return _address(first, url)
    return ""


def _address(server: Node, url: str) -> str:
    template = server.find("url")
    if template is None or not isinstance(template.value, str):
        raise UnusableServer("a server needs its url")
    try:
        address = urljoin(
            url, _VARIABLE.sub(lambda found: _value(found[1], server), template.value)
        )
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        usable = usable and parts.port != 0  # asking for a port that is none raises
    except ValueError as error:
        raise UnusableServer(f"the server's url is malformed: {error}") from error
    if not usable or not _FIT.fullmatch(address) or parts.query or parts.fragment:
        raise UnusableServer(
            f"the server's url must come to an http or https address, not {address[:200]!r}"
        )
    return address.rstrip("/")


def _value(name: str, server: Node) -> str:
    variables = server.find("variables")
    variable = variables.find(name) if variables is not None else None
    default = variable.find("default") if variable is not None else None
    if default is None or not isinstance(default.value, str | int | float):
        raise UnusableServer(f"the server's variable {name[:80]!r} needs a default")
    return str(default.value)
