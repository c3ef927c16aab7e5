"""A real HTTP server in a thread of its own, for tests that are sync or have their own loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from runtime_core.testing.loopback import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime_core.testing import WireRequest
    from runtime_core.testing.loopback import Exchange

__all__ = ("Answer", "Break", "LoopbackServer")


class Break(Exception):
    """Raised instead of an answer, or in the middle of one, to reset the connection."""


class Answer(Struct, frozen=True):
    """What to send: pieces, each with a pause in seconds before it."""

    pieces: Iterator[tuple[float, bytes]]
    status: int = 200
    headers: Mapping[str, str] = {}


class LoopbackServer:
    """Serves while used as a context manager.

    ``url`` is its address; ``open_answers`` counts the answers being sent now: one whose client
    has left is not counted any more.  ``idle`` is set while there are none.
    """

    def __init__(self, handle: Callable[[WireRequest], Answer]) -> None:
        self.url = ""
        self.open_answers = 0
        self.idle = threading.Event()
        self._handle = handle
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake server did not start within 10 seconds")
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self._respond, lambda: None) as self.url:
            self._ready.set()
            await self._stop.wait()

    async def _respond(self, request: WireRequest, exchange: Exchange) -> None:
        self.open_answers += 1
        self.idle.clear()
        try:
            answer = self._handle(request)
            exchange.begin(answer.status, dict(answer.headers))
            for pause, piece in answer.pieces:
                if pause:
                    await asyncio.sleep(pause)
                await exchange.send(piece)
            exchange.end()
        except Break:
            exchange.abandon(reset=True)
        finally:
            self.open_answers -= 1
            if not self.open_answers:
                self.idle.set()
