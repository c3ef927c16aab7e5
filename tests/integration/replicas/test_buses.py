"""What every bus does: the one inside a process, and the one between processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.drivers import load_driver
from runtime_core.errors import SubscriptionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runtime_core.protocols import Bus

    #: Returns the bus of one more process that shares it with the others.
    Join = Callable[[], Bus]

PATIENCE_S = 10


@pytest.fixture(params=["memory", "nats"])
async def join(request: pytest.FixtureRequest) -> AsyncIterator[Join]:
    """Return what joins a bus; a bus in memory has one process only."""
    async with AsyncExitStack() as opened:
        if request.param == "memory":
            alone = MemoryBus()
            opened.push_async_callback(alone.aclose)
            yield lambda: alone
            return
        url = request.getfixturevalue("nats_server").url

        def another() -> Bus:
            bus: Bus = load_driver("bus", "nats")(url, environ={})
            opened.push_async_callback(bus.aclose)
            return bus

        yield another


@pytest.fixture(params=["from here", "from elsewhere"])
def pair(request: pytest.FixtureRequest, join: Join) -> tuple[Bus, Bus]:
    """Return a bus to publish on and one to listen on: of one process, then of two."""
    here = join()
    return (here, here) if request.param == "from here" else (join(), here)


async def take(subscription: Any, count: int) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(aiter(subscription)) for _ in range(count)]


async def drain(subscription: Any) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_S):
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
        ("*", ["a", "ü"], ["a.b"]),
    ],
)
async def test_a_subscriber_hears_what_its_subject_matches(
    pair: tuple[Bus, Bus], pattern: str, heard: list[str], not_heard: list[str]
) -> None:
    speaker, listener = pair
    async with listener.subscribe(pattern) as subscription:
        for subject in (*not_heard, *heard):
            await speaker.publish(subject, subject.encode())

        assert await take(subscription, len(heard)) == [subject.encode() for subject in heard]
        await listener.aclose()
        assert await drain(subscription) == []


async def test_every_subscriber_hears_every_message_once_and_in_order(
    pair: tuple[Bus, Bus],
) -> None:
    speaker, listener = pair
    messages = [b"", b"\x00\r\n", b"x" * 100_000, *(b"%d" % number for number in range(500))]
    async with (
        listener.subscribe("a.b") as first,
        listener.subscribe("a.b") as second,
        listener.subscribe("a.*") as third,
        listener.subscribe(">") as fourth,
    ):
        for message in messages:
            await speaker.publish("a.b", message)
        for subscription in (first, second, third, fourth):
            assert await take(subscription, len(messages)) == messages
        await listener.aclose()
        for subscription in (first, second, third, fourth):
            assert await drain(subscription) == []


async def test_a_waiting_subscriber_wakes_up(pair: tuple[Bus, Bus]) -> None:
    speaker, listener = pair
    async with listener.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(take(subscription, 1))
        await asyncio.sleep(0)
        await speaker.publish("a", b"ring")
        assert await waiting == [b"ring"]


async def test_everybody_hears_everybody(join: Join) -> None:
    buses = [join() for _ in range(3)]
    async with AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(bus.subscribe("a")) for bus in buses]
        for number, bus in enumerate(buses):
            await bus.publish("a", b"%d" % number)
        for subscription in heard:
            assert sorted(await take(subscription, 3)) == [b"0", b"1", b"2"]


async def test_a_slow_subscriber_sees_that_it_lost_something(pair: tuple[Bus, Bus]) -> None:
    speaker, listener = pair
    async with listener.subscribe("a") as slow, listener.subscribe("end") as end:
        await speaker.ping()
        for number in range(1025):
            await speaker.publish("a", b"%d" % number)
        await speaker.publish("end", b"")
        await take(end, 1)
        assert await take(slow, 1024) == [b"%d" % number for number in range(1024)]
        with pytest.raises(SubscriptionLost, match="'a' fell more than 1024 messages behind"):
            await take(slow, 1)


async def test_what_was_published_before_closing_arrives(join: Join) -> None:
    speaker, listener = join(), join()
    async with listener.subscribe("a") as subscription:
        for number in range(100):
            await speaker.publish("a", b"%d" % number)
        await speaker.aclose()
        assert await take(subscription, 100) == [b"%d" % number for number in range(100)]


async def test_closing_ends_a_waiting_subscriber(join: Join) -> None:
    bus = join()
    async with bus.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(drain(subscription))
        await asyncio.sleep(0)
        await bus.aclose()
        await bus.aclose()
        assert await waiting == []
    async with bus.subscribe("a") as late:
        await bus.publish("a", b"nobody hears this")
        assert await drain(late) == []


async def test_a_bus_that_was_never_used_closes(join: Join) -> None:
    await join().aclose()


async def test_a_cancelled_wait_loses_no_message(pair: tuple[Bus, Bus]) -> None:
    speaker, listener = pair
    async with listener.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(anext(aiter(subscription)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await speaker.publish("a", b"1")
        assert await take(subscription, 1) == [b"1"]


async def test_all_is_well(join: Join) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await join().ping()


async def test_iterating_before_entering_says_what_to_do(join: Join) -> None:
    with pytest.raises(RuntimeError, match="enter it with 'async with'"):
        aiter(join().subscribe("a"))


@pytest.mark.parametrize("subject", ["", ".", "a.", ".a", "a..b", "a. ", "a b", "a\r\nPING", "\0"])
async def test_a_subject_has_no_empty_parts_and_no_spaces(join: Join, subject: str) -> None:
    bus = join()
    with pytest.raises(ValueError, match="is not a subject"):
        bus.subscribe(subject)
    with pytest.raises(ValueError, match="is not a subject"):
        await bus.publish(subject, b"")


async def test_wildcards_are_refused_where_they_mean_nothing(join: Join) -> None:
    bus = join()
    with pytest.raises(ValueError, match="can only be the last part"):
        bus.subscribe("a.>.b")
    for subject in ("a.*", "a.>"):
        with pytest.raises(ValueError, match="wildcards are for subscribers"):
            await bus.publish(subject, b"")
