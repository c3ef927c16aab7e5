"""How a setting's text becomes its value: pure functions for the fields of `Settings`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = (
    "address",
    "byte_count",
    "comma_list",
    "driver_url",
    "empty_is_none",
    "header_safe",
    "json_text",
    "lower",
    "no_boolean",
    "origins",
    "scheme_of",
    "secret_keys",
)

_SHORTEST_SECRET = 16
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", re.IGNORECASE)
_FACTORS = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
}
_SCHEME = re.compile(r"([a-z][a-z0-9.-]*)(?:\+[a-z0-9]+)?://", re.IGNORECASE)


def scheme_of(url: str) -> str:
    """Return a URL's driver: what stands before ``://``, without a ``+dialect``; "" without one."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def driver_url(url: str) -> str:
    """Refuse a URL without a scheme."""
    if not scheme_of(url):
        raise ValueError("no scheme")
    return url


def address(text: str) -> str:
    """Refuse what cannot be bound: a URL, a ``host:port`` pair, spaces."""
    host = text.removeprefix("[").removesuffix("]")
    is_pair = host.count(":") == 1
    if not host or is_pair or re.search(r"[\s/]", host):
        raise ValueError("not an address")
    return host


def byte_count(value: object) -> object:
    """Turn ``20MB`` and ``10MiB`` into a number of bytes; leave anything else to pydantic."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _FACTORS[(match[2] or "").lower()])
    return no_boolean(value)


def comma_list(value: object) -> object:
    """Turn ``a, b`` into its parts; leave anything else to pydantic."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def origins(found: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what no browser sends as its ``Origin``."""
    for origin in found:
        parts = urlsplit(origin)
        if origin != "*" and (not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}"):
            raise ValueError(f"{origin!r} is not an origin")
    return found


def empty_is_none(value: object) -> object:
    """Read an empty string as not set."""
    return None if value == "" else value


def header_safe(secret: SecretStr | None) -> SecretStr | None:
    """Refuse a secret that no client could send in a header."""
    if secret and not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("not printable ASCII")
    return secret


def secret_keys(secret: SecretStr | None) -> SecretStr | None:
    """Refuse secrets, separated by commas, that are short enough to be guessed."""
    if secret and min(map(len, secret.get_secret_value().split(","))) < _SHORTEST_SECRET:
        raise ValueError("too short")
    return secret


def json_text(value: object) -> object:
    """Read a variable's text as JSON; a file's value is structured already."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise ValueError(f"in a variable this is JSON: {exc}") from exc


def lower(value: object) -> object:
    """Read a word in any case."""
    return value.lower() if isinstance(value, str) else value


def no_boolean(value: object) -> object:
    """Refuse ``true`` where a number belongs: pydantic would read it as 1."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value
