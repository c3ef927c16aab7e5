"""A backend that fails a call is seen to be out at once, not when it is next due."""

from __future__ import annotations

import asyncio
import json
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

ASKING = {
    "id": "asking",
    "tasks": [
        {
            "id": "ask",
            "handler": "raw_string",
            "prompt_template": "{{.input}}",
            "execute_config": {"model": "m"},
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


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
        # nobody looks at a backend again without a reason
        catalog_refresh=86_400.0,
    )
    async with (
        listening(compose(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):
        yield client


class States:
    """What the stream of states says, as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def until(self, **wanted: Any) -> dict[str, Any]:
        async for line in self._lines:
            if line.startswith("data: "):
                state: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if wanted.items() <= state.items():
                    return state
        raise AssertionError("the stream has ended")


async def ask(client: httpx.AsyncClient) -> str:
    response = await client.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 200, response.text
    return response.headers["x-backend"]


async def test_who_watches_sees_a_backend_fail_and_come_back(
    client: httpx.AsyncClient, services: list[FaultyService]
) -> None:
    first, _ = services
    async with asyncio.timeout(15), client.stream("GET", "/state/stream") as response:
        states = States(response)
        await states.until(name="first", reachable=True)
        assert await ask(client) == "first"
        await first.die()
        assert await ask(client) == "second"
        down = await states.until(name="first", reachable=False)
        assert "cannot be reached" in down["error"]
        assert down["errorAt"].endswith("Z")
        assert down["pulledModels"] == []
        listed = {one["name"]: one["reachable"] for one in (await client.get("/state")).json()}
        assert (listed["first"], listed["second"]) == (False, True)
        # known to be out: nobody asks it, and the answer does not wait for it
        answer = await client.post("/v1/chat/completions", json=QUESTION)
        assert (answer.headers["x-backend"], answer.headers["x-attempts"]) == ("second", "1")
        await first.listen()
        back = await states.until(name="first", reachable=True)
        assert [model["name"] for model in back["pulledModels"]] == ["m"]
        assert "error" not in back


async def test_a_backend_that_is_well_but_fails_calls_stays(
    client: httpx.AsyncClient, services: list[FaultyService]
) -> None:
    first, _ = services
    first.fault = "500"
    for _ in range(3):
        assert await ask(client) == "second"
    state = next(one for one in (await client.get("/state")).json() if one["name"] == "first")
    assert state["reachable"]
    assert first.asked == 3


async def test_a_model_whose_backend_is_out_is_not_said_to_be_missing(
    tmp_path: Path, services: list[FaultyService]
) -> None:
    """404 has clients give up; that nobody can know what there is passes."""
    never, well = services
    well.models = ("other",)
    await never.die()
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'lone.db'}",
        backends=tuple(
            BackendSettings(type="openai", name=name, base_url=service.url)
            for name, service in (("never", never), ("well", well))
        ),
        catalog_refresh=86_400.0,
    )
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {**chat, "model": "m"}),
        ("/v1/embeddings", {"input": "hi", "model": "m"}),
        ("/execute", {"prompt": "hi", "model_name": "m"}),
        ("/embed", {"text": "hi"}),
        ("/tasks", {"input": "hi", "chain": ASKING}),
    ]
    async with (
        listening(compose(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):
        for path, body in requests:
            answer = await client.post(path, json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (503, "no_backend_available"), path
            assert (
                f"backend never ({never.url}) is out: never cannot be reached" in error["message"]
            ), path
        assert (await client.get("/v1/models/m")).status_code == 503
        await never.listen()
        async with asyncio.timeout(15), client.stream("GET", "/state/stream") as response:
            await States(response).until(name="never", reachable=True)
        assert (await client.post(requests[0][0], json=requests[0][1])).status_code == 200
        missing = await client.post("/v1/chat/completions", json={**chat, "model": "none"})
        assert (missing.status_code, missing.json()["error"]["param"]) == (404, "model")
        # a model that was there is somewhere, also while its backend is out again
        await never.die()
        assert (await client.post(requests[0][0], json=requests[0][1])).status_code == 502
        async with asyncio.timeout(15), client.stream("GET", "/state/stream") as response:
            await States(response).until(name="never", reachable=False)
        assert (await client.post(requests[0][0], json=requests[0][1])).status_code == 503
        missing = await client.post("/v1/chat/completions", json={**chat, "model": "none"})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
