from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from runtime_core import errors
from runtime_core.upstream import read_error, reported_error, upstream_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "topsecretvalue"


def answer(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> httpx.Response:
    request = httpx.Request(
        "POST",
        "https://user:pw@api.test/v1/chat?key=abc",
        headers={"authorization": f"Bearer {KEY}", "x-acme-key": "googlesecret"},
    )
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers, request=request)


async def error_of(response: httpx.Response) -> errors.RuntimeCoreError:
    """Return what both ways to an error agree on."""
    read = await read_error(response, "svc")
    with pytest.raises(errors.UpstreamError) as raised, upstream_errors("svc"):
        response.raise_for_status()
    assert (type(raised.value), str(raised.value)) == (type(read), str(read))
    return read


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.UpstreamRejected),
        (401, errors.UpstreamUnauthenticated),
        (402, errors.UpstreamRejected),
        (403, errors.UpstreamUnauthenticated),
        (404, errors.UpstreamModelNotFound),
        (409, errors.UpstreamRejected),
        (422, errors.UpstreamRejected),
        (429, errors.UpstreamRateLimited),
        (500, errors.UpstreamUnavailable),
        (502, errors.UpstreamUnavailable),
        (529, errors.UpstreamUnavailable),
    ],
)
async def test_each_status_is_an_error(status: int, kind: type[errors.UpstreamError]) -> None:
    error = await error_of(answer(status, {"error": {"message": "so it is"}}))
    assert type(error) is kind
    assert str(error) == f"svc answered {status} at /v1/chat: so it is"


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000.",
        "the input length exceeds the context length",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 300000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "Your input exceeds the context window of this model.",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 500])
async def test_prompts_that_are_too_long(message: str, status: int) -> None:
    error = await error_of(answer(status, {"error": message}))
    assert type(error) is errors.UpstreamContextExceeded
    assert type(reported_error("svc", message)) is errors.UpstreamContextExceeded


async def test_a_code_tells_of_the_context_too() -> None:
    body = {"error": {"message": "Too long.", "code": "context_length_exceeded"}}
    assert type(await error_of(answer(400, body))) is errors.UpstreamContextExceeded


@pytest.mark.parametrize(
    "message", ["The context was not found", "Set the context length with num_ctx", "too many"]
)
async def test_other_words_about_the_context(message: str) -> None:
    assert type(await error_of(answer(400, {"error": message}))) is errors.UpstreamRejected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "plain"}, "plain"),
        ({"error": {"message": "nested", "code": 7}}, "nested"),
        ({"message": "flat"}, "flat"),
        ({"detail": "fastapi"}, "fastapi"),
        ([{"error": {"message": "listed"}}], "listed"),
        (b"not json \xff\n at all", "not json � at all"),
        ({"error": {"code": 7}}, '{"error": {"code": 7}}'),
        (b"[" * 100_000, "[[["),
    ],
)
async def test_the_services_own_words(body: Any, text: str) -> None:
    assert text in str(await error_of(answer(400, body)))


async def test_no_words_at_all() -> None:
    assert str(await error_of(answer(503))) == "svc answered 503 at /v1/chat"


async def test_where_it_moved_to() -> None:
    error = await error_of(answer(301, b"", {"location": "https://new.test/v1"}))
    assert type(error) is errors.UpstreamRejected
    assert "https://new.test/v1" in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.25", 0.25), ("-3", 0.0), ("nan", None), ("1e999", None), ("soon", None)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after(value: str, seconds: float | None, status: int) -> None:
    error = await error_of(answer(status, b"", {"retry-after": value}))
    assert error.retry_after == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(60, 60), (-60, 0)])
async def test_retry_after_a_date(ahead: int, seconds: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    error = await error_of(answer(429, b"", {"retry-after": date}))
    assert error.retry_after == pytest.approx(seconds, abs=5)


async def test_retry_after_a_date_without_a_zone() -> None:
    error = await error_of(answer(429, b"", {"retry-after": "Wed, 21 Oct 2099 07:28:00 -0000"}))
    assert error.retry_after is not None
    assert error.retry_after > 1_000_000


@pytest.mark.parametrize(
    "leak",
    [
        KEY,
        "googlesecret",
        "sk-proj-abcdef123456",
        "Bearer abcdefghijkl",
        "https://user:pw@api.test/",
        "https://api.test/?alt=x&key=AIzaSyAbc",
    ],
)
async def test_credentials_are_never_quoted(leak: str) -> None:
    body = {"error": f"no {leak}, and again {leak}"}
    request = answer(400).request
    for error in (
        await error_of(answer(401, body)),
        reported_error("svc", body["error"], request=request),
    ):
        assert "***" in str(error)
        for secret in (KEY, "googlesecret", "abcdef", "user:pw", "AIzaSyAbc"):
            assert secret not in str(error)


async def test_a_credential_is_not_left_over_by_shortening() -> None:
    error = await error_of(answer(400, {"error": "x" * 490 + KEY}))
    assert KEY[:6] not in str(error)
    assert len(str(error)) < 600


async def test_a_huge_refusal_is_not_read_to_its_end() -> None:
    given = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield b"x" * 4096

    response = httpx.Response(500, stream=Endless(), request=answer(500).request)
    assert len(str(await read_error(response, "svc"))) < 600
    assert given < 100


async def test_a_refusal_that_breaks_off() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"half a "
            raise httpx.ReadError("gone")

    response = httpx.Response(401, stream=Broken(), request=answer(401).request)
    error = await read_error(response, "svc")
    assert type(error) is errors.UpstreamUnauthenticated
    assert "half a" in str(error)


def _decoding_error() -> Exception:
    try:
        msgspec.json.decode(b"{")
    except msgspec.DecodeError as exc:
        return exc
    raise AssertionError


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectTimeout("t"), errors.TimedOut),
        (httpx.ReadTimeout("t"), errors.TimedOut),
        (TimeoutError(), errors.TimedOut),
        (httpx.ConnectError("c"), errors.UpstreamUnavailable),
        (httpx.ReadError(""), errors.UpstreamUnavailable),
        (httpx.ProxyError("p"), errors.UpstreamUnavailable),
        (ConnectionResetError(), errors.UpstreamUnavailable),
        (httpx.UnsupportedProtocol("u"), errors.UpstreamUnavailable),
        (httpx.InvalidURL("u"), errors.UpstreamUnavailable),
        (httpx.RemoteProtocolError("r"), errors.UpstreamProtocolError),
        (httpx.DecodingError("d"), errors.UpstreamProtocolError),
        (_decoding_error(), errors.UpstreamProtocolError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), errors.UpstreamProtocolError),
        (KeyError("k"), errors.UpstreamProtocolError),
        (IndexError(), errors.UpstreamProtocolError),
        (TypeError("t"), errors.UpstreamProtocolError),
        (AttributeError("a"), errors.UpstreamProtocolError),
        (RecursionError(), errors.UpstreamProtocolError),
    ],
)
def test_what_httpx_and_decoding_raise(
    raised: Exception, kind: type[errors.RuntimeCoreError]
) -> None:
    with pytest.raises(kind, match=r"^svc .*\S") as caught, upstream_errors("svc"):
        raise raised
    assert caught.value.__cause__ is raised
    assert caught.value.retryable


@pytest.mark.parametrize("raised", [errors.InvalidRequest("x"), ZeroDivisionError()])
def test_other_errors_pass(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, upstream_errors("svc"):
        raise raised
    assert caught.value is raised
