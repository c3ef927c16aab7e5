"""What a server says is wrong, as the kernel's own errors."""

from __future__ import annotations

from typing import Any

from runtime_core.errors import (
    TimedOut,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamModelNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnauthenticated,
    UpstreamUnavailable,
)

__all__ = ("failure",)

#: How much of a server's own words is passed on, in characters.
_LIMIT = 500

_BY_WORD: dict[str, type[UpstreamError | TimedOut]] = {
    "authentication_error": UpstreamUnauthenticated,
    "context_length_exceeded": UpstreamContextExceeded,
    "insufficient_quota": UpstreamRateLimited,
    "invalid_api_key": UpstreamUnauthenticated,
    "invalid_authentication": UpstreamUnauthenticated,
    "invalid_request_error": UpstreamRejected,
    "model_not_found": UpstreamModelNotFound,
    "not_found_error": UpstreamModelNotFound,
    "overloaded_error": UpstreamUnavailable,
    "permission_error": UpstreamUnauthenticated,
    "rate_limit_error": UpstreamRateLimited,
    "rate_limit_exceeded": UpstreamRateLimited,
    "requests": UpstreamRateLimited,
    "timeout": TimedOut,
    "tokens": UpstreamRateLimited,
}

_BY_STATUS: dict[int, type[UpstreamError | TimedOut]] = {
    401: UpstreamUnauthenticated,
    403: UpstreamUnauthenticated,
    404: UpstreamModelNotFound,
    408: TimedOut,
    429: UpstreamRateLimited,
    504: TimedOut,
}

_TOO_LONG = ("maximum context length", "context length", "context window", "prompt is too long")


def failure(name: str, error: Any) -> UpstreamError | TimedOut:
    """Return the error that an answer's ``error`` member stands for.

    *error* is whatever JSON the server sent: OpenAI's object, a plain text, or something else.
    What says nothing about its cause counts as a broken server, which may be tried again.
    """
    text, words = _read(error)
    kind = _kind(text, words)
    return kind(f"{name} sent an error: {text[:_LIMIT]}")


def _read(error: Any) -> tuple[str, list[str]]:
    if not isinstance(error, dict):
        return str(error), []
    words = [str(error[key]) for key in ("code", "type", "status") if error.get(key) is not None]
    return str(error.get("message") or error.get("detail") or "no reason given"), words


def _kind(text: str, words: list[str]) -> type[UpstreamError | TimedOut]:
    if any(phrase in text.lower() for phrase in _TOO_LONG):
        return UpstreamContextExceeded
    for word in words:
        if word.lower() in _BY_WORD:
            return _BY_WORD[word.lower()]
        if word.isdecimal():
            return _by_status(int(word))
    return UpstreamUnavailable


def _by_status(status: int) -> type[UpstreamError | TimedOut]:
    return _BY_STATUS.get(status) or (
        UpstreamRejected if 400 <= status < 500 else UpstreamUnavailable
    )
