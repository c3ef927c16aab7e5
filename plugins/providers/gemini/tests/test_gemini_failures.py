"""Refusals as Google words them."""

import json

import pytest
from runtime_provider_gemini import GeminiProvider

from runtime_core import errors
from runtime_core.testing import Reply, Upstream
from runtime_core.types import BackendConfig, ChatRequest, Message
from runtime_core.upstream import create_client

HI = ChatRequest(model="gemini-2.5-flash", messages=(Message(role="user", content="Hi"),))
JSON = {"content-type": "application/json; charset=UTF-8"}
BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
QUOTA = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "47.5s"}


@pytest.fixture
async def upstream(gemini_wire):
    upstream = Upstream(gemini_wire)
    async with upstream.serving():
        yield upstream


@pytest.fixture
async def provider(upstream):
    async with create_client(read_timeout=5) as client:
        config = BackendConfig(name="g", type="gemini", base_url=upstream.url, api_key="k-secret")
        yield GeminiProvider(config, client)


@pytest.fixture(params=["object", "list", "in mid-stream"])
def refused(request, upstream, provider):
    """Ask, have it refused in each of the ways there are, and return the error."""

    async def refused(status, message, *details):
        error = upstream.wire.error(status, message, *details)
        if request.param == "in mid-stream":
            frame = upstream.wire.frame(json.dumps(error).encode())
            upstream.will_reply(Reply((frame,), 200, {"content-type": "text/event-stream"}))
        else:
            body = [error] if request.param == "list" else error
            upstream.will_reply(Reply((json.dumps(body).encode(),), status, JSON))
        with pytest.raises(errors.UpstreamError) as caught:
            async for _ in provider.chat(HI):
                pass
        assert message.split("k-secret")[0] in str(caught.value)
        return caught.value

    return refused


async def test_a_bad_key_is_about_the_key(refused):
    error = await refused(400, "API key not valid. Please pass a valid API key.", BAD_KEY)
    assert type(error) is errors.UpstreamUnauthenticated


async def test_another_bad_argument_is_not(refused):
    assert type(await refused(400, "Invalid value at 'contents'")) is errors.UpstreamRejected


async def test_when_to_come_back(refused):
    error = await refused(429, "You exceeded your current quota", QUOTA, RETRY)
    assert type(error) is errors.UpstreamRateLimited
    assert error.retry_after == 47.5


@pytest.mark.parametrize("delay", ["soon", "-1s", "1e9s", "5s or so", "s", 7, None])
async def test_delays_that_make_no_sense(refused, delay):
    error = await refused(429, "Too much", {"retryDelay": delay})
    assert error.retry_after is None


async def test_a_prompt_that_is_too_long(refused):
    message = (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    )
    assert type(await refused(400, message)) is errors.UpstreamContextExceeded


async def test_an_overloaded_model_may_be_tried_again(refused):
    error = await refused(503, "The model is overloaded. Please try again later.")
    assert type(error) is errors.UpstreamUnavailable


async def test_the_status_counts_where_it_is_about_something_else(refused):
    assert type(await refused(503, "Overloaded.", BAD_KEY)) is errors.UpstreamUnavailable


async def test_the_key_stays_secret(refused):
    assert "k-secret" not in str(await refused(400, "Bad k-secret", BAD_KEY))


@pytest.mark.parametrize(
    "body",
    [b"[]", b"[1]", b'{"error": "no"}', b'{"error": {"details": 7}}', b"[" * 60_000, b"\xff"],
)
async def test_refusals_in_other_shapes(upstream, provider, body):
    upstream.will_reply(Reply((body,), 400, JSON))
    with pytest.raises(errors.UpstreamRejected):
        await provider.embed("gemini-embedding-001", ["a"])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("no", errors.UpstreamUnavailable),
        ({"code": 7, "message": "no"}, errors.UpstreamUnavailable),
        ({"status": "no"}, errors.UpstreamUnavailable),
        ({"code": 404, "message": "no"}, errors.UpstreamModelNotFound),
    ],
)
async def test_errors_in_other_shapes_in_answers(upstream, provider, error, kind):
    body = json.dumps({"error": error}).encode()
    upstream.will_list(Reply((body,), 200, JSON))
    with pytest.raises(kind, match="no"):
        await provider.models()
