from __future__ import annotations

import asyncio

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import SubscriptionLost


async def drain(subscription) -> list[bytes]:
    """Return what a subscription of a closed bus still has."""
    return [payload async for payload in subscription]


@pytest.mark.parametrize(
    ("pattern", "heard", "not_heard"),
    [
        ("a.b", ["a.b"], ["a", "a.b.c", "a.c", "A.b"]),
        ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.a"]),
        ("*.b", ["a.b", "c.b"], ["b", "a.c", "a.b.c"]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c", "a.b"]),
        ("a.>", ["a.b", "a.b.c", "a.b.c.d"], ["a", "b.a"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b", "a"]),
        (">", ["a", "a.b"], []),
        ("*", ["a"], ["a.b"]),
    ],
)
async def test_a_subscriber_hears_what_its_subject_matches(pattern, heard, not_heard):
    bus = MemoryBus()
    async with bus.subscribe(pattern) as subscription:
        for subject in (*not_heard, *heard):
            await bus.publish(subject, subject.encode())
        await bus.aclose()

        assert await drain(subscription) == [subject.encode() for subject in heard]


async def test_every_subscriber_hears_every_message_in_order():
    bus = MemoryBus()
    messages = [str(number).encode() for number in range(100)]
    async with (
        bus.subscribe("a.b") as first,
        bus.subscribe("a.b") as second,
        bus.subscribe("a.*") as third,
    ):
        for message in messages:
            await bus.publish("a.b", message)
        await bus.aclose()

        assert [await drain(each) for each in (first, second, third)] == [messages] * 3


async def test_a_waiting_subscriber_wakes_up():
    bus = MemoryBus()
    async with asyncio.timeout(5), bus.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(anext(aiter(subscription)))
        await asyncio.sleep(0)
        await bus.publish("a", b"ring")

        assert await waiting == b"ring"


async def test_a_slow_subscriber_gets_what_was_queued_and_then_sees_that_it_lost_the_rest():
    bus = MemoryBus(queue_size=3)
    async with asyncio.timeout(5), bus.subscribe("a") as slow, bus.subscribe("a") as quick:
        quick_heard = []
        for number in range(5):
            await bus.publish("a", str(number).encode())
            quick_heard.append(await anext(aiter(quick)))

        assert quick_heard == [b"0", b"1", b"2", b"3", b"4"]
        assert [await anext(aiter(slow)) for _ in range(3)] == [b"0", b"1", b"2"]
        for _ in range(2):
            with pytest.raises(SubscriptionLost, match="'a' fell more than 3 messages behind"):
                await anext(aiter(slow))


async def test_a_dropped_subscriber_hears_nothing_more():
    bus = MemoryBus(queue_size=1)
    async with bus.subscribe("a.*") as slow:
        await bus.publish("a.b", b"1")
        await bus.publish("a.b", b"2")
        assert await anext(aiter(slow)) == b"1"
        await bus.publish("a.b", b"3")

        with pytest.raises(SubscriptionLost):
            await anext(aiter(slow))


async def test_who_listens_when_messages_are_lost_is_told_after_what_was_queued():
    bus = MemoryBus()
    async with asyncio.timeout(5), bus.subscribe("a") as exact, bus.subscribe("a.>") as pattern:
        await bus.publish("a", b"1")
        waiting = asyncio.ensure_future(anext(aiter(pattern)))
        await asyncio.sleep(0)
        bus.lose("missed messages while it rained")
        await bus.publish("a", b"2")

        assert await anext(aiter(exact)) == b"1"
        for told in (anext(aiter(exact)), waiting):
            with pytest.raises(SubscriptionLost, match="missed messages while it rained: subscr"):
                await told
        async with bus.subscribe("a") as again:
            await bus.publish("a", b"3")
            assert await anext(aiter(again)) == b"3"


async def test_leaving_ends_the_subscription_and_frees_the_bus():
    bus = MemoryBus()
    async with bus.subscribe("a") as exact, bus.subscribe("b.>") as pattern:
        pass
    await bus.publish("a", b"late")
    await bus.publish("b.c", b"late")

    assert await drain(exact) == await drain(pattern) == []
    assert not bus._exact
    assert not bus._patterns


async def test_closing_the_bus_ends_a_waiting_subscriber():
    bus = MemoryBus()
    async with asyncio.timeout(5), bus.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(drain(subscription))
        await asyncio.sleep(0)
        await bus.aclose()
        await bus.aclose()

        assert await waiting == []
    async with bus.subscribe("a") as late:
        await bus.publish("a", b"nobody hears this")
        assert await drain(late) == []


async def test_a_cancelled_wait_loses_no_message():
    bus = MemoryBus()
    async with asyncio.timeout(5), bus.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(anext(aiter(subscription)))
        await asyncio.sleep(0)
        await bus.publish("a", b"1")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert await anext(aiter(subscription)) == b"1"


async def test_a_subscriber_may_unsubscribe_others_while_a_message_is_handed_out():
    bus = MemoryBus(queue_size=1)
    async with bus.subscribe("a"), bus.subscribe("a"), bus.subscribe("*"), bus.subscribe(">"):
        await bus.publish("a", b"1")
        await bus.publish("a", b"2")
        await bus.publish("a", b"3")


async def test_iterating_before_entering_says_what_to_do():
    with pytest.raises(RuntimeError, match="enter it with 'async with'"):
        aiter(MemoryBus().subscribe("a"))


@pytest.mark.parametrize("subject", ["", ".", "a.", ".a", "a..b", "a. ", "a b", "a\n", "\0"])
async def test_a_subject_has_no_empty_parts(subject):
    bus = MemoryBus()
    with pytest.raises(ValueError, match="is not a subject"):
        bus.subscribe(subject)
    with pytest.raises(ValueError, match="is not a subject"):
        await bus.publish(subject, b"")


async def test_wildcards_are_refused_where_they_mean_nothing():
    bus = MemoryBus()
    with pytest.raises(ValueError, match="can only be the last part"):
        bus.subscribe("a.>.b")
    for subject in ("a.*", "a.>"):
        with pytest.raises(ValueError, match="wildcards are for subscribers"):
            await bus.publish(subject, b"")


def test_a_queue_holds_at_least_one_message():
    with pytest.raises(ValueError, match="queue_size must be at least 1, not 0"):
        MemoryBus(queue_size=0)
