"""What the server is made of is complete, and reaches the handlers as it is."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.testing import TestClient

from runtime_core import http
from runtime_core.http.build import ROOMS
from runtime_core.settings import Settings


def rooms(**others: object) -> dict[str, object]:
    return {name: f"the {name}" for name in ROOMS} | others


@pytest.mark.parametrize("name", ROOMS)
def test_a_missing_room_is_named_before_anything_is_built(name):
    given = rooms()
    del given[name]
    with pytest.raises(TypeError, match=f"without {name};"):
        http.build(Settings(), rooms=given)


def test_nothing_is_no_room():
    with pytest.raises(TypeError, match="without chains, models;"):
        http.build(Settings(), rooms=rooms(chains=None, models=None))


def test_an_unknown_room_is_named():
    with pytest.raises(TypeError, match="no room for chain;"):
        http.build(Settings(), rooms=rooms(chain="x"))


async def made(chains: NamedDependency[Any], tenant_id: NamedDependency[str]) -> str:
    return f"made of {chains} for {tenant_id}"


@get("/plain")
async def plain(chains: NamedDependency[Any], tenant_id: NamedDependency[str]) -> str:
    return f"{chains}, {tenant_id}"


@get("/derived", dependencies={"derived": Provide(made)})
async def derived(derived: NamedDependency[str], settings: NamedDependency[Any]) -> str:
    return f"{derived} as {settings}"


@get("/replaced", dependencies={"chains": Provide(lambda: "others", sync_to_thread=False)})
async def replaced(chains: NamedDependency[Any]) -> str:
    return str(chains)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/plain", "the chains, default"),
        ("/derived", "made of the chains for default as the settings"),
        ("/replaced", "others"),
    ],
)
def test_handlers_get_the_rooms_they_ask_for(path, answer):
    app = http.build(Settings(), rooms=rooms(), routes=[plain, derived, replaced])
    with TestClient(app) as client:
        for _ in range(2):
            assert client.get(path).text == answer
