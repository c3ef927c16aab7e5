"""Calls of addresses that chains and models choose, within the bounds of the egress."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from runtime_core.errors import AddressRefused, TaskFailed
from runtime_hooks_local.hosts import TrustedHosts

if TYPE_CHECKING:
    from runtime_core.protocols import EgressClient, SecretStore, Services
    from runtime_hooks_local.settings import LocalHooksSettings

__all__ = ("Outgoing", "addressed", "name_of")

_QUERY = "=&%+/?:@!$'()*,;-._~"
_REDIRECTS = 5


class Outgoing:
    """What ``webhook`` and ``http_get`` send with; open while the source is running."""

    def __init__(self, settings: LocalHooksSettings) -> None:
        self.settings = settings
        self._trusted = TrustedHosts(settings.private_hosts)
        self._services: Services | None = None

    def open(self, services: Services) -> None:
        """Send with what the server offers."""
        self._services = services

    def close(self) -> None:
        """Send nothing any more."""
        self._services = None

    @property
    def secrets(self) -> SecretStore:
        """The operator's secrets."""
        return self._open().secrets

    def client(self, url: str) -> tuple[EgressClient, int]:
        """Return what may call *url*, and how many redirects it may follow.

        A host that an operator vouches for does not vouch for where it redirects to.
        """
        egress = self._open().egress
        return (egress.operator, 0) if url in self._trusted else (egress.untrusted, _REDIRECTS)

    def explained(self, error: AddressRefused) -> AddressRefused:
        """Return *error* with the setting of this plugin that allows a single host."""
        if not error.message.endswith("=1 allows it."):
            return error
        return AddressRefused(
            f"{error.message} For a single host put it into private_hosts of [plugins.local-hooks]."
        )

    def _open(self) -> Services:
        if self._services is None:
            raise TaskFailed("the local hooks are not running: nothing can be called now")
        return self._services


def addressed(url: str, query: str | list[tuple[str, str]] | None) -> str:
    """Return *url* with its query replaced, where there is another one.

    :raises AddressRefused: *url* is none.
    """
    if not query:
        return url
    if any(letter <= " " or letter == "\x7f" for letter in url):
        raise AddressRefused("the URL holds spaces or control characters: leave them out")
    try:
        parts = urlsplit(url)
        encoded = quote(query, safe=_QUERY) if isinstance(query, str) else urlencode(query)
        return urlunsplit(parts._replace(query=encoded))
    except (ValueError, UnicodeError) as error:
        raise AddressRefused(f"the URL, or its query, cannot be used: {error}") from error


def name_of(url: str) -> str:
    """Return what messages call an address: scheme and host; the rest may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
