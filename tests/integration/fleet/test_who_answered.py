"""An OpenAI client can read in the headers who answered it, after how many attempts, how fast."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bench.faults import listening
from bench.faulty import DIALECTS, FaultyService
from runtime_core.app import compose
from runtime_core.settings import BackendSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CHAIN = {
    "id": "asking",
    "tasks": [
        {
            "id": "ask",
            "handler": "chat_completion",
            "execute_config": {"model": "m"},
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}
ABOUT = ("x-backend", "x-model", "x-attempts", "server-timing")
TIMING = re.compile(r"route;dur=(\d+\.\d{3}), backend;dur=(\d+\.\d{3})")

#: The route, and what is named as the model there.
ROUTES = [
    ("/v1/chat/completions", "m"),
    ("/v1/chat/completions", "chain:asking"),
    ("/openai/asking/v1/chat/completions", "whatever"),
]


@pytest.fixture
async def services() -> AsyncIterator[list[FaultyService]]:
    async with AsyncExitStack() as stack:
        made = [FaultyService(DIALECTS["openai"], ("m",)) for _ in range(2)]
        for service in made:
            await stack.enter_async_context(service.serving())
        yield made


@pytest.fixture
async def client(tmp_path: Path, services: list[FaultyService]) -> AsyncIterator[httpx.AsyncClient]:
    first, second = (
        BackendSettings(type="openai", name=name, base_url=service.url, priority=place)
        for place, (name, service) in enumerate(zip(("first", "second"), services, strict=True))
    )
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'runtime.db'}",
        backends=(first, second),
        disable_plugins=("echo", "ollama"),
        breaker_failures=0,
        tokenizer="estimate",
    )
    async with (
        listening(compose(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):
        (await client.post("/taskchains", json=CHAIN)).raise_for_status()
        yield client


@pytest.fixture(params=ROUTES, ids=" ".join)
def route(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param  # type: ignore[no-any-return]


async def ask(client: httpx.AsyncClient, route: tuple[str, str], stream: bool) -> httpx.Response:
    path, model = route
    messages = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    return await client.post(path, json=body)


def seconds(response: httpx.Response) -> tuple[float, float]:
    found = TIMING.fullmatch(response.headers["server-timing"])
    assert found, response.headers["server-timing"]
    return float(found[1]) / 1000, float(found[2]) / 1000


async def test_who_answered(
    client: httpx.AsyncClient, route: tuple[str, str], stream: bool
) -> None:
    response = await ask(client, route, stream)
    assert response.status_code == 200, response.text
    assert [response.headers[name] for name in ABOUT[:3]] == ["first", "m", "1"]
    routing, backend = seconds(response)
    assert 0 <= routing < 5
    assert 0 < backend < 5
    assert response.headers["x-run-id"]


async def test_the_one_that_stood_in_is_named(
    client: httpx.AsyncClient,
    services: list[FaultyService],
    route: tuple[str, str],
    stream: bool,
) -> None:
    services[0].fault = "500"
    response = await ask(client, route, stream)
    assert response.status_code == 200, response.text
    assert [response.headers[name] for name in ABOUT[:3]] == ["second", "m", "2"]
    assert seconds(response)[0] > 0


async def test_nobody_is_named_when_all_have_failed(
    client: httpx.AsyncClient,
    services: list[FaultyService],
    route: tuple[str, str],
    stream: bool,
) -> None:
    for service in services:
        service.fault = "500"
    response = await ask(client, route, stream)
    assert response.status_code >= 500
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert "first" in error["message"]
    assert "second" in error["message"]
    assert not [name for name in ABOUT if name in response.headers]
    assert response.headers["x-run-id"]


async def test_who_made_an_embedding(tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'runtime.db'}",
        disable_plugins=("ollama",),
        tokenizer="estimate",
    )
    body = {"model": "echo-embed", "input": "hi"}
    async with (
        listening(compose(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):
        response = await client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    assert [response.headers[name] for name in ABOUT[:3]] == ["echo", "echo-embed", "1"]
    assert seconds(response)
