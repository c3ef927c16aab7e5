"""Which pages of other origins may use the API from a browser; off unless configured."""

from __future__ import annotations

__all__ = ("Cors",)

_Headers = list[tuple[bytes, bytes]]

_METHODS = b"GET, HEAD, POST, PUT, DELETE"
_EXPOSED = (
    b"X-Request-ID, X-Run-ID, X-Backend, X-Model, X-Attempts, Server-Timing, X-Next-Cursor, Link, "
    b"Retry-After, Location"
)
_MAX_AGE = b"600"


class Cors:
    """Answers preflights and marks answers, for the given origins (``*``: all).

    Keys travel in headers a page has to set itself, so cookies are never asked for.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)

    def is_preflight(self, method: str, headers: dict[bytes, bytes]) -> bool:
        """Whether a browser asks if it may ask."""
        return (
            method == "OPTIONS"
            and b"access-control-request-method" in headers
            and self._allows(headers.get(b"origin"))
        )

    def preflight(self, headers: dict[bytes, bytes]) -> _Headers:
        """Return the headers of the answer to a preflight."""
        wanted = headers.get(b"access-control-request-headers", b"")
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", wanted or b"content-type, authorization, x-api-key"),
            (b"access-control-max-age", _MAX_AGE),
        ]

    def headers(self, headers: dict[bytes, bytes]) -> _Headers:
        """Return what an answer to a request with these headers carries."""
        origin = headers.get(b"origin")
        vary = (b"vary", b"Origin")
        if origin is None or not self._allows(origin):
            return [] if self._all else [vary]
        if self._all:
            return [
                (b"access-control-allow-origin", b"*"),
                (b"access-control-expose-headers", _EXPOSED),
            ]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            vary,
        ]

    def _allows(self, origin: bytes | None) -> bool:
        return origin is not None and (self._all or origin in self._origins)
