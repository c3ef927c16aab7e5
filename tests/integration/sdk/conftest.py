"""The server as a process, between official clients and a fake OpenAI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import openai
import pytest
from runtime_openai_wire.testing import FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

TOKEN = "a-key-of-ours"

ASK = {
    "id": "ask",
    "tasks": [
        {
            "id": "answer",
            "handler": "chat_completion",
            "system_instruction": "Be brief.",
            "execute_config": {"model": "gpt-fake", "pass_clients_tools": True},
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}
BROKEN = {"id": "broken", "tasks": [{"id": "a", "handler": "no_such_handler"}]}


class Place(NamedTuple):
    """Where a client finds a model: a base URL, the model's name, and what a chain adds."""

    url: str
    model: str
    instruction: str | None


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture(scope="session")
def server(start_server: Callable[..., str], upstream: FakeOpenAI) -> str:
    """A server with two stored chains, in front of the fake and the scripted echo."""
    backends = [
        {
            "type": "openai",
            "name": "fake",
            "base_url": upstream.base_url,
            "api_key": upstream.api_key,
        },
        {"type": "echo", "name": "echo", "priority": 5},
    ]
    url = start_server(
        TOKEN=TOKEN,
        RUNTIME_BACKENDS=json.dumps(backends),
        RUNTIME_DISABLE_PLUGINS="ollama",
        RUNTIME_EMBED_MODEL="text-embedding-fake",
        # the next test asks the backend that the last one made fail
        RUNTIME_BREAKER_FAILURES="0",
    )
    for chain in (ASK, BROKEN):
        stored = httpx.post(f"{url}/taskchains", json=chain, headers={"X-API-Key": TOKEN})
        assert stored.status_code == 201, stored.text
    return url


@pytest.fixture(params=["server", "chain"])
def place(request: pytest.FixtureRequest, server: str) -> Place:
    """The two families of routes: the whole server's, and one chain's."""
    if request.param == "server":
        return Place(f"{server}/v1", "gpt-fake", None)
    return Place(f"{server}/openai/ask/v1", "gpt-fake", "Be brief.")


@pytest.fixture
def client(place: Place) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=place.url, api_key=TOKEN, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def async_client(place: Place) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=place.url, api_key=TOKEN, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.fixture
def client_of(server: str) -> Iterator[Callable[..., openai.OpenAI]]:
    """Make a client of any base path."""
    made: list[openai.OpenAI] = []

    def make(path: str = "/v1", **options: Any) -> openai.OpenAI:
        given = {"api_key": TOKEN, "max_retries": 0, "timeout": 20} | options
        made.append(openai.OpenAI(base_url=server + path, **given))
        return made[-1]

    yield make
    for client in made:
        client.close()
