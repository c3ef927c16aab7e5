"""What is said on the wire, seen from the other end."""

from __future__ import annotations

import asyncio
import json

import pytest

from runtime_core.errors import SubscriptionLost, UpstreamUnavailable

PATIENCE_S = 20


class Far:
    """The other end: takes one connection after the other, and says what the test wants."""

    def __init__(self):
        self.said = []
        self.options = {}
        self.writer = None

    async def __call__(self, reader, writer):
        self.writer = writer
        writer.write(b'INFO {"max_payload": 100}\r\n')
        async for line in reader:
            self.said.append(line)
            if line.startswith(b"CONNECT "):
                self.options = json.loads(line.removeprefix(b"CONNECT "))
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")

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


async def test_what_we_say(far, make_bus):
    bus = make_bus(far.url.replace("://", "://u:p@") + "/here")
    await bus.ping()
    await bus.publish("a.b", b"xy")
    await bus.publish("a", b"")
    await bus.ping()
    assert far.said[0].startswith(b"CONNECT {")
    assert far.said[1:] == [
        b"SUB here.> 1\r\n",
        *[b"PING\r\n"] * 2,
        b"PUB here.a.b 2\r\n",
        b"xy\r\n",
        b"PUB here.a 0\r\n",
        b"\r\n",
        b"PING\r\n",
    ]
    assert (far.options["user"], far.options["pass"]) == ("u", "p")
    assert "auth_token" not in far.options
    # who hears itself without a server must not hear itself twice
    assert far.options["echo"] is False


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
async def test_messages_come_in_pieces_of_any_size(far, make_bus, piece):
    bus = make_bus(far.url)
    async with bus.subscribe(">") as heard:
        await far.says(
            b"PING\r\nMSG runtime.a 1 2\r\n\r\n\r\n+OK\r\nmsg runtime.b 1 _INBOX.x 3\r\nMSG\r\n"
            b"MSG runtime.c 1 0\r\n\r\nMSG runtime.a.* 1 1\r\nx\r\n"
            b'INFO {"max_payload": 5, "ldm": true}\r\nMSG runtime.d\t 1  11\r\nMSG a 1 1\r\n\r\n',
            piece,
        )
        assert await take(heard, 4) == [b"\r\n", b"MSG", b"", b"MSG a 1 1\r\n"]
        await bus.ping()
        assert b"PONG\r\n" in far.said
        await bus.publish("a", b"123456")
        await bus.publish("a", b"12345")
        await bus.ping()
        assert b"12345\r\n" in far.said
        assert b"123456\r\n" not in far.said


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [
        (b"MSG runtime.a 1\r\n", "makes no sense"),
        (b"MSG runtime.a 1 -1\r\n", "makes no sense"),
        (b"MSG runtime.a 1 99999999999999\r\n", "makes no sense"),
        (b"MSG runtime.a 1 \xc2\xb2\r\n", "makes no sense"),
        (b"MSG \xff 1 1\r\nx\r\n", "makes no sense"),
        (b"HMSG runtime.a 1 1 1\r\n", "makes no sense"),
        (b"INFO []\r\n", "makes no sense"),
        (b"INFO " + b"[" * 100_000 + b"\r\n", "makes no sense"),
        (b"\r\n", "makes no sense"),
        (b"x" * (2 << 20), "makes no sense: a line without an end"),
        (b"-ERR 'Stale Connection'\r\n", "Stale Connection"),
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


async def test_a_network_that_is_slow_keeps_nobody_waiting(serve, make_bus):
    """What does not fit any more is dropped, the oldest first; nothing grows without an end."""
    go_on, arrived = asyncio.Event(), asyncio.Event()
    received = bytearray()

    async def slowly(reader, writer):
        writer.write(b'INFO {"max_payload": 1048576}\r\n')
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        await go_on.wait()
        while data := await reader.read(1 << 20):
            received.extend(data)
            if b"0999" in received:
                arrived.set()
            if b"PING\r\n" in data:
                writer.write(b"PONG\r\n")

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
    assert received.count(b"PUB ") < 300
