"""What goes wrong with services behind this server, as the kernel's errors.

=============================================  =========================
401, 403                                       `UpstreamUnauthenticated`
404                                            `UpstreamModelNotFound`
429                                            `UpstreamRateLimited`
a text about the context length                `UpstreamContextExceeded`
other 3xx and 4xx                              `UpstreamRejected`
5xx, refused and broken connections            `UpstreamUnavailable`
time-outs                                      `TimedOut`
answers that cannot be understood or are cut   `UpstreamProtocolError`
=============================================  =========================
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from runtime_core.errors import (
    RuntimeCoreError,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamModelNotFound,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnauthenticated,
    UpstreamUnavailable,
)
from runtime_core.upstream.framing import pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    #: Given the error of a status and the body it came with, returns the error to raise.
    Refine = Callable[[UpstreamError, bytes], UpstreamError]

__all__ = ("read_error", "reported_error", "upstream_errors")

_MAX_TEXT = 500
_MAX_ERROR_BODY = 64 * 1024

_CONTEXT_EXCEEDED = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context limit"
    r"|context (length|window|size)\b.*\bexceed|exceed\w*\b.*\bcontext (length|window|size)"
    r"|prompt is too long|input is too long|exceeds the maximum number of tokens",
    re.IGNORECASE | re.DOTALL,
)
_CREDENTIALS = re.compile(
    r"\bsk-[\w-]{6,}|(?<=://)[^/\s@]+@|\b(?:bearer|basic)\s+[\w.~+/=-]{6,}|(?<=[?&]key=)[^&\s]+",
    re.IGNORECASE,
)
#: Headers that never hold a credential.  In any other one a provider may send its key, under a
#: name only its service knows.
_HARMLESS_HEADERS = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    )
)
_SHORTEST_SECRET = 4


@contextmanager
def upstream_errors(name: str) -> Iterator[None]:
    """Turn what httpx and decoding raise inside the block into the kernel's errors.

    :param name: what the messages call the service, e.g. the backend's name.
    """
    try:
        yield
    except httpx.HTTPStatusError as exc:
        raise _status_error(name, exc.response, _body_read(exc.response)) from exc
    except (httpx.TimeoutException, TimeoutError) as exc:
        raise TimedOut(f"{name} did not answer in time. {_described(exc)}".rstrip()) from exc
    except (httpx.RemoteProtocolError, httpx.DecodingError) as exc:
        raise UpstreamProtocolError(
            f"{name} garbled or broke off its answer: {_described(exc)}"
        ) from exc
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as exc:
        text = f"{name} has an address that cannot be used, check its base URL: {_described(exc)}"
        raise UpstreamUnavailable(text) from exc
    except (httpx.ReadError, httpx.WriteError) as exc:
        raise UpstreamDisconnected(f"{name} broke the connection: {_described(exc)}") from exc
    except (httpx.TransportError, OSError) as exc:
        raise UpstreamUnavailable(f"{name} cannot be reached: {_described(exc)}") from exc
    except (
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as exc:
        text = f"{name} sent an answer that makes no sense: {_described(exc)}"
        raise UpstreamProtocolError(text) from exc


async def read_error(
    response: httpx.Response, name: str, refine: Refine | None = None
) -> RuntimeCoreError:
    """Return the error that an answer with a status of 300 or more stands for.

    Reads at most 64 KiB of its body; does not close it.

    :param refine: has the last word, when the service says more than its status does.
    """
    body = bytearray()
    try:
        async for piece in pieces_of(response):
            body += piece
            if len(body) >= _MAX_ERROR_BODY:
                break
    except httpx.HTTPError:
        body += b" (and broke off)"
    read = bytes(body[:_MAX_ERROR_BODY])
    error = _status_error(name, response, read)
    return refine(error, read) if refine is not None else error


def reported_error(
    name: str, message: str, *, status: int = 500, request: httpx.Request | None = None
) -> UpstreamError:
    """Return the error for a failure reported in a body, e.g. in the middle of a stream.

    :param message: the service's own words; shortened, and freed of credentials.
    :param status: the HTTP status the service gives for it, when it does.
    :param request: the request that failed, so that its credentials can be recognised.
    """
    kind = _kind(status, message)
    headers: Mapping[str, str] = request.headers if request is not None else {}
    return kind(f"{name}: {_presentable(message, headers)}")


def _status_error(name: str, response: httpx.Response, body: bytes) -> UpstreamError:
    status = response.status_code
    message = _message_of(body)
    # the words may be in a code beside the message
    kind = _kind(status, body.decode("utf-8", "replace"))
    text = f"{name} answered {status} at {response.request.url.path}"
    if "location" in response.headers:
        message = f"it moved to {response.headers['location']}, set its base URL accordingly"
    if message:
        text = f"{text}: {_presentable(message, response.request.headers)}"
    return kind(text, retry_after=_retry_after(response.headers))


def _kind(status: int, text: str) -> type[UpstreamError]:
    if status in (401, 403):
        return UpstreamUnauthenticated
    if status == 429:
        return UpstreamRateLimited
    if _CONTEXT_EXCEEDED.search(text):
        return UpstreamContextExceeded
    if status == 404:
        return UpstreamModelNotFound
    return UpstreamUnavailable if status >= 500 else UpstreamRejected


def _body_read(response: httpx.Response) -> bytes:
    try:
        return response.content[:_MAX_ERROR_BODY]
    except httpx.ResponseNotRead:
        return b""


def _message_of(body: bytes) -> str:
    """Return the readable part: ``error``, ``error.message``, ``message``, ``detail`` or all."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return body.decode("utf-8", "replace").strip()
    if isinstance(value, list) and value:
        value = value[0]
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    return value if isinstance(value, str) else body.decode("utf-8", "replace").strip()


def _described(exc: BaseException) -> str:
    return _presentable(str(exc) or type(exc).__name__, {})


def _presentable(text: str, headers: Mapping[str, str]) -> str:
    """Return *text* without credentials, on one line, of bounded length."""
    for header, value in headers.items():
        secret = value.rpartition(" ")[2]
        if header.lower() not in _HARMLESS_HEADERS and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    text = " ".join(_CREDENTIALS.sub("***", text).split())
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, from a number or an HTTP date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return max(seconds, 0.0) if isfinite(seconds) else None


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
