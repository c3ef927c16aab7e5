"""Secrets on the wire: values come in, and never go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from runtime_core.http.wire.times import rfc3339

if TYPE_CHECKING:
    from runtime_core.types import SecretInfo

__all__ = ("SecretBody", "SecretWire", "secret_wire")


class SecretBody(Struct, frozen=True):
    """The value of a secret."""

    value: str | None = None

    def __repr__(self) -> str:
        return "SecretBody()"


class SecretWire(Struct, frozen=True, rename="camel"):
    """A secret, without its value."""

    name: str
    created_at: str
    updated_at: str


def secret_wire(secret: SecretInfo) -> SecretWire:
    """Return the wire form of *secret*."""
    return SecretWire(secret.name, rfc3339(secret.created_at), rfc3339(secret.updated_at))
