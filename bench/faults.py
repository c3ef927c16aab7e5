"""Every fault of a backend, before and after the first token, through the whole server over HTTP.

A cell is right when another backend stood in without the client noticing, or when the client got a
documented error in time; half an answer shown as whole, a hang and a leak are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from pydantic import SecretStr

from bench.faulty import DIALECTS, FAULTS, TEXT, FaultyService
from bench.report import print_table, write
from runtime_core.app import compose, serving
from runtime_core.settings import BackendSettings, Settings
from runtime_core.testing import loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.app import Kernel

__all__ = ("CELLS", "UNREACHABLE", "Cell", "Outcome", "Stand", "main", "stand")

#: Faults that keep a backend from ever being listed: its certificate, its name.
UNREACHABLE = ("TLS failure", "DNS failure")

#: Seconds a backend may say nothing, and in which a cell must be over.  A healthy one needs less
#: even where many tests run at once.
SILENCE = 1.0
LIMIT = 10.0

#: What may be answered when nobody can stand in.
DOCUMENTED = {
    (429, "rate_limit_exceeded"),
    (502, "upstream_error"),
    (503, "no_backend_available"),
    (504, "timeout"),
}


class Cell(NamedTuple):
    """One case: ``spare`` says that a healthy backend has the model too."""

    fault: str
    midway: bool
    spare: bool
    stream: bool

    @property
    def failover(self) -> bool:
        """Whether nobody may notice anything."""
        return self.spare and not (self.midway and self.stream)

    def __str__(self) -> str:
        words = (
            self.fault,
            "after the first token" if self.midway else "before",
            "with a spare" if self.spare else "alone",
            "stream" if self.stream else "whole",
        )
        return ", ".join(words)


CELLS = tuple(
    Cell(fault, midway, spare, stream)
    for fault in (*FAULTS, *UNREACHABLE)
    for midway in (False, True)
    for spare in (False, True)
    for stream in (False, True)
    if not (midway and fault in UNREACHABLE)
)


class Outcome(NamedTuple):
    """What a client saw; ``problem`` is "" when that is right."""

    status: int
    text: str = ""
    finished: bool = False
    error: str = ""
    seconds: float = 0.0
    problem: str = ""


class Stand(NamedTuple):
    """A server in front of a backend that fails and one that does not."""

    client: httpx.AsyncClient
    kernel: Kernel
    faulty: FaultyService
    healthy: FaultyService

    async def run(self, cell: Cell) -> Outcome:
        """Ask once, with the fault switched on, and judge."""
        reachable = cell.fault not in UNREACHABLE
        self.faulty.fault = cell.fault if reachable else ""
        self.faulty.midway = cell.midway
        await self._forgive()
        asked = self.faulty.asked
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT):
                outcome = await self._ask(cell, _model(cell))
        except TimeoutError:
            return Outcome(0, problem=f"nothing within {LIMIT:g} s")
        finally:
            await self.faulty.listen()
        outcome = outcome._replace(seconds=time.monotonic() - began)
        problem = _judged(cell, outcome)
        if not problem and reachable and self.faulty.asked == asked:
            problem = "the backend that fails was not even asked"
        return outcome._replace(problem=problem or await self._left_over())

    async def _forgive(self) -> None:
        """Have nothing left of earlier cells: a look made while the service failed keeps it out."""
        catalog, looked_at = self.kernel.catalog, time.monotonic()
        backend = catalog.get("static:faulty")
        assert backend is not None
        catalog.look(backend.id)
        async with asyncio.timeout(LIMIT):
            while backend.error or (backend.listed_at or 0.0) < looked_at:
                await catalog.next_listing()
        self.kernel.models.forgive()

    async def _ask(self, cell: Cell, model: str) -> Outcome:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": cell.stream,
        }
        response = await self.client.post("/v1/chat/completions", json=body)
        if response.status_code != 200:
            error = response.json()["error"]
            return Outcome(response.status_code, error=error["code"])
        if cell.stream:
            return _read_stream(response.text)
        choice = response.json()["choices"][0]
        return Outcome(200, choice["message"]["content"], choice["finish_reason"] == "stop")

    async def _left_over(self) -> str:
        """Return what a call that is over has left behind, if anything."""
        try:
            async with asyncio.timeout(1.0):
                while left := self._busy():  # noqa: ASYNC110 - nothing left is no event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            return f"left over: {left}"
        return ""

    def _busy(self) -> str:
        calls = sum(backend.in_flight for backend in self.kernel.catalog.backends)
        open_ = self.faulty.open + self.healthy.open
        tasks = [t.get_name() for t in asyncio.all_tasks() if t.get_name() in ("feed", "watch")]
        return (
            f"{calls} calls, {open_} connections, tasks {tasks}" if calls or open_ or tasks else ""
        )


def _model(cell: Cell) -> str:
    if cell.fault in UNREACHABLE:
        return "spare" if cell.spare else "nowhere"
    return "both" if cell.spare else "alone"


def _read_stream(text: str) -> Outcome:
    said, finish, done, error = "", False, False, ""
    for block in text.split("\n\n"):
        if not block.startswith("data: "):
            continue
        if done or error:
            return Outcome(200, said, problem="something follows the end of the stream")
        data = block.removeprefix("data: ")
        if data == "[DONE]":
            done = True
            continue
        event: dict[str, Any] = json.loads(data)
        error = event.get("error", {}).get("code", "")
        for choice in event.get("choices", ()):
            said += choice["delta"].get("content") or ""
            finish = finish or choice["finish_reason"] is not None
    if done is not finish:
        return Outcome(200, said, problem="[DONE] and finish_reason do not go together")
    return Outcome(200, said, done, error)


def _judged(cell: Cell, outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem
    whole = "".join(TEXT)
    if outcome.finished and (outcome.text != whole or outcome.error):
        return f"{outcome.text!r} was presented as whole"
    if cell.failover:
        return "" if outcome.finished else f"no failover: {outcome}"
    if outcome.finished:  # it broke before the server had passed anything on
        return "" if cell.spare else "the fault did not happen"
    if outcome.status == 200:
        known = outcome.error in {code for _, code in DOCUMENTED}
        expected = outcome.text == TEXT[0] or whole.startswith(outcome.text)
        return "" if known and expected and cell.midway else f"no clean error: {outcome}"
    documented = (outcome.status, outcome.error) in DOCUMENTED
    return "" if documented else f"no documented error: {outcome}"


@asynccontextmanager
async def stand(provider: str, folder: Path) -> AsyncIterator[Stand]:
    """Start a server with backends of one type: failing, healthy, and two that are unreachable."""
    dialect = DIALECTS[provider]
    async with AsyncExitStack() as stack:
        faulty = await stack.enter_async_context(
            FaultyService(dialect, ("alone", "both")).serving()
        )
        healthy = await stack.enter_async_context(
            FaultyService(dialect, ("both", "spare")).serving()
        )
        urls = {
            "faulty": faulty.url,
            "healthy": healthy.url,
            "tls": healthy.url.replace("http:", "https:"),
            "dns": f"http://no-such-host.invalid{dialect.base_path}",
        }
        settings = Settings(
            database_url=f"sqlite:///{folder / f'{provider}.db'}",
            backends=tuple(
                BackendSettings(type=provider, name=name, base_url=url, api_key=SecretStr("key"))
                for name, url in urls.items()
            ),
            upstream_connect_timeout=1.0,
            upstream_timeout=SILENCE,
            catalog_refresh=86_400.0,
        )
        kernel = compose(settings)
        url = await stack.enter_async_context(listening(kernel))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=2 * LIMIT, trust_env=False)
        )
        await kernel.models.models()
        yield Stand(client, kernel, faulty, healthy)


@asynccontextmanager
async def listening(kernel: Kernel) -> AsyncIterator[str]:
    """Serve *kernel* on a port of loopback, in this process; gives the address."""
    async with loopback.listening(serving(kernel)) as port:
        yield f"http://127.0.0.1:{port}"


async def _matrix(providers: Sequence[str]) -> dict[str, list[tuple[Cell, Outcome]]]:
    found: dict[str, list[tuple[Cell, Outcome]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for provider in providers:
            async with stand(provider, Path(folder)) as server:
                found[provider] = [(cell, await server.run(cell)) for cell in CELLS]
    return found


def _word(outcome: Outcome) -> str:
    if outcome.problem:
        return "WRONG"
    if outcome.finished:
        return "failed over"
    return (
        f"{outcome.error} {outcome.status}" if outcome.status != 200 else f"{outcome.error} frame"
    )


def main(argv: Sequence[str]) -> int:
    """Run every cell and print the table; 1 when a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench faults", description=__doc__)
    parser.add_argument("--providers", default=",".join(DIALECTS), help="separated by commas")
    parser.add_argument("--json", type=Path, help="default: a new file in bench/results")
    options = parser.parse_args(argv)
    found = asyncio.run(_matrix(options.providers.split(",")))
    rows = [
        [str(cell), *(_word(outcomes[number][1]) for outcomes in found.values())]
        for number, cell in enumerate(CELLS)
    ]
    print_table(["fault", *found], rows)
    wrong = [
        f"{provider}: {cell}: {outcome.problem}"
        for provider, outcomes in found.items()
        for cell, outcome in outcomes
        if outcome.problem
    ]
    cells = sum(map(len, found.values()))
    print(f"\n{cells - len(wrong)} of {cells} cells are right")
    for line in wrong:
        print(line)
    result = {"cells": cells, "wrong": wrong, "rows": rows}
    print(f"\nwritten to {write('faults', result, options.json)}")
    return 1 if wrong else 0
