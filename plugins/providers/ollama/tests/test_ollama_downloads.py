"""A whole server has a model fetched to an Ollama server, because it is declared for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime_core.app import compose, serving
from runtime_core.settings import Settings
from runtime_core.testing import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MODEL = {"model": "phi3:3.8b", "contextLength": 4096, "canChat": True}
GROUP = "internal_chat_group"


@pytest.fixture
async def upstream(ollama_wire: Any) -> AsyncIterator[Upstream]:
    upstream = Upstream(ollama_wire)
    async with upstream.serving():
        yield upstream


class Server:
    """The server, and what its downloads told."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(database_url=f"sqlite:///{folder / 'runtime.db'}", tokenizer="estimate")
        self.kernel = compose(settings)
        transport = httpx.ASGITransport(app=serving(self.kernel))  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url="http://server")

    async def ask(self, method: str, path: str, **given: Any) -> Any:
        response = await self.client.request(method, path, **given)
        assert response.is_success, response.text
        return response.json()

    async def until(self, status: str) -> list[Any]:
        told = []
        async with asyncio.timeout(10):
            async with aclosing(self.kernel.downloads.watch("default")) as events:
                async for event in events:
                    told.append(event)
                    if event.status == status:
                        break
        return told

    async def declare(self, url: str) -> str:
        body = {"name": "box", "baseUrl": url, "type": "Ollama"}
        backend: str = (await self.ask("POST", "/backends", json=body))["id"]
        await self.ask("POST", "/models", json=MODEL)
        await self.ask("POST", f"/model-affinity/{GROUP}/models/{MODEL['model']}")
        await self.ask("POST", f"/backend-affinity/{GROUP}/backends/{backend}")
        return backend


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    async with server.kernel.running(), server.client:
        yield server


async def test_a_declared_model_is_fetched_and_deleted_when_asked(
    server: Server, upstream: Upstream, ollama_wire: Any
) -> None:
    watching = asyncio.create_task(server.until("success"))
    backend = await server.declare(upstream.url)
    told = await watching
    assert {event.base_url for event in told} == {upstream.url}
    assert (told[-1].completed, told[-1].total) == (1024, 1024)
    assert ollama_wire.pulled == ["phi3:3.8b"]
    assert await server.ask("GET", "/queue") == []
    async with asyncio.timeout(10):
        while "phi3:3.8b" not in await _held(server):  # noqa: ASYNC110 - as a client
            await asyncio.sleep(0.02)
    await server.ask("DELETE", f"/model-affinity/{GROUP}/models/{MODEL['model']}")
    path = f"/backends/{backend}/models/phi3:3.8b"
    assert await server.ask("DELETE", path) == "model removed from backend"
    assert ollama_wire.pulled == []
    assert (await server.client.delete(path)).status_code == 404


async def test_a_full_disk_is_shown(server: Server, upstream: Upstream, ollama_wire: Any) -> None:
    ollama_wire.pull_ends = (ollama_wire.failure_midway("write x: no space left on device"),)
    watching = asyncio.create_task(server.until("failed"))
    await server.declare(upstream.url)
    assert "no space left on device" in (await watching)[-1].error
    (job,) = await server.ask("GET", "/queue")
    assert (job["status"], job["id"]) == ("failed", upstream.url)
    assert "no space left on device" in job["error"]


async def _held(server: Server) -> list[str]:
    states = await server.ask("GET", "/state")
    return [model["name"] for state in states for model in state["pulledModels"] or ()]
