"""What is said on the wire, and what becomes of servers and networks that misbehave."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from runtime_eventbridge_nats import connection, link, stream

from runtime_core.errors import SubscriptionLost, UpstreamUnavailable

PATIENCE_S = 20


class Far:
    """The other end: takes one connection after the other, and says what the test wants."""

    def __init__(self):
        self.said = []
        self.options = {}
        self.writer = None
        #: Said when it was greeted, before it answers the first ping.
        self.first = b""
        self.answers = True
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader, writer):
        self.writer = writer
        writer.write(b'INFO {"max_payload": 100, "headers": true, "connect_urls": ["h:1"]}\r\n')
        async for line in reader:
            self.said.append(line)
            if line.startswith(b"CONNECT "):
                self.options = json.loads(line.removeprefix(b"CONNECT "))
                writer.write(self.first)
            if line == b"PING\r\n":
                self.asked.set()
                if self.answers:
                    writer.write(b"PONG\r\n")
        self.left.set()

    async def says(self, data, piece=1 << 20):
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await self.writer.drain()
            await asyncio.sleep(0)


@pytest.fixture
async def far(serve):
    far = Far()
    async with serve(far) as far.port:
        far.url = f"nats://127.0.0.1:{far.port}"
        yield far


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


async def test_what_we_say(far, make_bus):
    bus = make_bus(far.url.replace("://", "://u:p@") + "/here")
    await bus.ping()
    del far.said[:]
    await bus.publish("a.b", b"xy")
    await bus.publish("a", b"")
    await bus.ping()
    # the ping comes last, or its answer would not mean that the messages were dealt with
    assert [b" ".join(line.split()) for line in far.said] == [
        b"PUB here.a.b 2",
        b"xy",
        b"PUB here.a 0",
        b"",
        b"PING",
    ]
    assert (far.options["user"], far.options["pass"]) == ("u", "p")
    assert "auth_token" not in far.options
    # who hears itself without a server must not hear itself twice
    assert far.options["echo"] is False


async def test_who_has_no_password_says_its_token_only(far, make_bus):
    await make_bus(far.url.replace("://", "://tok@")).ping()
    assert far.options["auth_token"] == "tok"
    assert far.options.keys().isdisjoint({"user", "pass"})


async def test_what_a_server_says_before_its_answer_does_no_harm(far, make_bus):
    far.first = b'INFO {"max_payload": 7}\r\n+OK\r\nPING\r\n'
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        await bus.ping()
        await far.says(b"MSG runtime.a 1 1\r\nx\r\n")
        assert await take(heard, 1) == [b"x"]
    assert b"PONG\r\n" in far.said


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
async def test_messages_come_in_pieces_of_any_size(far, make_bus, piece):
    bus = make_bus(far.url)
    async with bus.subscribe(">") as heard:
        await far.says(
            b"PING\r\nMSG runtime.a 1 2\r\n\r\n\r\n+OK\r\nMSG runtime.b 1 _INBOX.x 3\r\nMSG\r\n"
            b"MSG runtime.c 1 0\r\n\r\nMSG runtime.a.* 1 1\r\nx\r\n"
            b"HMSG runtime.h 1 23 26\r\nNATS/1.0\r\nTrace: 12\r\n\r\n1\r\n\r\n"
            b'INFO {"max_payload": 5, "ldm": true}\r\nMSG runtime.d\t 1  11\r\nMSG a 1 1\r\n\r\n',
            piece,
        )
        # of a message with headers the payload counts
        assert await take(heard, 5) == [b"\r\n", b"MSG", b"", b"1\r\n", b"MSG a 1 1\r\n"]
        await bus.ping()
        assert b"PONG\r\n" in far.said


async def test_what_a_server_does_not_take_is_not_sent(far, make_bus, caplog):
    bus = make_bus(far.url)
    await bus.ping()
    await bus.publish("a", b"x" * 101)
    await bus.publish("a", b"y" * 100)
    await bus.ping()
    assert b"y" * 100 + b"\r\n" in far.said
    assert b"x" * 101 + b"\r\n" not in far.said
    assert "101 bytes to a is too large for the bus" in caplog.text


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [
        (b"MSG runtime.a 1\r\n", "makes no sense"),
        (b"MSG runtime.a 1 -1\r\n", "makes no sense"),
        (b"MSG runtime.a 1 \xc2\xb2\r\n", "makes no sense"),
        (b"MSG \xff 1 1\r\nx\r\n", "makes no sense"),
        (b"HMSG runtime.a 1 x 1\r\n", "makes no sense"),
        (b"HMSG runtime.a 1 8 8\r\nNATS/1.0\r\n", "makes no sense"),
        (b"INFO nonsense\r\n", "makes no sense"),
        (b"INFO " + b"[" * 100_000 + b"\r\n", "makes no sense"),
        (b"\r\n", "makes no sense"),
        (b"-ERR \r\n", "makes no sense"),
        (b"-ERR 'Maximum Connections Exceeded'\r\n", "maximum connections exceeded"),
        (b"-ERR 'Authorization Violation'\r\n", "does not accept the credentials"),
    ],
)
async def test_nonsense_ends_the_connection_and_another_is_made(
    far, make_bus, nonsense, reason, caplog
):
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        await far.says(nonsense)
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)
    assert reason in caplog.text
    await bus.ping()


@pytest.mark.parametrize("endless", [b"x" * (1 << 20), b"MSG runtime.a 1 99999999999999\r\n"])
async def test_what_has_no_end_is_given_up(far, make_bus, monkeypatch, caplog, endless):
    # the real value is a matter of seconds
    monkeypatch.setattr(connection, "_PING_S", 0.05)
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        await far.says(endless)
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)
    assert "it does not answer any more" in caplog.text


async def test_what_has_no_end_is_not_kept(far, make_bus, caplog):
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard, asyncio.timeout(PATIENCE_S):
        far.writer.write(b"MSG runtime.a 1 99999999999999\r\n")
        sent, first = 0, far.writer
        with suppress(OSError):
            while sent < 1000:
                first.write(b"x" * (1 << 20))
                await first.drain()
                sent += 1
        assert sent < 100
        with pytest.raises(SubscriptionLost):
            await take(heard, 1)
    assert "a message without an end" in caplog.text


async def test_messages_that_cannot_be_handed_out_in_time_are_a_loss(
    far, make_bus, monkeypatch, caplog
):
    # the real value is a matter of many messages in one piece
    monkeypatch.setattr(connection, "_UNHEARD", 2)
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        await far.says(b"MSG runtime.a 1 1\r\nx\r\n" * 5)
        with pytest.raises(SubscriptionLost):
            await take(heard, 6)
    assert "more messages came than could be handed out" in caplog.text


async def test_a_ping_that_was_given_up_does_no_harm(far, make_bus):
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        far.answers = False
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await bus.ping()
        far.answers = True
        await far.says(b"PONG\r\n" * 3 + b"MSG runtime.a 1 1\r\nx\r\n")
        await bus.ping()
        assert await take(heard, 1) == [b"x"]


async def test_a_network_that_is_slow_keeps_nobody_waiting(serve, make_bus):
    """What does not fit any more is dropped, the oldest first; nothing grows without an end."""
    go_on, arrived = asyncio.Event(), asyncio.Event()
    numbers = []

    async def slowly(reader, writer):
        writer.write(b'INFO {"max_payload": 1048576}\r\n')
        pings = 0
        async for line in reader:
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
                pings += 1
                if pings == 2:
                    await go_on.wait()
            elif line.startswith(b"PUB "):
                payload = await reader.readexactly(int(line.split()[-1]) + 2)
                numbers.append(int(payload[:4]))
                if numbers[-1] == 999:
                    arrived.set()

    async with serve(slowly) as port:
        bus = make_bus(f"nats://127.0.0.1:{port}")
        async with bus.subscribe("a"):
            pass
        async with asyncio.timeout(PATIENCE_S):
            for number in range(1000):
                await bus.publish("a", b"%04d" % number * 25_000)
            with pytest.raises(UpstreamUnavailable, match="no answer within 2 s"):
                await bus.ping()
            go_on.set()
            await arrived.wait()
    assert len(numbers) < 300
    assert numbers == sorted(set(numbers))


async def test_closing_does_not_wait_for_a_network_that_takes_nothing(serve, make_bus):
    async def deaf(reader, writer):
        writer.write(b'INFO {"max_payload": 1048576}\r\n')
        for _ in range(2):
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with serve(deaf) as port:
        bus = make_bus(f"nats://127.0.0.1:{port}")
        async with bus.subscribe("a"):
            for number in range(100):
                await bus.publish("a", b"%04d" % number * 25_000)
            async with asyncio.timeout(connection.ANSWER_S + 1):
                await bus.aclose()


async def test_who_gives_up_at_any_moment_leaves_nothing_behind(far, make_bus):
    """Cancelled at its first step, its second step, and so on, until it was done before that."""
    for steps in range(60):
        bus = make_bus(far.url)
        using = asyncio.ensure_future(bus.ping())
        for _ in range(steps):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        async with asyncio.timeout(connection.ANSWER_S + 1):
            await bus.aclose()


async def test_closing_while_a_server_is_greeted_leaves_it(far, make_bus):
    far.answers = False
    bus = make_bus(far.url)
    using = asyncio.ensure_future(bus.ping())
    # sooner than a server that does not answer is given up anyway
    async with asyncio.timeout(connection.ANSWER_S / 2):
        await far.asked.wait()
        using.cancel()
        await bus.aclose()
        await far.left.wait()


async def test_many_messages_are_not_one_without_an_end(far, make_bus, monkeypatch):
    # the real values are a matter of 65 MiB
    monkeypatch.setattr(stream, "_LARGEST_PAYLOAD", 0)
    monkeypatch.setattr(stream, "_LONGEST_LINE", 200)
    bus = make_bus(far.url)
    async with bus.subscribe("a") as heard:
        for _ in range(50):
            await far.says(b"MSG runtime.a 1 1\r\nx\r\n")
            assert await take(heard, 1) == [b"x"]


def sockets():
    """Count the sockets that this process has open."""
    count = 0
    for name in Path("/proc/self/fd").iterdir():
        # the one that lists them is closed by now
        with suppress(FileNotFoundError):
            count += name.readlink().name.startswith("socket:")
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells the sockets on Linux only")
async def test_connections_that_ended_leave_no_sockets(network, make_bus, monkeypatch):
    # the real value is a matter of seconds
    monkeypatch.setattr(link, "_LONGEST_PAUSE_S", 0.05)
    bus = make_bus(network.url)
    await bus.ping()
    before = sockets()
    for _ in range(10):
        await network.cut()
        await network.restore()
        await until_well(bus)
    assert sockets() <= before
    await bus.aclose()
    assert sockets() < before


async def test_a_server_whose_name_is_not_known(make_bus):
    with pytest.raises(UpstreamUnavailable, match=r"nats://nobody\.invalid:4222: "):
        await make_bus("nats://nobody.invalid").ping()
