"""What clients send, checked: a hook that could never work is refused in words."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from runtime_core.errors import AddressRefused, Unprocessable
from runtime_core.tables import require_name, require_value
from runtime_core.upstream import RESERVED_HEADERS
from runtime_hooks_remote.hook import Draft, Options
from runtime_hooks_remote.injection import Injection
from runtime_hooks_remote.request import origin
from runtime_hooks_remote.shaping import check_shape
from runtime_hooks_remote.texts import is_token
from runtime_hooks_remote.wire import is_mask, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.protocols import EgressClient
    from runtime_hooks_remote.injection import Place
    from runtime_hooks_remote.wire import HookBody, PropertyBody

__all__ = ("draft_of", "injection_of")

T = TypeVar("T")

_WHAT = "remote hook"
_LONGEST_URL = 2048
_LONGEST_VALUE = 16 * 1024
_MOST_HEADERS = 64
_LONGEST_TIMEOUT = 2**31 - 1
_MOST_BYTES = 256 * 1024 * 1024

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_PLACES: Mapping[str, Place] = {
    "path": "path",
    "query": "query",
    "header": "header",
    "cookie": "cookie",
}


def draft_of(body: HookBody, egress: EgressClient, *, stored: Draft | None = None) -> Draft:
    """Return the hook that a client describes.

    :param stored: the hook that is replaced; its credentials may come back masked.
    :raises Unprocessable: a field is missing or cannot be right; names it.
    """
    hook_id = stored.id if stored else body.id or str(uuid.uuid4())
    require_name(hook_id, _WHAT, param="id")
    name = _required(body.name, "name")
    require_name(name, _WHAT, param="name")
    endpoint = _url(_required(body.endpoint_url, "endpointUrl"), "endpointUrl", egress)
    timeout = _required(body.timeout_ms, "timeoutMs")
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise _wrong("timeoutMs", f"must be from 1 to {_LONGEST_TIMEOUT} milliseconds")
    return Draft(
        id=hook_id,
        name=name,
        endpoint_url=endpoint,
        timeout_ms=timeout,
        injection=injection_of(body, _Kept.of(stored, endpoint)),
        options=_options(body, egress),
    )


class _Kept(NamedTuple):
    """What is stored, for values that come back masked.

    Credentials are for one service: ``moves`` says that the hook will be at another one.
    """

    injection: Injection = Injection()
    moves: bool = False

    @classmethod
    def of(cls, stored: Draft | None, endpoint: str) -> _Kept:
        if stored is None:
            return cls()
        return cls(stored.injection, origin(stored.endpoint_url) != origin(endpoint))

    def header(self, name: str) -> str:
        """Return the stored header of a name, in whichever letter case; "" for none."""
        named = (v for k, v in self.injection.headers.items() if k.lower() == name.lower())
        return next(named, "")

    def or_given(self, name: str, given: str, stored: T, param: str) -> str | T:
        """Return what to store: what is stored where *given* is only the mask of it.

        :param stored: None or "" for nothing.
        :raises Unprocessable: *given* is the mask of something else.
        """
        if given == stored or not is_mask(name, given):
            return given
        if stored in (None, "") or given != masked(name, stored):
            raise _wrong(param, "only masks a credential, and not the stored one: send it whole")
        if self.moves:
            raise _wrong(param, "the hook moves to another service: send the credential for it")
        return stored


def injection_of(body: HookBody, kept: _Kept | None = None) -> Injection:
    """Return what a client wants to be put into each call.

    :raises Unprocessable: a header or the property cannot be sent.
    """
    kept = kept or _Kept()
    headers = {}
    for name, value in (body.headers or {}).items():
        param = f"headers.{name[:80]}"
        _check_header_name(name, param)
        if not value:
            raise _wrong(param, "a header needs a value")
        text = kept.or_given(name, value, kept.header(name), param)
        headers[name] = _checked_text(text, param)
    if len(headers) > _MOST_HEADERS:
        raise _wrong("headers", f"there are {len(headers)}, at most {_MOST_HEADERS} are allowed")
    if len({name.lower() for name in headers}) < len(headers):
        raise _wrong("headers", "one is named twice: letter case makes no difference")
    return _with_property(headers, body.properties, kept)


def _with_property(headers: dict[str, str], given: PropertyBody | None, kept: _Kept) -> Injection:
    name = (given.name if given else "") or ""
    if given is None or not name:
        if given is not None and given.value not in (None, ""):
            raise _wrong("properties.name", "a property needs a name")
        return Injection(headers=headers)
    place = _PLACES.get((given.place or "").strip().lower(), "body")
    _check_property_name(name, place)
    value = given.value
    if not isinstance(value, str | int | float | bool):
        raise _wrong("properties.value", "must be a text, a number, true or false")
    if isinstance(value, str):
        stored = kept.injection.value if kept.injection.name == name else None
        value = kept.or_given(name, value, stored, "properties.value")
    if value and isinstance(value, str):
        if place in ("header", "cookie"):
            _checked_text(value, "properties.value")
        else:
            require_value(value, _WHAT, param="properties.value", limit=_LONGEST_VALUE)
    return Injection(headers=headers, name=name, value=value, place=place)


def _check_property_name(name: str, place: Place) -> None:
    require_name(name, _WHAT, param="properties.name")
    if place == "header":
        _check_header_name(name, "properties.name")
    elif place == "cookie" and not is_token(name):
        raise _wrong("properties.name", f"{name[:80]!r} cannot be the name of a cookie")


def _options(body: HookBody, egress: EgressClient) -> Options:
    document = body.document_url or ""
    if document:
        document = _url(document, "documentUrl", egress, query=True)
    limit = body.max_response_bytes or 0
    if not 0 <= limit <= _MOST_BYTES:
        raise _wrong("maxResponseBytes", f"must be from 1 to {_MOST_BYTES}")
    for tool, expression in (body.shape or {}).items():
        check_shape(expression, f"shape.{tool[:80]}")
    given = body.properties
    return Options(
        document_url=document,
        max_response_bytes=limit,
        shape={tool: text for tool, text in (body.shape or {}).items() if text.strip()},
        property_in=_place_text((given.place if given else "") or ""),
    )


def _place_text(text: str) -> str:
    if text:
        require_value(text, _WHAT, param="properties.in")
    return text


def _url(text: str, param: str, egress: EgressClient, *, query: bool = False) -> str:
    """Return an address that can be called.

    :param query: whether it may have one.
    """
    require_value(text, _WHAT, param=param, limit=_LONGEST_URL)
    try:
        parts = urlsplit(text)
        has_user = "@" in parts.netloc
    except ValueError as error:
        raise _wrong(param, f"{text[:200]!r} is no URL: {error}") from error
    if has_user:
        raise _wrong(param, "holds a user or a password: send credentials as headers")
    if parts.fragment or (parts.query and not query):
        raise _wrong(
            param,
            "paths are appended to it: leave out what begins with ? or #; a property is sent "
            "with each call",
        )
    try:
        egress.check(text)
    except AddressRefused as error:
        raise _wrong(param, error.message) from error
    return text


def _check_header_name(name: str, param: str) -> None:
    if not is_token(name):
        raise _wrong(param, f"{name[:80]!r} cannot be the name of a header")
    if name.lower() in RESERVED_HEADERS:
        raise _wrong(param, "this header is set by the connection itself: leave it out")


def _checked_text(text: str, param: str) -> str:
    if _CONTROL.search(text):
        raise _wrong(param, "holds a line break or another control character")
    require_value(text, _WHAT, param=param, limit=_LONGEST_VALUE)
    return text


def _required(value: Any, param: str) -> Any:
    if value is None or value == "":
        raise _wrong(param, "this field is required")
    return value


def _wrong(param: str, what: str) -> Unprocessable:
    return Unprocessable(f"{param}: {what}", param=param)
