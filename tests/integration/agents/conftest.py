"""A server on a socket, with a hook of three tools, between official clients and a fake OpenAI."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import runtime_provider_openai
import runtime_shim_openai
import yaml
from runtime_openai_wire.testing import FakeOpenAI

from runtime_core import hookimpl, http
from runtime_core.app import compose, serving
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.errors import NotFound
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.testing.loopback import listening
from runtime_core.types import HookInfo, Tool, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from runtime_core.protocols import HookSource
    from runtime_core.types import ToolRequest

AGENT = Path(__file__).parents[3] / "examples" / "chains" / "agent.yaml"


class Shop:
    """A plugin with one hook, ``shop``, whose tools tests can replace by functions."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.error = ""
        self.tools: dict[str, Callable[..., Any]] = {
            "find": lambda name: {"id": f"{name}-1"},
            "price": lambda id: 42.5,
            "order": lambda id, amount: f"ordered {amount} of {id}",
        }

    @hookimpl
    def register_hook_sources(self) -> Mapping[str, HookSource]:
        return {"shop": self}

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        tools = tuple(Tool(name, f"{name} things", {"type": "object"}) for name in self.tools)
        return [HookInfo(name="shop", type="test", tools=tools)]

    async def call(self, request: ToolRequest) -> Value:
        self.calls.append((request.tool, request.arguments))
        if request.tool not in self.tools:
            raise NotFound(f"no tool {request.tool}")
        result = self.tools[request.tool](**request.arguments)
        return Value(await result if asyncio.iscoroutine(result) else result, "json")


class Place(NamedTuple):
    """Where clients find the agent, its tools, and the model behind it."""

    url: str
    shop: Shop
    upstream: FakeOpenAI

    @property
    def agent(self) -> str:
        """The base URL of the chain that is an agent."""
        return f"{self.url}/openai/agent/v1"

    def asked(self, number: int = -1) -> list[tuple[str, Any]]:
        """What the model was asked: roles, with the names called or the contents."""
        return [
            (
                one["role"],
                [call["function"]["name"] for call in one.get("tool_calls", ())] or one["content"],
            )
            for one in self.upstream.requests[number].json["messages"]
        ]


def check_conversation(messages: Sequence[dict[str, Any]]) -> None:
    """Fail where OpenAI would refuse: each call must have its result right after it."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, f"calls without results: {open_calls} in {messages}"
        open_calls = [call["id"] for call in message.get("tool_calls", ())]
    assert not open_calls, f"calls without results: {open_calls} in {messages}"


@pytest.fixture
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake
        for request in fake.requests:
            if request.path == "/v1/chat/completions":
                check_conversation(request.json["messages"])


@pytest.fixture
async def start(tmp_path: Path, upstream: FakeOpenAI) -> AsyncIterator[Callable[..., Any]]:
    """Start a server that has `examples/chains/agent.yaml`, over the hook ``shop``."""
    backend = {
        "type": "openai",
        "name": "fake",
        "base_url": upstream.base_url,
        "api_key": upstream.api_key,
    }
    async with AsyncExitStack() as servers:

        async def begin(**environ: str) -> Place:
            environ = {
                "DATABASE_URL": f"sqlite:///{tmp_path / 'runtime.db'}",
                "RUNTIME_TOKENIZER": "estimate",
                "RUNTIME_BACKENDS": json.dumps([backend]),
                "CHAT_MODEL": "gpt-fake",
                **environ,
            }
            settings = Settings.load(environ=environ, directory=tmp_path)
            shop = Shop()
            plugins = Plugins.of(
                {"openai": runtime_provider_openai, "shim": runtime_shim_openai, "shop": shop},
                settings=settings,
                task_handlers=builtin_handlers(),
                routes=http.kernel_routes(),
                check_routes=http.check_routes,
            )
            port = await servers.enter_async_context(listening(serving(compose(settings, plugins))))
            place = Place(f"http://127.0.0.1:{port}", shop, upstream)
            await store_agent(place.url)
            return place

        yield begin


async def store_agent(url: str) -> None:
    chain = yaml.safe_load(AGENT.read_text())
    chain["tasks"][0]["execute_config"]["hooks"] = ["shop"]
    chain["tasks"][0]["system_instruction"] = ""
    async with httpx.AsyncClient() as client:
        stored = await client.post(f"{url}/taskchains", json=chain)
    assert stored.status_code == 201, stored.text


@pytest.fixture
async def place(start: Callable[..., Any]) -> Place:
    """The server as it is without settings."""
    started: Place = await start()
    return started
