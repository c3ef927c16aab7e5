"""What an operator has put into each call of a service."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from runtime_hooks_remote.texts import plain

__all__ = ("Injection", "Place")

Place = Literal["path", "query", "header", "cookie", "body"]


class Injection(Struct, frozen=True, kw_only=True):
    """Headers, and one named value; they win over arguments of the same name, wherever these go.

    ``name`` is "" where there is no value.
    """

    headers: dict[str, str] = {}
    name: str = ""
    value: Any = None
    place: Place = "body"

    def __repr__(self) -> str:
        return f"Injection({', '.join(sorted(self.names))})"

    @property
    def names(self) -> frozenset[str]:
        """The names that arguments cannot have."""
        return frozenset((*self.headers, self.name) if self.name else self.headers)

    @property
    def texts(self) -> tuple[str, ...]:
        """The values, as they are sent."""
        return (*self.headers.values(), *((plain(self.value),) if self.name else ()))
