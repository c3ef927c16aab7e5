"""Who is asking: keys, tenants, and what a server without keys must not do."""

from __future__ import annotations

import hmac
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from runtime_core.errors import SettingsError, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.settings import Settings

__all__ = (
    "Anonymous",
    "Authenticator",
    "Principal",
    "RootKey",
    "authenticator",
    "check_bind",
    "given_keys",
    "keys",
    "none",
)

_SCOPES = frozenset({"admin", "execute", "ingest", "read"})


class Principal(Struct, frozen=True):
    """Who a request comes from: its tenant, and what its key may do."""

    tenant_id: str = "default"
    scopes: frozenset[str] = _SCOPES


class Authenticator(Protocol):
    """Turns the keys that came with a request into who sent it; drivers of kind ``auth``."""

    async def authenticate(self, keys: Sequence[str]) -> Principal:
        """Return who sent *keys*, those of one request.

        :raises Unauthenticated: there are none, or none is known here.
        """
        ...


class Anonymous:
    """Everybody is the tenant ``default``; whatever key comes along is not looked at."""

    def __init__(self) -> None:
        self._everybody = Principal()

    async def authenticate(self, keys: Sequence[str]) -> Principal:
        """Return the one principal there is."""
        return self._everybody


class RootKey:
    """One key, of the tenant ``default``, kept as a hash."""

    def __init__(self, key: str) -> None:
        self._digest = _digest(key)
        self._root = Principal()

    async def authenticate(self, keys: Sequence[str]) -> Principal:
        """Compare in constant time, whatever was sent."""
        known = [hmac.compare_digest(_digest(key), self._digest) for key in keys]
        if any(known):
            return self._root
        if keys:
            raise Unauthenticated("this key is not known here")
        raise Unauthenticated(
            'a key is needed; send the header "X-API-Key: KEY" or "Authorization: Bearer KEY"'
        )


def none(settings: Settings) -> Authenticator:
    """Return the driver ``none``: no key is needed."""
    return Anonymous()


def keys(settings: Settings) -> Authenticator:
    """Return the driver ``keys``: ``TOKEN`` is the root key.

    :raises SettingsError: there is no ``TOKEN``.
    """
    if settings.token is None:
        raise SettingsError("TOKEN is not set; set it to the key that clients have to send")
    return RootKey(settings.token.get_secret_value())


def authenticator(settings: Settings) -> Authenticator:
    """Return the authenticator the settings ask for: keys when ``TOKEN`` is set."""
    return none(settings) if settings.token is None else keys(settings)


def check_bind(settings: Settings) -> None:
    """Refuse to let everybody on the network in by accident.

    :raises SettingsError: no key is needed and the address is not this machine's own.
    """
    if settings.token is not None or settings.allow_anonymous or _is_loopback(settings.addr):
        return
    raise SettingsError(
        f"ADDR is {settings.addr!r}, which others can reach, and no key is needed: set TOKEN to "
        "a secret, or ADDR to 127.0.0.1, or RUNTIME_ALLOW_ANONYMOUS=1 to serve everybody"
    )


def given_keys(headers: dict[bytes, bytes]) -> list[str]:
    """Return the keys in a request's headers (names in lower case), most specific first."""
    found = []
    if (value := headers.get(b"x-api-key")) is not None:
        found.append(_bare(value))
    if (value := headers.get(b"authorization")) is not None and _is_bearer(value):
        found.append(_bare(value))
    return [key for key in found if key]


def _is_bearer(value: bytes) -> bool:
    return value[:7].lower() == b"bearer "


def _bare(value: bytes) -> str:
    return (value[7:] if _is_bearer(value) else value).decode("latin-1").strip()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _is_loopback(addr: str) -> bool:
    if addr.lower() == "localhost":
        return True
    try:
        address = ip_address(addr.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
