"""A dead bus costs nobody anything but time, and comes back by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest
from runtime_eventbridge_nats import connection, link

from runtime_core.errors import SubscriptionLost, UpstreamUnavailable

PATIENCE_S = 20


async def take(subscription, count):
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(aiter(subscription)) for _ in range(count)]


async def until_well(bus):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.ping()
            except UpstreamUnavailable:
                await asyncio.sleep(0.01)


async def until_unwell(bus, reason=""):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await bus.ping()
            except UpstreamUnavailable as exc:
                if reason in exc.message:
                    return exc.message
            await asyncio.sleep(0.01)


async def silence(reader, writer):
    await reader.read()


async def test_nothing_is_opened_before_the_bus_is_used(network, make_bus):
    bus = make_bus(network.url)
    subscription = bus.subscribe("a")
    await asyncio.sleep(0.05)
    assert network.connections == 0
    async with subscription:
        assert network.connections == 1
    await bus.publish("a", b"")
    await bus.ping()
    assert network.connections == 1


async def test_without_a_server_a_process_hears_itself(start_nats, make_bus):
    server = start_nats()
    server.kill()
    bus = make_bus(server.url)
    async with asyncio.timeout(PATIENCE_S), bus.subscribe("a") as heard:
        await bus.publish("a", b"1")
        assert await take(heard, 1) == [b"1"]
        with pytest.raises(UpstreamUnavailable, match=f"{server.url}: nobody listens there"):
            await bus.ping()
        server.start()
        await until_well(bus)
        with pytest.raises(SubscriptionLost, match="while the bus was not there: subscribe again"):
            await take(heard, 1)


async def test_a_server_that_is_restarted_is_used_again(nats_server, make_bus, caplog):
    caplog.set_level(logging.INFO, "runtime.bus")
    here, there = make_bus(nats_server.url), make_bus(nats_server.url)
    async with here.subscribe("a") as heard:
        await there.publish("a", b"1")
        assert await take(heard, 1) == [b"1"]
        nats_server.kill()
        assert nats_server.url in await until_unwell(here)
        # a listener is not told before there is something to hear again
        waiting = asyncio.ensure_future(take(heard, 1))
        assert await asyncio.wait([waiting], timeout=0.05) == (set(), {waiting})
        nats_server.start()
        with pytest.raises(SubscriptionLost):
            await waiting
    async with here.subscribe("a") as heard:
        await until_well(there)
        await there.publish("a", b"2")
        # perhaps after what waited for a connection
        assert await take(heard, 1) == [b"2"]
    warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert 2 <= len(warnings) <= 4
    assert len({(one.getMessage(), one.created) for one in warnings}) == len(warnings)
    assert "other replicas are heard" in caplog.text


async def test_who_listens_again_after_the_loss_misses_nothing(network, nats_server, make_bus):
    """Whoever re-reads after `SubscriptionLost` hears whatever is published from then on."""
    here, there = make_bus(network.url), make_bus(nats_server.url)
    await there.ping()
    for number in range(5):
        async with here.subscribe("a") as heard:
            await network.cut()
            await network.restore()
            with pytest.raises(SubscriptionLost):
                await take(heard, 1)
            async with here.subscribe("a") as again:
                await there.publish("a", b"%d" % number)
                assert await take(again, 1) == [b"%d" % number]


async def test_what_is_published_during_an_outage_is_sent_later_within_bounds(
    network, nats_server, make_bus, caplog
):
    here, there = make_bus(network.url), make_bus(nats_server.url)
    async with there.subscribe(">") as heard:
        await here.ping()
        await network.cut()
        await until_unwell(here)
        for number in range(3000):
            await here.publish("a", b"%d" % number)
        await network.restore()
        await until_well(here)
        await here.publish("end", b"end")
        assert await take(heard, 1024) == [b"%d" % number for number in range(1976, 3000)]
        assert await take(heard, 1) == [b"end"]
    assert caplog.text.count("the oldest messages to other replicas are dropped") == 1


async def test_a_burst_is_sent_whole(nats_server, make_bus):
    here, there = make_bus(nats_server.url), make_bus(nats_server.url)
    async with there.subscribe("end") as end, there.subscribe("a.>") as heard:
        await here.ping()
        for number in range(1000):
            await here.publish(f"a.{number}", b"%d" % number * 1000)
            await here.publish("b", b"%d" % number)
        await here.publish("end", b"")
        await take(end, 1)
        assert await take(heard, 1000) == [b"%d" % number * 1000 for number in range(1000)]


async def test_large_messages_make_room_too(network, nats_server, make_bus):
    here, there = make_bus(network.url), make_bus(nats_server.url)
    async with there.subscribe(">") as heard:
        await here.ping()
        await network.cut()
        await until_unwell(here)
        for number in range(9):
            await here.publish("a", b"%d" % number * 300_000)
        await network.restore()
        assert [payload[:1] for payload in await take(heard, 3)] == [b"6", b"7", b"8"]


async def test_what_no_server_takes_is_dropped_and_the_rest_arrives(nats_server, make_bus, caplog):
    here, there = make_bus(nats_server.url), make_bus(nats_server.url)
    async with there.subscribe(">") as heard, here.subscribe(">") as near:
        await here.publish("a", b"x" * (1024 * 1024 + 1))
        await here.ping()
        await here.publish("long." * 1000 + "x", b"")
        await here.publish("a", b"small")
        assert await take(heard, 1) == [b"small"]
        assert len(await take(near, 3)) == 3
    assert caplog.text.count("is too large for the bus") == 2
    await here.ping()


async def test_one_of_several_servers_is_enough(start_nats, make_bus):
    dead, first, second = start_nats(), start_nats(), start_nats()
    dead.kill()
    bus = make_bus(",".join(one.url for one in (dead, first, second)))
    await until_well(bus)
    first.kill()
    await until_well(bus)
    second.kill()
    await until_unwell(bus, "nobody listens there")
    dead.start()
    await until_well(bus)


async def test_a_silent_server_keeps_nobody_waiting_for_long(serve, make_bus):
    async with serve(silence) as port:
        bus = make_bus(f"nats://127.0.0.1:{port}")
        async with asyncio.timeout(0.5):
            await bus.publish("a", b"1")
        async with asyncio.timeout(connection.ANSWER_S + 1), bus.subscribe("a"):
            pass
        async with asyncio.timeout(0.5), bus.subscribe("a") as heard:
            await bus.publish("a", b"2")
            assert await take(heard, 1) == [b"2"]
        with pytest.raises(UpstreamUnavailable):
            async with asyncio.timeout(connection.ANSWER_S + 1):
                await bus.ping()
        async with asyncio.timeout(connection.ANSWER_S + 1):
            await bus.aclose()


async def test_who_did_not_wait_for_a_slow_connection_is_told_when_it_is_there(network, make_bus):
    network.freeze()
    bus = make_bus(network.url)
    async with bus.subscribe("a") as heard:
        await network.restore()
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)


async def test_a_connection_that_went_dumb_is_given_up(network, make_bus, monkeypatch):
    # the real value is a matter of seconds
    monkeypatch.setattr(connection, "_PING_S", 0.02)
    bus = make_bus(network.url)
    async with bus.subscribe("a") as heard:
        network.freeze()
        with pytest.raises(UpstreamUnavailable, match="it does not answer any more"):
            await bus.ping()
        await network.cut()
        await network.restore()
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"INFO {}\r\n",
        b"INFO nonsense\r\n",
        b"INFO " + b"x" * 100_000 + b"\r\n",
        b"INFO {}\r\n-ERR 'go away'\r\n",
        b"\xff\xfe" * 100,
        b'INFO {"max_payload": 1}\r\nPONG\r\nMSG a b c d e f\r\n',
        b'INFO {"tls_required": true}\r\nhello\r\n',
    ],
)
async def test_what_is_no_server_is_survived(serve, make_bus, greeting):
    async def greet(reader, writer):
        writer.write(greeting)
        await writer.drain()
        await reader.read(100)
        writer.close()

    async with serve(greet) as port:
        bus = make_bus(f"nats://127.0.0.1:{port}")
        async with bus.subscribe("a") as heard:
            await bus.publish("a", b"1")
            assert await take(heard, 1) == [b"1"]
            await until_unwell(bus, f"nats://127.0.0.1:{port}: ")


async def test_a_reason_is_logged_once_however_often_it_is_met(serve, make_bus, caplog):
    attempts, often = [], asyncio.Event()

    async def refuse(reader, writer):
        attempts.append(writer)
        if len(attempts) == 4:
            often.set()
        writer.close()

    async with serve(refuse) as port:
        bus = make_bus(f"nats://127.0.0.1:{port}")
        await bus.publish("a", b"")
        async with asyncio.timeout(PATIENCE_S):
            await often.wait()
    assert caplog.text.count("the bus cannot be used: ") == 1


async def test_a_fault_of_ours_is_logged_and_the_next_use_starts_anew(
    nats_server, make_bus, monkeypatch, caplog
):
    async def broken(*args):
        raise KeyError("x")

    # there is no known way to break it from outside
    monkeypatch.setattr(link, "connect", broken)
    bus = make_bus(nats_server.url)
    async with bus.subscribe("a") as heard:
        await until_unwell(bus, "it broke; the server's log has the details")
        assert "keeping the connection to the bus broke" in caplog.text
        monkeypatch.undo()
        await until_well(bus)
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)


async def test_two_deployments_with_different_prefixes_do_not_hear_each_other(
    nats_server, make_bus
):
    one, other = make_bus(f"{nats_server.url}/one"), make_bus(f"{nats_server.url}/other")
    again = make_bus(f"{nats_server.url}/one")
    async with one.subscribe(">") as heard:
        await other.publish("a", b"not ours")
        await other.ping()
        await again.publish("a", b"ours")
        assert await take(heard, 1) == [b"ours"]
