from __future__ import annotations

import uuid
from datetime import UTC, datetime

import msgspec
import pytest

from runtime_core.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from runtime_core.types import DeclaredModel

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def model(name: str, **more) -> DeclaredModel:
    fields = {"id": name, "model": name, "context_length": 4096, "can_chat": True} | more
    return DeclaredModel(**fields, created_at=LONG_AGO, updated_at=LONG_AGO)


def without_times(one: DeclaredModel) -> DeclaredModel:
    return msgspec.structs.replace(one, created_at=LONG_AGO, updated_at=LONG_AGO)


@pytest.mark.parametrize("flag", ["can_chat", "can_embed", "can_prompt", "can_stream"])
async def test_what_is_created_is_read_back_everywhere_the_same(database, flag):
    wanted = model("org/m3:latest", id=str(uuid.uuid4()), **({"can_chat": False} | {flag: True}))
    stored = await database.models.create("default", wanted)

    assert without_times(stored) == wanted
    assert stored.created_at == stored.updated_at > LONG_AGO
    assert await database.models.get("default", wanted.id) == stored
    assert await database.models.get_by_name("default", "org/m3:latest") == stored
    assert (await database.models.list("default")).items == [stored]


async def test_updating_replaces_all_but_id_and_creation_time(database):
    first = await database.models.create("default", model("a"))
    wanted = model("b", id="a", context_length=2**31 - 1, can_chat=False, can_embed=True)
    updated = await database.models.update("default", wanted)

    assert without_times(updated) == wanted
    assert updated.created_at == first.created_at
    assert updated.updated_at > first.updated_at
    assert await database.models.get_by_name("default", "b") == updated
    with pytest.raises(NotFound, match="model 'a' not found"):
        await database.models.get_by_name("default", "a")


async def test_a_model_is_declared_once(database):
    await database.models.create("default", model("a"))
    other = await database.models.create("default", model("b"))
    for call in (
        database.models.create("default", model("a")),
        database.models.create("default", model("a", id="another")),
        database.models.update("default", model("a", id=other.id)),
    ):
        with pytest.raises(Conflict, match="model 'a' is taken by another model") as caught:
            await call
        assert caught.value.param == "model"
    assert await database.models.get("default", "b") == other
    await database.models.create("elsewhere", model("a"))


async def test_a_model_is_deleted_by_its_name(database):
    await database.models.create("default", model("org/a", id="1"))
    await database.models.create("elsewhere", model("org/a", id="1"))
    with pytest.raises(NotFound, match="model '1' not found"):
        await database.models.delete_by_name("default", "1")
    await database.models.delete_by_name("default", "org/a")
    assert (await database.models.list("default")).items == []
    assert len((await database.models.list("elsewhere")).items) == 1


@pytest.mark.parametrize("name", ["ghost", "a\0", "x" * 513])
async def test_an_unknown_model_is_named(database, name):
    for call in (
        database.models.get("default", name),
        database.models.get_by_name("default", name),
        database.models.update("default", model("a", id=name)),
        database.models.delete_by_name("default", name),
    ):
        with pytest.raises(NotFound, match=r"model '.*' not found"):
            await call


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({"model": "x" * 513}, InvalidRequest, "model"),
        ({"model": ""}, Unprocessable, "model"),
        ({"model": "\ud800"}, Unprocessable, "model"),
        ({"context_length": 2**31}, InvalidRequest, "contextLength"),
        ({"context_length": -1}, Unprocessable, "contextLength"),
    ],
)
async def test_values_that_cannot_be_stored(database, wrong, error, param):
    await database.models.create("default", model("a"))
    for call in (
        database.models.create("default", model("b", **wrong)),
        database.models.update("default", model("a", **wrong)),
    ):
        with pytest.raises(error, match=param) as caught:
            await call
        assert caught.value.param == param
    with pytest.raises(InvalidRequest, match="id of the model"):
        await database.models.create("default", model("b", id="x" * 513))
