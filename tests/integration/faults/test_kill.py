"""Three backends, one of them killed under load: nobody who waits for an answer notices."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.faults import listening
from bench.processes import UpstreamProcess
from bench.upstream import CHUNKS, MODEL
from runtime_core.app import compose
from runtime_core.settings import BackendSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from runtime_core.app import Kernel
    from runtime_core.fleet.backend import Backend

CONCURRENCY = 32
BEFORE, AFTER = 64, 160

#: Its chunks are a millisecond apart: whoever kills a backend kills it in the middle of answers.
QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "Hello pace=1"}]}


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[list[UpstreamProcess]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(UpstreamProcess(tmp_path / name, ()))
            for name in ("a", "b", "c")
            if (tmp_path / name).mkdir() is None
        ]


@pytest.fixture(params=["round-robin", "least-loaded", "lowest-latency", "preference"])
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, backends: list[UpstreamProcess]
) -> AsyncIterator[tuple[Kernel, httpx.AsyncClient]]:
    settings = Settings(
        tokenizer="estimate",
        database_url=f"sqlite:///{tmp_path / 'runtime.db'}",
        router=request.param,
        backends=tuple(
            BackendSettings(type="openai", name=f"b{n}", base_url=f"http://127.0.0.1:{b.port}/v1")
            for n, b in enumerate(backends)
        ),
    )
    kernel = compose(settings)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(kernel))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(), trust_env=False)
        )
        yield kernel, client


async def test_a_killed_backend_fails_no_request(
    server: tuple[Kernel, httpx.AsyncClient], backends: list[UpstreamProcess]
) -> None:
    kernel, client = server
    answers: list[tuple[int, str]] = []
    enough = asyncio.Event()
    victims: list[Backend] = []

    async def work() -> None:
        while len(answers) < BEFORE + AFTER:
            response = await client.post("/v1/chat/completions", json=QUESTION)
            body = response.json()
            text = body["choices"][0]["message"]["content"] if response.is_success else body
            answers.append((response.status_code, str(text)))
            if len(answers) >= BEFORE:
                enough.set()

    async def kill() -> None:
        await enough.wait()
        busiest = max(kernel.catalog.backends, key=lambda backend: backend.in_flight)
        victims.append(busiest)
        backends[kernel.catalog.backends.index(busiest)].kill()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work())
        group.create_task(kill())
    assert {answer for answer in answers if answer[0] != 200} == set()
    assert {text.count("piece") for _, text in answers} == {CHUNKS}
    [victim] = victims
    # seen to be out by whoever was first: its calls, or the look that the first of them asked for
    assert victim.error or victim.breaker != "closed"
    assert all(backend.in_flight == 0 for backend in kernel.catalog.backends)
