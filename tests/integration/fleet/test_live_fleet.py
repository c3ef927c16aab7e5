"""The whole server: what operators declare over HTTP is what serves, in every replica."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime_core import hookimpl, http
from runtime_core.app import compose, serving
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.types import ChatChunk, ModelInfo, PullProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from runtime_core.types import BackendConfig, ChatRequest


class Acme:
    """A plugin whose backends answer with their name, and remember how they were configured."""

    def __init__(self) -> None:
        self.configs: list[BackendConfig] = []

    @hookimpl
    def register_providers(self, context: Any) -> Mapping[str, Any]:
        return {"acme": self.provider, "fetching": lambda config, client: FetchingProvider(config)}

    def provider(self, config: BackendConfig, client: httpx.AsyncClient) -> Any:
        self.configs.append(config)
        return AcmeProvider(config)


class AcmeProvider:
    def __init__(self, config: BackendConfig) -> None:
        self._name = config.name

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo("m", context_length=5)]

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield ChatChunk(self._name, finish_reason="stop")

    async def aclose(self) -> None: ...


class FetchingProvider(AcmeProvider):
    """Has what was fetched to it."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._models = [ModelInfo("m")]

    async def models(self) -> list[ModelInfo]:
        return list(self._models)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        yield PullProgress("pulling", 1, 2)
        self._models.append(ModelInfo(model))

    async def delete_model(self, model: str) -> None:
        self._models = [one for one in self._models if one.name != model]


class Server:
    """One replica, as its clients see it."""

    def __init__(self, client: httpx.AsyncClient, acme: Acme) -> None:
        self.client, self.acme = client, acme

    async def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def add(self, name: str, *groups: str) -> str:
        body = {"name": name, "baseUrl": f"http://{name}", "type": "Acme"}
        found: str = (await self.ask("POST", "/backends", body, 201))["id"]
        for group in groups:
            await self.ask("POST", f"/backend-affinity/{group}/backends/{found}", None, 201)
        return found

    async def names(self) -> list[str]:
        return sorted(one["name"] for one in await self.ask("GET", "/state"))

    async def until(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while await self.names() != sorted(names):  # noqa: ASYNC110 - this is what clients can do
                await asyncio.sleep(0.01)

    async def until_models(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while True:
                pulled = (await self.ask("GET", "/state"))[0]["pulledModels"]
                if [one["name"] for one in pulled] == list(names):
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
async def start(database_url: str, tmp_path: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as servers:

        async def begin(**environ: str) -> Server:
            settings = Settings.load(
                environ={
                    "DATABASE_URL": database_url,
                    "RUNTIME_TOKENIZER": "estimate",
                    **environ,
                },
                directory=tmp_path,
            )
            acme = Acme()
            plugins = Plugins.of(
                {"acme": acme},
                settings=settings,
                task_handlers=builtin_handlers(),
                routes=http.kernel_routes(),
                check_routes=http.check_routes,
            )
            kernel = compose(settings, plugins)
            await servers.enter_async_context(kernel.running())
            transport = httpx.ASGITransport(serving(kernel))
            client = httpx.AsyncClient(transport=transport, base_url="http://server")
            return Server(await servers.enter_async_context(client), acme)

        yield begin


async def test_a_fresh_server(start: Any) -> None:
    server = await start(
        CHAT_MODEL="phi3:3.8b",
        CHAT_MODEL_CONTEXT_LENGTH="2048",
        TASK_MODEL="phi3:3.8b",
        TASK_MODEL_CONTEXT_LENGTH="2048",
        EMBED_MODEL="nomic",
        EMBED_MODEL_CONTEXT_LENGTH="512",
    )
    assert {one["model"] for one in await server.ask("GET", "/models")} == {"phi3:3.8b", "nomic"}
    assert len(await server.ask("GET", "/groups")) == 3
    assert await server.ask("GET", "/backends") == []
    assert await server.ask("GET", "/state") == []


async def test_a_backend_serves_while_it_is_in_a_group(start: Any) -> None:
    server = await start()
    await server.ask("POST", "/chat", {"message": "hi"}, 503)
    backend = await server.add("one")
    assert await server.names() == []
    place = f"/backend-affinity/internal_chat_group/backends/{backend}"
    await server.ask("POST", place, None, 201)
    assert (await server.ask("POST", "/chat", {"message": "hi"}))["message"] == "one"
    await server.ask("DELETE", place)
    assert await server.names() == []
    await server.ask("POST", "/chat", {"message": "hi"}, 503)
    await server.ask("POST", place.replace("chat", "embed"), None, 201)
    assert await server.names() == ["one"]
    await server.ask("POST", "/chat", {"message": "hi"}, 503)


async def test_what_is_declared_of_a_model_counts(start: Any) -> None:
    server = await start()
    await server.add("one", "internal_chat_group")
    model = {"model": "m", "contextLength": 77, "canEmbed": True}
    await server.ask("POST", "/models", model, 201)
    await server.ask("POST", "/chat", {"message": "hi"}, 503)
    pulled = (await server.ask("GET", "/state"))[0]["pulledModels"]
    assert (pulled[0]["contextLength"], pulled[0]["canChat"], pulled[0]["canEmbed"]) == (
        77,
        False,
        True,
    )
    await server.ask("DELETE", "/models/m")
    await server.ask("POST", "/chat", {"message": "hi"})


@pytest.mark.parametrize("configured", [True, False])
async def test_a_model_of_the_settings_is_fetched_to_where_it_is_missing(
    start: Any, configured: bool
) -> None:
    place = {"type": "fetching", "name": "f", "base_url": "http://f"}
    environ = {"RUNTIME_BACKENDS": json.dumps([place])} if configured else {}
    server = await start(CHAT_MODEL="new", CHAT_MODEL_CONTEXT_LENGTH="9", **environ)
    if not configured:
        body = {"name": "f", "baseUrl": "http://f", "type": "fetching"}
        backend = (await server.ask("POST", "/backends", body, 201))["id"]
        path = f"/backend-affinity/internal_chat_group/backends/{backend}"
        await server.ask("POST", path, None, 201)
    await server.until_models("m", "new")
    assert await server.ask("GET", "/queue") == []
    assert (await server.ask("GET", "/state"))[0]["models"] == ["new"]


@pytest.mark.parametrize("prune", ["0", "1"])
async def test_models_nobody_declared_are_deleted_only_for_who_asks_for_it(
    start: Any, prune: str
) -> None:
    place = {"type": "fetching", "name": "f", "base_url": "http://f"}
    server = await start(
        CHAT_MODEL="new",
        CHAT_MODEL_CONTEXT_LENGTH="9",
        RUNTIME_BACKENDS=json.dumps([place]),
        RUNTIME_PRUNE_MODELS=prune,
        RUNTIME_CATALOG_REFRESH="0.05",
    )
    await server.until_models(*(["new"] if prune == "1" else ["m", "new"]))
    # what nobody declared is deleted one by one at any time, what is wanted comes back
    await server.ask("DELETE", "/backends/static:f/models/new")
    if prune == "0":
        await server.ask("DELETE", "/backends/static:f/models/m")
    await server.until_models("new")


async def test_a_key_reaches_the_backends_of_its_type(start: Any) -> None:
    server = await start()
    await server.add("one", "internal_chat_group")
    assert server.acme.configs[-1].api_key is None
    await server.ask("POST", "/providers/acme/configure", {"apiKey": "sk-secret-1234"})
    assert server.acme.configs[-1].api_key == "sk-secret-1234"
    assert server.acme.configs[-1].type == "acme"
    await server.ask("DELETE", "/providers/acme/config")
    assert server.acme.configs[-1].api_key is None


async def test_another_server_follows_without_being_told(start: Any) -> None:
    # each server has a bus of its own here, so nothing of what one tells arrives
    often = {"RUNTIME_CATALOG_REFRESH": "0.05"}
    one, two = await start(**often), await start(**often)
    backend = await one.add("a", "internal_chat_group")
    await one.add("b", "internal_tasks_group")
    await two.until("a", "b")
    await two.ask("DELETE", f"/backends/{backend}")
    assert await two.names() == ["b"]
    await one.until("b")


async def test_a_restart_finds_what_was_declared(start: Any) -> None:
    await (await start()).add("a", "internal_chat_group")
    again = await start()
    assert await again.names() == ["a"]
    assert (await again.ask("POST", "/chat", {"message": "hi"}))["message"] == "a"
