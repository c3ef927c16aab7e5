"""Backends, and what all repositories of declared things have in common."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, text
from sqlmodel import UTCDateTime

from runtime_core.errors import Conflict, InvalidRequest, NotFound, Unprocessable

ODD = [
    "with space",
    "org/model:tag",
    "50%",
    "a,b;c",
    "'; DROP TABLE backends; --",
    "日本",
    "🐙" * 512,
]


async def create(database, name: str, tenant: str = "default", **more):
    fields = {"base_url": f"http://{name}", "type": "Ollama"} | more
    return await database.backends.create(tenant, name=name, **fields)


async def names_of(database, **wanted) -> list[str]:
    return [one.name for one in (await database.backends.list("default", **wanted)).items]


async def set_times(database, moment: datetime) -> None:
    statement = text("UPDATE backends SET created_at = :moment, updated_at = :moment")
    await database.write(
        statement.bindparams(bindparam("moment", type_=UTCDateTime())), {"moment": moment}
    )


async def test_what_is_created_is_read_back_everywhere_the_same(database):
    before = datetime.now(UTC)
    stored = await create(database, "gpu")

    assert (stored.name, stored.base_url, stored.type) == ("gpu", "http://gpu", "Ollama")
    assert str(uuid.UUID(stored.id)) == stored.id
    assert before <= stored.created_at == stored.updated_at <= datetime.now(UTC)
    assert await database.backends.get("default", stored.id) == stored
    assert (await database.backends.list("default")).items == [stored]


async def test_an_id_may_be_given_once(database):
    assert (await create(database, "a", id="openai")).id == "openai"
    with pytest.raises(Conflict, match="id 'openai' is taken by another backend") as caught:
        await create(database, "b", id="openai")
    assert caught.value.param == "id"


async def test_updating_replaces_all_but_id_and_creation_time(database):
    first = await create(database, "a")
    fields = {"name": "b", "base_url": "http://c", "type": "vllm"}
    updated = await database.backends.update("default", first.id, **fields)

    assert {name: getattr(updated, name) for name in fields} == fields
    assert (updated.id, updated.created_at) == (first.id, first.created_at)
    assert updated.updated_at > first.updated_at
    assert await database.backends.get("default", first.id) == updated
    # what it was called is free again
    await create(database, "a")


async def test_a_clock_that_was_set_back_makes_nothing_older_than_its_creation(database):
    first = await create(database, "a")
    later = datetime.now(UTC) + timedelta(days=1)
    await set_times(database, later)
    updated = await database.backends.update(
        "default", first.id, name="a", base_url="http://a", type="x"
    )
    assert updated.created_at == updated.updated_at == later


@pytest.mark.parametrize(
    ("taken", "param", "value"),
    [({"name": "a"}, "name", "a"), ({"base_url": "http://a"}, "baseUrl", "http://a")],
)
async def test_a_conflict_names_field_and_value(database, taken, param, value):
    await create(database, "a")
    other = await create(database, "b")
    fields = {"name": "c", "base_url": "http://c", "type": "x"} | taken
    for call in (
        database.backends.create("default", **fields),
        database.backends.update("default", other.id, **fields),
    ):
        with pytest.raises(Conflict) as caught:
            await call
        assert f"{param} {value!r} is taken by another backend" in str(caught.value)
        assert caught.value.param == param
    # what it keeps of its own is not what conflicts
    kept = {"name": "b", "base_url": "http://b", "type": "x"} | taken
    with pytest.raises(Conflict, match=f"^{param} "):
        await database.backends.update("default", other.id, **kept)
    assert await database.backends.get("default", other.id) == other
    assert await names_of(database) == ["b", "a"]


async def test_a_backend_may_keep_its_own_name(database):
    first = await create(database, "a")
    await database.backends.update("default", first.id, name="a", base_url="http://b", type="x")
    await database.backends.update("default", first.id, name="b", base_url="http://b", type="x")


async def test_a_name_in_other_letters_is_another_name(database):
    for name in ("a", "A", "ä", "a\u0308", "a "):
        await create(database, name)
    assert len(await names_of(database)) == 5


async def test_of_creations_at_once_one_succeeds_and_the_others_say_why(database):
    results = await asyncio.gather(
        *(create(database, "same", base_url=f"http://{n}") for n in range(8)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, Conflict)]
    assert len(refused) == 7
    assert {error.param for error in refused} == {"name"}


@pytest.mark.parametrize("name", ODD)
async def test_every_name_that_can_be_created_can_be_used(database, name):
    stored = await create(database, name, id=name, base_url=name, type=name)
    assert await database.backends.get("default", name) == stored
    await database.backends.update("default", name, name=name, base_url=name, type="x")
    await database.backends.delete("default", name)
    assert await names_of(database) == []


@pytest.mark.parametrize(
    ("field", "param"), [("name",) * 2, ("base_url", "baseUrl"), ("type",) * 2]
)
async def test_values_that_cannot_be_stored(database, field, param):
    stored = await create(database, "a")
    wrong = [("x" * 513, InvalidRequest), ("", Unprocessable), ("a\0", Unprocessable)]
    for value, error in wrong:
        fields = {"name": "n", "base_url": "u", "type": "t"} | {field: value}
        for call in (
            database.backends.create("default", **fields),
            database.backends.update("default", stored.id, **fields),
        ):
            with pytest.raises(error, match=param) as caught:
                await call
            assert caught.value.param == param
            assert caught.value.status == (400 if error is InvalidRequest else 422)


@pytest.mark.parametrize("backend_id", ["ghost", "a\0", "\ud800", "x" * 513])
async def test_an_unknown_backend_is_named(database, backend_id):
    for call in (
        database.backends.get("default", backend_id),
        database.backends.update("default", backend_id, name="a", base_url="b", type="c"),
        database.backends.delete("default", backend_id),
    ):
        with pytest.raises(NotFound, match=r"backend '.*' not found") as caught:
            await call
        assert len(str(caught.value)) < 600


async def test_tenants_do_not_see_each_other(database):
    ours = await create(database, "same", "a", id="1")
    theirs = await create(database, "same", "b", id="1")
    with pytest.raises(NotFound):
        await database.backends.get("c", "1")
    await database.backends.update("a", "1", name="new", base_url="http://same", type="x")
    assert await database.backends.get("b", "1") == theirs
    await database.backends.delete("a", ours.id)
    assert (await database.backends.list("b")).items == [theirs]
    assert (await database.backends.list("a")).items == []


async def test_pages_are_newest_first_and_end(database):
    for number in range(7):
        await create(database, str(number))
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = await database.backends.list("default", limit=3, cursor=cursor)
        assert len(page.items) == size
        seen += [one.name for one in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == list("6543210")
    with pytest.raises(Unprocessable):
        await database.backends.list("default", limit=0)
