from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from runtime_core.errors import NotFound, RuntimeCoreError, Unprocessable
from runtime_core.types import FunctionCall, Message, ToolCall

HELLO = Message(role="user", content="hello \0 🐙")
CALL = Message(
    role="assistant",
    tool_calls=(ToolCall(id="1", function=FunctionCall(name="f", arguments='{"a": 1}')),),
)
RESULT = Message(role="tool", content=[{"type": "text", "text": "x"}], tool_call_id="1")


async def count_messages(database) -> int:
    return (await database.read(text("SELECT count(*) FROM chat_messages")))[0][0]


async def test_messages_are_read_back_in_order(database):
    before = datetime.now(UTC)
    await database.sessions.append("default", "s", "chat", [HELLO, CALL])
    first = await database.sessions.get("default", "s")
    await database.sessions.append("default", "s", "other", [RESULT])
    second = await database.sessions.get("default", "s")

    assert (first.id, first.chain_id, first.messages) == ("s", "chat", (HELLO, CALL))
    assert before <= first.created_at == first.updated_at
    assert (second.chain_id, second.messages) == ("other", (HELLO, CALL, RESULT))
    assert second.created_at == first.created_at < second.updated_at


async def test_more_than_ten_messages_keep_their_order(database):
    messages = [Message(role="user", content=str(number)) for number in range(25)]
    for message in messages:
        await database.sessions.append("default", "s", "chat", [message])

    assert list((await database.sessions.get("default", "s")).messages) == messages


async def test_an_empty_append_makes_an_empty_conversation(database):
    await database.sessions.append("default", "s", "chat", [])

    assert (await database.sessions.get("default", "s")).messages == ()


async def test_listings_have_no_messages_and_are_newest_first(database):
    for name in ("a", "b", "c"):
        await database.sessions.append("default", name, "chat", [HELLO])
    await database.sessions.append("default", "a", "chat", [HELLO])

    first = await database.sessions.list("default", limit=2)
    second = await database.sessions.list("default", limit=2, cursor=first.next_cursor)
    assert [session.id for session in (*first.items, *second.items)] == ["c", "b", "a"]
    assert second.next_cursor is None
    assert {session.messages for session in first.items} == {()}
    whole = await database.sessions.get("default", "a")
    assert (second.items[0].created_at, second.items[0].updated_at) == (
        whole.created_at,
        whole.updated_at,
    )


async def test_deleting_takes_the_messages_along(database):
    await database.sessions.append("default", "s", "chat", [HELLO, CALL])
    await database.sessions.append("default", "t", "chat", [HELLO])
    await database.sessions.delete("default", "s")

    assert await count_messages(database) == 1
    for call in (database.sessions.get("default", "s"), database.sessions.delete("default", "s")):
        with pytest.raises(NotFound, match="conversation 's' not found"):
            await call
    await database.sessions.append("default", "s", "chat", [RESULT])
    assert (await database.sessions.get("default", "s")).messages == (RESULT,)


async def test_tenants_do_not_see_each_other(database):
    await database.sessions.append("a", "s", "chat", [HELLO])
    await database.sessions.append("b", "s", "chat", [CALL])

    assert (await database.sessions.get("a", "s")).messages == (HELLO,)
    assert (await database.sessions.get("b", "s")).messages == (CALL,)
    await database.sessions.delete("a", "s")
    assert (await database.sessions.get("b", "s")).messages == (CALL,)
    assert (await database.sessions.list("a")).items == []


@pytest.mark.parametrize("name", ["", "a\0b", "a\ud800", "x" * 256])
async def test_a_name_that_cannot_be_stored(database, name):
    with pytest.raises(Unprocessable) as caught:
        await database.sessions.append("default", name, "chat", [HELLO])
    assert caught.value.param == "session"
    with pytest.raises(Unprocessable) as caught:
        await database.sessions.append("default", "s", name, [HELLO])
    assert caught.value.param == "chain"
    for look_up in (database.sessions.get, database.sessions.delete):
        with pytest.raises(NotFound):
            await look_up("default", name)


@pytest.mark.parametrize("name", ["a/b c%", "日本", "🐙" * 255])
async def test_every_name_that_can_be_stored_can_be_used(database, name):
    await database.sessions.append("default", name, name, [HELLO])

    assert (await database.sessions.get("default", name)).chain_id == name
    await database.sessions.delete("default", name)


async def test_what_is_not_json_is_refused_as_a_whole(database):
    with pytest.raises(Unprocessable, match="not JSON"):
        await database.sessions.append(
            "default", "s", "chat", [HELLO, Message(role="user", content="\ud800")]
        )
    assert (await database.sessions.list("default")).items == []


async def test_a_message_that_cannot_be_read_is_not_passed_over(database):
    await database.sessions.append("default", "s", "chat", [HELLO, CALL])
    await database.write(text("UPDATE chat_messages SET body = '[]' WHERE sequence = 0"))

    with pytest.raises(RuntimeCoreError, match="'s' cannot be read: delete it"):
        await database.sessions.get("default", "s")
    await database.sessions.delete("default", "s")


async def test_concurrent_appends_never_mix(database):
    batches = [
        [Message(role="user", content=f"{batch}.{number}") for number in range(3)]
        for batch in range(40)
    ]
    async with asyncio.TaskGroup() as group:
        for batch in batches:
            group.create_task(database.sessions.append("default", "s", "chat", batch))

    messages = (await database.sessions.get("default", "s")).messages
    stored = [list(messages[start : start + 3]) for start in range(0, len(messages), 3)]
    assert sorted(stored, key=str) == sorted(batches, key=str)


async def test_a_failure_half_way_leaves_nothing(database):
    await database.sessions.append("default", "s", "chat", [HELLO])
    before = await database.sessions.get("default", "s")
    # the second message of the next append collides with a row that is already there
    await database.write(
        text(
            "INSERT INTO chat_messages (tenant_id, session_id, sequence, body) "
            "SELECT tenant_id, session_id, 2, body FROM chat_messages"
        )
    )

    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.sessions.append("default", "s", "chat", [CALL, RESULT])
    after = await database.sessions.get("default", "s")
    assert after.updated_at == before.updated_at
    assert await count_messages(database) == 2
