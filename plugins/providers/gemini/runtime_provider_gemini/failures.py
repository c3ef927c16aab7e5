"""What Gemini says is wrong, beyond the HTTP status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from runtime_core.errors import UpstreamRejected, UpstreamUnauthenticated
from runtime_core.upstream import reported_error

if TYPE_CHECKING:
    import httpx

    from runtime_core.errors import UpstreamError

__all__ = ("failure", "refine")

_BAD_KEY: Final = "API_KEY_INVALID"
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class _Said(Struct):
    """Google's error object; ``details`` are of many types, told apart by ``@type``."""

    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[dict[str, Any]] = field(default_factory=list)


class _Body(Struct):
    error: _Said


_decode: msgspec.json.Decoder[_Body | list[_Body]] = msgspec.json.Decoder(_Body | list[_Body])


def refine(error: UpstreamError, body: bytes) -> UpstreamError:
    """Return the error that an answer with an error's status and this *body* stands for.

    :param error: what the status alone stands for.
    """
    try:
        said = _decode.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return error
    if isinstance(said, list):
        return _refined(error, said[0].error) if said else error
    return _refined(error, said.error)


def failure(name: str, error: Any, request: httpx.Request) -> UpstreamError:
    """Return the error that an ``error`` member in the middle of an answer stands for.

    :param name: how messages call the server.
    :param error: whatever JSON it is; Google's object as a rule.
    :param request: the request that failed, so that its credentials are kept out of the message.
    """
    try:
        said = msgspec.convert(error, _Said)
    except msgspec.ValidationError:
        return reported_error(name, str(error), request=request)
    message = said.message or said.status or "no reason given"
    known = said.code is not None and 400 <= said.code <= 599
    status = said.code if known and said.code is not None else 500
    return _refined(reported_error(name, message, status=status, request=request), said)


def _refined(error: UpstreamError, said: _Said) -> UpstreamError:
    if error.retry_after is None:
        error.retry_after = _retry_after(said)
    if type(error) is UpstreamRejected and _key_is_bad(said):
        return UpstreamUnauthenticated(error.message, retry_after=error.retry_after)
    return error


def _key_is_bad(said: _Said) -> bool:
    """Tell whether it is about the key, which Google answers with 400 as if it were the request."""
    return said.status == "UNAUTHENTICATED" or any(
        detail.get("reason") == _BAD_KEY for detail in said.details
    )


def _retry_after(said: _Said) -> float | None:
    for detail in said.details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := _SECONDS.fullmatch(delay)):
            return float(seconds[1])
    return None
