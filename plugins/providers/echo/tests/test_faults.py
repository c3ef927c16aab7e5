"""Faults on demand."""

import asyncio

import pytest

from runtime_core import errors
from runtime_core.types import ChatRequest, Message

FAULTS = {
    "400": errors.UpstreamRejected,
    "401": errors.UpstreamUnauthenticated,
    "403": errors.UpstreamUnauthenticated,
    "404": errors.UpstreamModelNotFound,
    "408": errors.TimedOut,
    "429": errors.UpstreamRateLimited,
    "500": errors.UpstreamUnavailable,
    "502": errors.UpstreamUnavailable,
    "503": errors.UpstreamUnavailable,
    "504": errors.TimedOut,
    "529": errors.UpstreamUnavailable,
    "context_length": errors.UpstreamContextExceeded,
    "disconnect": errors.UpstreamUnavailable,
    "garbage": errors.UpstreamProtocolError,
    "timeout": errors.TimedOut,
    "truncate": errors.UpstreamProtocolError,
}


@pytest.fixture
def collected():
    return []


@pytest.fixture
def failing(collected):
    """Asks and keeps what comes before the failure."""

    async def failing(provider, said="one two three"):
        request = ChatRequest(model="echo", messages=(Message(role="user", content=said),))
        async for chunk in provider.chat(request):
            collected.append(chunk)

    return failing


@pytest.mark.parametrize("fault", FAULTS)
async def test_before_the_first_token(echo, failing, collected, fault):
    with pytest.raises(FAULTS[fault]) as caught:
        await failing(echo(fail=fault))
    assert type(caught.value) is FAULTS[fault]
    assert collected == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [(1, ["one"]), (2, ["one", " two"]), (3, ["one", " two", " three"]), (9, None)],
)
async def test_in_mid_stream(echo, failing, collected, after, expected):
    with pytest.raises(errors.UpstreamUnavailable):
        await failing(echo(fail="disconnect", fail_after=after))
    assert [chunk.text for chunk in collected] == (expected or ["one", " two", " three"])
    assert all(chunk.finish_reason is None for chunk in collected)


async def test_rate_limits_say_when_to_come_back(echo, failing):
    with pytest.raises(errors.UpstreamRateLimited) as caught:
        await failing(echo(), '/echo {"fail": 429, "retry_after": 2.5}')
    assert caught.value.retry_after == 2.5


async def test_a_directive_can_lift_a_fault(echo, ask, text):
    provider = echo(fail="503")
    assert text(await ask(provider, 'hi\n/echo {"fail": null}')) == "hi"


async def test_failing_and_recovering_by_script(echo, ask, text):
    provider = echo(script=[{"fail": 503}, {"fail": 429}, "fine"])
    with pytest.raises(errors.UpstreamUnavailable):
        await ask(provider, "hi")
    with pytest.raises(errors.UpstreamRateLimited):
        await ask(provider, "hi")
    assert text(await ask(provider, "hi")) == "fine"


async def test_embeddings_fail_too(echo):
    with pytest.raises(errors.UpstreamUnavailable):
        await echo(fail="500").embed("echo-embed", ["hi"])


async def test_a_hanging_answer_can_be_cancelled(echo, failing, collected):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await failing(echo(fail="hang", fail_after=1))
    assert [chunk.text for chunk in collected] == ["one"]


async def test_a_paced_answer_can_be_left(echo):
    request = ChatRequest(model="echo", messages=(Message(role="user", content="a b c"),))
    stream = echo(tokens_per_second=0.1).chat(request)
    async with asyncio.timeout(1):
        assert (await anext(stream)).text == "a"
        await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
