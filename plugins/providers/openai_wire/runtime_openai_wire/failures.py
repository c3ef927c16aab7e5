"""What a server says is wrong in a body that should have been an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime_core.upstream import reported_error

if TYPE_CHECKING:
    import httpx

    from runtime_core.errors import UpstreamError

__all__ = ("failure",)

#: The HTTP statuses that words of servers stand for.
_STATUSES: Final[dict[str, int]] = {
    "authentication_error": 401,
    "badrequesterror": 400,
    "bad_request_error": 400,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded_error": 503,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
}


def failure(name: str, error: Any, request: httpx.Request | None = None) -> UpstreamError:
    """Return the error that an answer's ``error`` member stands for.

    What says nothing about its cause counts as a broken server, which may be tried again.

    :param name: how messages call the server.
    :param error: whatever JSON the server sent: OpenAI's object, a plain text, something else.
    :param request: the request that failed, so that its credentials are kept out of the message.
    """
    if not isinstance(error, dict):
        return reported_error(name, str(error), request=request)
    words = [str(error[key]) for key in ("code", "type", "status") if error.get(key) is not None]
    message = str(error.get("message") or error.get("detail") or "no reason given")
    if "context_length_exceeded" in words:
        message = f"{message} (context_length_exceeded)"
    return reported_error(name, message, status=_status(words), request=request)


def _status(words: list[str]) -> int:
    for word in words:
        if word.lower() in _STATUSES:
            return _STATUSES[word.lower()]
        if word.isdecimal() and len(word) == 3:
            return int(word)
    return 500
