"""Exceptions to the error envelope, in the one place where that is done.

``{"error": {"message", "type", "code", "param"?, "request_id"?}}``; an answer to a run that failed
also has ``runId`` and ``state``, the steps so far.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from runtime_core import errors
from runtime_core.http.context import request_id
from runtime_core.http.disconnect import ClientDisconnected
from runtime_core.http.wire.runs import step_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from litestar import Request

    from runtime_core.types import Step

__all__ = ("RunFailed", "WrongMethod", "answer_error", "describe", "envelope", "error_headers")

_log = logging.getLogger("runtime.http")

_BY_STATUS: Mapping[int, type[errors.RuntimeCoreError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    413: errors.RequestTooLarge,
    415: errors.UnsupportedMedia,
    422: errors.Unprocessable,
    429: errors.RateLimited,
    503: errors.NoBackendAvailable,
    504: errors.TimedOut,
}


class RunFailed(Exception):
    """A run ended with *cause*; carries what the answer says besides it."""

    def __init__(
        self, cause: errors.RuntimeCoreError, run_id: str, steps: Sequence[Step] = ()
    ) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.run_id = run_id
        self.steps = tuple(steps)


class WrongMethod(errors.MethodNotAllowed):
    """The path answers other methods, those in ``allow``."""

    def __init__(self, methods: Iterable[str]) -> None:
        methods = set(methods)
        self.allow = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
        super().__init__(f"this path answers {self.allow or 'no method'} only")


def describe(exc: BaseException) -> errors.RuntimeCoreError:
    """Return the error a client is told of; one nobody raised on purpose is logged, not shown."""
    if isinstance(exc, errors.RuntimeCoreError):
        return exc
    if isinstance(exc, RunFailed):
        return exc.cause
    if isinstance(exc, HTTPException) and exc.status_code < 500:
        return _from_litestar(exc)
    _log.error("request %s failed", request_id.get() or "-", exc_info=exc)
    return errors.RuntimeCoreError(
        "internal error; the server's log has the reason under this request's id"
    )


def envelope(error: errors.RuntimeCoreError, **beside: object) -> bytes:
    """Return the JSON of *error*, with *beside* next to its ``error`` key."""
    body: dict[str, Any] = {"message": error.message, "type": error.type, "code": error.code}
    if error.param is not None:
        body["param"] = error.param
    if request := request_id.get():
        body["request_id"] = request
    return msgspec.json.encode({"error": body, **beside})


def error_headers(error: errors.RuntimeCoreError) -> dict[str, str]:
    """Return the headers an answer with *error* has."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, WrongMethod):
        headers["Allow"] = error.allow
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def answer_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Answer any exception a handler lets through."""
    if isinstance(exc, ClientDisconnected):
        return Response(b"", status_code=499)
    error = describe(exc)
    headers = error_headers(error)
    beside: dict[str, object] = {}
    if isinstance(exc, RunFailed):
        beside = {"runId": exc.run_id, "state": [step_wire(step) for step in exc.steps]}
        headers["X-Run-ID"] = exc.run_id
    return Response(
        envelope(error, **beside),
        status_code=error.status,
        headers=headers,
        media_type="application/json",
    )


def _from_litestar(exc: HTTPException) -> errors.RuntimeCoreError:
    if isinstance(exc, ValidationException):
        return _invalid_parameters(exc)
    return _BY_STATUS.get(exc.status_code, errors.InvalidRequest)(exc.detail)


def _invalid_parameters(exc: ValidationException) -> errors.RuntimeCoreError:
    problems = [item for item in exc.extra or () if isinstance(item, dict)]
    if not problems:
        return errors.Unprocessable(exc.detail)
    if problems[0].get("key") == "data":
        return errors.InvalidRequest("the request has no body; send a JSON object")
    first = problems[0]
    text = "; ".join(
        f"{item['key']}: {item['message']}" if item.get("key") else str(item["message"])
        for item in problems
    )
    return errors.Unprocessable(text, param=first.get("key"))
