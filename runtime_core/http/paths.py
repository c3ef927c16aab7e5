"""Path values, decoded once: whatever name can be created can be asked for.

Servers decode the whole path before it is split, so a ``/`` inside a name would look like a
separator.  Here the router sees the escapes of ``/`` and ``%`` as they came, and the values it
finds are decoded afterwards.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.routes import HTTPRoute

from runtime_core.errors import InvalidRequest, NotFound
from runtime_core.http.errors import WrongMethod

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Litestar

__all__ = ("install_paths", "not_found", "routing_path")

_CACHED = 1024
_LONGEST = 8192


def routing_path(raw: bytes) -> str:
    """Return the path to route by: decoded, but for the escapes of ``/`` and ``%`` themselves.

    :raises NotFound: a trailing or a double slash, which no path here has.
    :raises InvalidRequest: too long, not UTF-8, or with a NUL.
    """
    raw = raw.partition(b"?")[0]
    if len(raw) > _LONGEST:
        raise InvalidRequest(f"the path is longer than {_LONGEST} bytes")
    if b"//" in raw or (raw.endswith(b"/") and raw != b"/"):
        raise not_found()
    try:
        text = _ESCAPE.sub(_decoded, raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the path is not UTF-8; percent-encode its bytes") from error
    if "\0" in text:
        raise InvalidRequest("the path has a NUL character")
    return text


_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})?")
_KEPT = frozenset({b"25", b"2F", b"2f"})


def _decoded(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    if digits is None:
        return b"%25"
    return b"%" + digits if digits in _KEPT else bytes.fromhex(digits.decode())


def not_found() -> NotFound:
    """Return the error for a path that no route has."""
    return NotFound("serverops: not found")


def install_paths(app: Litestar) -> None:
    """Make *app*'s router decode path values, and prefer a name over a word where both fit.

    A name may equal a word of another route (a chain called ``validate``): where that route does
    not answer the method, the request is for the name.
    """
    cached = app.asgi_router.handle_routing
    find = getattr(cached, "__wrapped__", cached)
    templates = tuple(
        _Template(route.path, frozenset(route.methods) - {"OPTIONS"})
        for route in app.routes
        if isinstance(route, HTTPRoute)
    )

    @lru_cache(_CACHED)
    def handle_routing(path: str, method: str | None) -> tuple[Any, Any, str, dict[str, Any], str]:
        try:
            if method == "OPTIONS":
                raise MethodNotAllowedException
            found = find(path=path, method=method)
        except (NotFoundException, MethodNotAllowedException):
            found = find(path=_by_name(path, method, templates), method=method)
        asgi_app, handler, _, values, template = found
        values = {key: _value(value) for key, value in values.items()}
        return asgi_app, handler, path, values, _TYPE.sub("}", template)

    app.asgi_router.handle_routing = handle_routing


_TYPE = re.compile(r":\w+\}")


def _by_name(path: str, method: str | None, templates: Iterable[_Template]) -> str:
    """Return the path written so that its names cannot be taken for words, or raise."""
    fitting = [template for template in templates if template.fits(path)]
    for template in fitting:
        if method in template.methods:
            return template.escaped(path)
    if not fitting:
        raise not_found()
    raise WrongMethod(set().union(*(template.methods for template in fitting)))


def _value(value: Any) -> Any:
    return unquote(value) if isinstance(value, str) and "%" in value else value


class _Template:
    """A route's path, as ``/chains/{id:str}``, and the methods it answers."""

    __slots__ = ("_parts", "_rest", "methods")

    def __init__(self, path: str, methods: frozenset[str]) -> None:
        self.methods = methods
        parts = path.strip("/").split("/")
        self._rest = parts[-1].endswith(":path}")
        self._parts = tuple(None if part.startswith("{") else part for part in parts)

    def fits(self, path: str) -> bool:
        """Whether a request's path is of this form."""
        given = path.strip("/").split("/")
        if len(given) != len(self._parts) and not (self._rest and len(given) > len(self._parts)):
            return False
        return all(
            part in (None, one) for part, one in zip(self._parts, given, strict=not self._rest)
        )

    def escaped(self, path: str) -> str:
        """Return *path* with the first character of each name escaped."""
        given = path.strip("/").split("/")
        return "/" + "/".join(
            one if part is not None else _escaped(one)
            for part, one in zip(self._parts, given, strict=not self._rest)
        )


def _escaped(name: str) -> str:
    if not name or name[0] == "%":
        return name
    return "".join(f"%{byte:02X}" for byte in name[0].encode()) + name[1:]
