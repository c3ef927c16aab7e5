"""A client without a network: what an ASGI application receives, and what it sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


class Client:
    """Plays the server's part of ASGI for one request."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.asked = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.gave_up = asyncio.Event()
        self.started: dict[str, Any] = {}
        self.chunks: list[bytes] = []
        self.finished = False
        self.arrived = asyncio.Condition()

    async def receive(self) -> dict[str, Any]:
        self.asked.set()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = message
        else:
            await self._written()
            if message["body"]:
                self.chunks.append(message["body"])
            self.finished = not message["more_body"]
        async with self.arrived:
            self.arrived.notify_all()

    async def _written(self) -> None:
        try:
            await self.reads.wait()
        except asyncio.CancelledError:
            self.gave_up.set()
            raise

    async def until(self, text: bytes) -> None:
        """Return when *text* has arrived."""
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: text in self.body)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.started["headers"]}


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def own_tasks() -> Any:
    """A function that returns the tasks of the product which have not ended."""

    def tasks() -> list[str]:
        return sorted(
            task.get_name()
            for task in asyncio.all_tasks()
            if task.get_name() in ("feed", "watch") and not task.cancelling()
        )

    return tasks
