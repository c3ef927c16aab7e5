from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, text
from sqlmodel import UTCDateTime

from runtime_core.errors import InvalidRequest, NotFound, RuntimeCoreError, Unprocessable
from runtime_core.types import Branch, Chain, ExecuteConfig, HookCall, Task, Transition

CHAIN = Chain(
    id="greet",
    description='quotes " and \\ and \0 and ü and 🐙',
    debug=True,
    token_limit=-1,
    tasks=(
        Task(
            id="ask",
            handler="chat_completion",
            valid_conditions={"yes": True, "no": False},
            execute_config=ExecuteConfig(model="m", stop=("a", "b"), temperature=0.1),
            hook=HookCall(name="h", args={"deep": [{"x": None}, 1.5, "1"]}),
            output_schema={"type": "object"},
            transition=Transition(branches=(Branch(operator="default", goto="end"),)),
        ),
        Task(id="bare"),
        Task(id="empty", transition=Transition(branches=())),
    ),
)

NAMES = [
    "with space",
    " leading and trailing ",
    "org/model:tag",
    "50%",
    "a%2Fb",
    "a,b;c",
    "'; DROP TABLE task_chains; --",
    "ünï",
    "日本",
    "🐙",
    "..",
    ":memory:",
    "new\nline",
    "x" * 245,
    "ü" * 245,
    "🐙" * 245,
]


async def set_times(database, moment: datetime) -> None:
    """Make all chains as old as if they had been stored at *moment*."""
    statement = text("UPDATE task_chains SET created_at = :moment, updated_at = :moment")
    await database.write(
        statement.bindparams(bindparam("moment", type_=UTCDateTime())), {"moment": moment}
    )


async def put_many(database, count: int, tenant: str = "default") -> list[str]:
    ids = [uuid.uuid4().hex for _ in range(count)]
    for chain_id in ids:
        await database.chains.put(tenant, Chain(id=chain_id))
    return ids


async def ids_of(database, **wanted) -> list[str]:
    page = await database.chains.list("default", **wanted)
    return [stored.chain.id for stored in page.items]


async def test_what_is_put_is_read_back_everywhere_the_same(database):
    before = datetime.now(UTC)
    stored = await database.chains.put("default", CHAIN)

    assert stored.chain == CHAIN
    assert before <= stored.created_at == stored.updated_at <= datetime.now(UTC)
    assert stored.created_at.utcoffset() == timedelta(0)
    assert await database.chains.get("default", "greet") == stored
    assert (await database.chains.list("default")).items == [stored]


async def test_replacing_keeps_the_creation_time_and_the_place(database):
    await put_many(database, 1)
    first = await database.chains.put("default", CHAIN)
    await put_many(database, 1)
    order = await ids_of(database)

    for replace in (database.chains.put, database.chains.update):
        replaced = await replace("default", Chain(id="greet", description="other"))
        assert replaced.created_at == first.created_at
        assert replaced.updated_at > first.updated_at
        assert replaced.chain == Chain(id="greet", description="other")
        assert await database.chains.get("default", "greet") == replaced
        assert await ids_of(database) == order


async def test_a_clock_that_was_set_back_makes_no_chain_older_than_its_creation(database):
    later = datetime.now(UTC) + timedelta(days=1)
    stored = await database.chains.put("default", CHAIN)
    await set_times(database, later)

    for replace in (database.chains.put, database.chains.update):
        stored = await replace("default", CHAIN)
        assert stored.created_at == stored.updated_at == later


@pytest.mark.parametrize("name", NAMES)
async def test_every_name_that_can_be_created_can_be_used(database, name):
    await database.chains.put("default", Chain(id=name))
    assert (await database.chains.get("default", name)).chain.id == name
    await database.chains.update("default", Chain(id=name, description="new"))
    assert await ids_of(database) == [name]
    await database.chains.delete("default", name)
    assert await ids_of(database) == []


async def test_names_differ_by_every_letter(database):
    names = {"a", "A", "ä", "a\u0308", "a ", " a", "ﬁ", "fi"}
    for name in names:
        await database.chains.put("default", Chain(id=name, description=name))
    for name in names:
        assert (await database.chains.get("default", name)).chain.description == name


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800", "", "x" * 246, "🐙" * 246])
async def test_a_name_that_cannot_be_stored(database, name):
    error = InvalidRequest if len(name) > 245 else Unprocessable
    for write in (database.chains.put, database.chains.update):
        with pytest.raises(error, match="id") as caught:
            await write("default", Chain(id=name))
        assert caught.value.param == "id"
        assert caught.value.status == (400 if len(name) > 245 else 422)
    for look_up in (database.chains.get, database.chains.delete):
        with pytest.raises(NotFound):
            await look_up("default", name)


async def test_an_unknown_chain_is_named(database):
    for call in (
        database.chains.get("default", "ghost"),
        database.chains.update("default", Chain(id="ghost")),
        database.chains.delete("default", "ghost"),
    ):
        with pytest.raises(NotFound, match="task chain 'ghost' not found"):
            await call
    assert await ids_of(database) == []


@pytest.mark.parametrize("value", [{"x": "\ud800"}, {"x": object()}, {(1, 2): "x"}])
async def test_what_is_not_json_is_refused(database, value):
    chain = Chain(id="a", tasks=(Task(hook=HookCall(args=value)),))

    with pytest.raises(Unprocessable, match="'a' holds something that is not JSON"):
        await database.chains.put("default", chain)


async def test_tenants_do_not_see_each_other(database):
    for tenant in ("a", "b"):
        await database.chains.put(tenant, Chain(id="same", description=tenant))
    for tenant in ("a", "b"):
        assert (await database.chains.get(tenant, "same")).chain.description == tenant
        assert len((await database.chains.list(tenant)).items) == 1

    await database.chains.update("a", Chain(id="same", description="new"))
    await database.chains.delete("a", "same")
    assert (await database.chains.get("b", "same")).chain.description == "b"
    assert (await database.chains.list("a")).items == []
    assert (await database.chains.list("c")).items == []


async def test_pages_are_newest_first_and_end(database):
    ids = await put_many(database, 7)
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = await database.chains.list("default", limit=3, cursor=cursor)
        assert len(page.items) == size
        seen += [stored.chain.id for stored in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == ids[::-1]

    assert (await database.chains.list("default", limit=7)).next_cursor is None
    assert (await database.chains.list("nobody", limit=7)).items == []


async def test_ties_are_ordered_by_id_the_same_on_every_database(database):
    ids = ["a", "B", "_", "a b", "ab", "Ä", "z", "é", "10", "9", "日本", "🐙"]
    for chain_id in ids:
        await database.chains.put("default", Chain(id=chain_id))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    await set_times(database, moment)

    seen, cursor = [], None
    while True:
        page = await database.chains.list("default", limit=1, cursor=cursor)
        seen += [stored.chain.id for stored in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(ids, key=str.encode, reverse=True)
    assert await ids_of(database, cursor="2026-01-01T00:00:00Z") == []
    assert len(await ids_of(database, cursor="2026-01-01T00:00:00.000001Z")) == len(ids)
    assert len(await ids_of(database, cursor="2026-01-01T00:00:00.0000001Z")) == len(ids)


async def test_nothing_is_lost_or_shown_twice_while_chains_come_and_go(database):
    ids = await put_many(database, 20)
    seen, cursor = [], None
    while True:
        page = await database.chains.list("default", limit=3, cursor=cursor)
        seen += [stored.chain.id for stored in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        await put_many(database, 2)
        await database.chains.put("default", Chain(id=ids[5], description="replaced"))
        # the row that the cursor stands on may go as well
        await database.chains.delete("default", seen[-1])
    assert seen == ids[::-1]


async def test_a_time_means_strictly_older(database):
    ids = await put_many(database, 3)
    middle = (await database.chains.get("default", ids[1])).created_at
    local = middle.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)

    for cursor in (middle.isoformat(), f"{middle:%FT%T.%fZ}", local.isoformat()):
        assert await ids_of(database, cursor=cursor) == [ids[0]]


async def test_a_bad_page_is_refused(database):
    for wanted, param in (({"limit": 0}, "limit"), ({"cursor": "x"}, "cursor")):
        with pytest.raises(Unprocessable) as caught:
            await database.chains.list("default", **wanted)
        assert caught.value.param == param


@pytest.mark.parametrize("body", ["", "[]", "null", '{"tasks": 1}', '{"id": "a"'])
async def test_a_row_that_cannot_be_read_is_left_out_and_logged(database, body, caplog):
    ids = await put_many(database, 3)
    await database.write(
        text("UPDATE task_chains SET body = :body WHERE id = :id"), {"body": body, "id": ids[1]}
    )

    first = await database.chains.list("default", limit=2)
    second = await database.chains.list("default", limit=2, cursor=first.next_cursor)
    assert [stored.chain.id for stored in (*first.items, *second.items)] == [ids[2], ids[0]]
    assert ids[1] in caplog.text
    with pytest.raises(RuntimeCoreError, match="cannot be read: replace or delete it"):
        await database.chains.get("default", ids[1])

    await database.chains.put("default", Chain(id=ids[1]))
    assert await ids_of(database) == ids[::-1]


async def test_concurrent_writes_all_arrive(database):
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(database.chains.put("default", Chain(id=f"own {number}")))
            group.create_task(
                database.chains.put("default", Chain(id="same", description=str(number)))
            )
            group.create_task(database.chains.list("default"))

    assert len(await ids_of(database)) == 61


async def test_concurrent_deletes_of_one_chain_succeed_once(database):
    await database.chains.put("default", CHAIN)
    results = await asyncio.gather(
        *(database.chains.delete("default", "greet") for _ in range(10)), return_exceptions=True
    )
    assert [type(result) for result in results].count(NotFound) == 9
