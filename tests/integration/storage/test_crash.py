"""A server may be killed, cancelled or closed between any two lines."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from sqlalchemy import text

from runtime_core.errors import DatabaseUnavailable, NotFound
from runtime_core.storage import database as database_module
from runtime_core.types import Chain, Message

BATCH = 5

#: Appends without end to eight conversations at once and prints a line for each append.
WRITER = f"""
import asyncio, sys
from runtime_core.storage import sqlite, postgres
from runtime_core.types import Message

async def append(database, name):
    number = 0
    while True:
        batch = [Message(role="user", content=f"{{number}}.{{n}} " + "x" * 500)
                 for n in range({BATCH})]
        await database.sessions.append("default", name, "chat", batch)
        print(name, number, flush=True)
        number += 1

async def main():
    driver = sqlite if sys.argv[1].startswith("sqlite:") else postgres
    database = driver.connect(sys.argv[1])
    await asyncio.gather(*(append(database, f"s{{n}}") for n in range(8)))

asyncio.run(main())
"""


async def test_a_killed_process_leaves_whole_appends_and_all_it_answered(database, database_url):
    answered: dict[str, int] = {}
    for round_ in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, database_url, stdout=subprocess.PIPE
        )
        async with asyncio.timeout(30):
            for _ in range(40 + 13 * round_):
                name, number = (await process.stdout.readline()).split()
            process.send_signal(signal.SIGKILL)
            rest, _ = await process.communicate()
        lines = rest.decode().splitlines(keepends=True)
        answered = {f"s{n}": 0 for n in range(8)}
        for line in (f"{name.decode()} {number.decode()}\n", *lines):
            if line.endswith("\n"):
                name_, number_ = line.split()
                answered[name_] = int(number_) + 1

        for session_name, least in answered.items():
            with suppress(NotFound):
                session = await database.sessions.get("default", session_name)
                contents = [str(message.content).split()[0] for message in session.messages]
                appends = len(contents) // BATCH
                assert appends >= least
                assert contents == [f"{a}.{n}" for a in range(appends) for n in range(BATCH)]
                await database.sessions.delete("default", session_name)


async def test_a_cancelled_append_is_whole_or_absent_and_the_database_goes_on(database):
    batch = [Message(role="user", content=str(number)) for number in range(BATCH)]
    cancelled = 0
    for turns in range(60):
        appending = asyncio.ensure_future(database.sessions.append("default", "s", "chat", batch))
        for _ in range(turns):
            await asyncio.sleep(0)
        appending.cancel()
        with suppress(asyncio.CancelledError):
            await appending
        cancelled += appending.cancelled()
        await asyncio.wait_for(database.sessions.append("default", "t", "chat", batch), 5)

    assert cancelled
    assert len((await database.sessions.get("default", "t")).messages) == 60 * BATCH
    with suppress(NotFound):
        assert len((await database.sessions.get("default", "s")).messages) % BATCH == 0


async def test_a_database_in_memory_outlives_cancelled_work(open_database):
    database = open_database("sqlite://")
    await database.migrate()
    await database.chains.put("default", Chain(id="kept"))
    for turns in range(60):
        working = asyncio.ensure_future(
            database.chains.list("default")
            if turns % 2
            else database.chains.put("default", Chain(id="maybe"))
        )
        for _ in range(turns // 2):
            await asyncio.sleep(0)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        assert (await asyncio.wait_for(database.chains.get("default", "kept"), 5)).chain.id


async def test_many_cancelled_at_once_leave_every_connection_usable(database):
    for _ in range(3):
        working = [
            asyncio.ensure_future(
                database.chains.put("default", Chain(id=str(number)))
                if number % 2
                else database.chains.list("default")
            )
            for number in range(64)
        ]
        await asyncio.sleep(0.005)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(64):
            group.create_task(database.chains.put("default", Chain(id=f"after {number}")))
            group.create_task(database.ping())


async def test_an_exception_rolls_back(database):
    async def fail(connection) -> None:
        await connection.execute(text("DELETE FROM task_chains"))
        raise KeyError

    await database.chains.put("default", Chain(id="a"))
    with pytest.raises(KeyError):
        await database.transaction(fail)
    assert (await database.chains.get("default", "a")).chain.id == "a"


async def test_work_that_does_not_end_is_given_up(database, monkeypatch):
    async def hang(connection) -> None:
        await connection.execute(text("DELETE FROM task_chains"))
        await asyncio.Event().wait()

    await database.chains.put("default", Chain(id="a"))
    async with asyncio.timeout(10):
        with monkeypatch.context() as patch:
            patch.setattr(database_module, "TIME_LIMIT", 0.1)
            with pytest.raises(DatabaseUnavailable, match="cannot be used now"):
                await database.transaction(hang)
        assert (await database.chains.get("default", "a")).chain.id == "a"
        await database.chains.put("default", Chain(id="b"))


async def test_closing_waits_for_what_has_begun_but_not_for_ever(database, monkeypatch):
    started, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(connection) -> None:
        started.set()
        await go_on.wait()
        ended.set()

    async with asyncio.timeout(10):
        working = asyncio.create_task(database.transaction(work))
        await started.wait()
        closing = asyncio.create_task(database.aclose())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        assert ended.is_set()
        await working

        monkeypatch.setattr(database_module, "CLOSE_GRACE", 0.05)
        monkeypatch.setattr(database, "_closed", False)
        started.clear()
        go_on.clear()
        working = asyncio.create_task(database.transaction(work))
        await started.wait()
        await database.aclose()
        with pytest.raises(asyncio.CancelledError):
            await working


async def test_a_closed_database_says_so(database):
    await database.aclose()
    await database.aclose()

    for call in (database.ping, lambda: database.chains.put("default", Chain(id="a"))):
        with pytest.raises(DatabaseUnavailable, match="is closed"):
            await call()
