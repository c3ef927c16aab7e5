from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import text

from runtime_core.errors import DatabaseUnavailable, SettingsError
from runtime_core.storage import sqlite
from runtime_core.types import Chain, Message

HELLO = Message(role="user", content="hello")


async def pragma(run, name: str) -> object:
    return (await run(text(f"PRAGMA {name}")))[0][0]


async def test_connecting_opens_nothing(tmp_path):
    database = sqlite.connect(f"sqlite:///{tmp_path}/runtime.db")

    assert list(tmp_path.iterdir()) == []
    await database.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_how_the_file_is_opened(sqlite_url, open_database):
    database = open_database(sqlite_url)
    for run in (database.write, database.read):
        assert await pragma(run, "journal_mode") == "wal"
        assert await pragma(run, "foreign_keys") == 1
        assert await pragma(run, "synchronous") == 2
        assert await pragma(run, "busy_timeout") == 10_000


@pytest.mark.parametrize(
    "name", ["plain.db", "with space.db", "50%.db", "ü#.db", "a&b=c.db", "file:x.db"]
)
async def test_the_file_is_the_one_the_url_names(tmp_path, name, open_database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite:///{name}", f"sqlite:///{tmp_path}/{name}"):
        database = open_database(url)
        await database.migrate()
        await database.chains.put("default", Chain(id="a"))
        await database.aclose()
    assert [path.name for path in tmp_path.iterdir()] == [name]


async def test_a_tilde_is_the_home_directory(tmp_path, open_database, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    await open_database("sqlite:///~/runtime.db").migrate()

    assert (tmp_path / "runtime.db").exists()


async def test_readers_do_not_wait_for_a_writer(sqlite_url, open_database):
    database = open_database(sqlite_url)
    await database.migrate()
    await database.chains.put("default", Chain(id="a", description="old"))
    written, seen = asyncio.Event(), asyncio.Event()

    async def write_slowly(connection) -> None:
        await connection.execute(text("UPDATE task_chains SET body = '{}'"))
        written.set()
        await seen.wait()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(database.transaction(write_slowly))
        await written.wait()
        for _ in range(20):
            assert (await database.chains.get("default", "a")).chain.description == "old"
        seen.set()
    assert (await database.chains.get("default", "a")).chain.description == ""


async def test_writers_of_several_processes_never_see_a_locked_database(sqlite_url, open_database):
    databases = [open_database(sqlite_url) for _ in range(4)]
    await databases[0].migrate()
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            for database in databases:
                group.create_task(
                    database.sessions.append("default", f"s{number % 3}", "chat", [HELLO])
                )

    sessions = [await databases[0].sessions.get("default", f"s{n}") for n in range(3)]
    assert sum(len(session.messages) for session in sessions) == 160


async def test_a_file_that_stays_locked_is_unavailable(sqlite_url, open_database, monkeypatch):
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 0.05)
    database = open_database(sqlite_url)
    await database.migrate()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="cannot be used now: try again") as caught:
            await database.chains.put("default", Chain(id="a"))
        assert sqlite_url not in str(caught.value)
        assert caught.value.status == 503
        other.execute("ROLLBACK")

    await database.chains.put("default", Chain(id="a"))


@pytest.mark.parametrize(
    ("path", "what_to_do"),
    [
        ("missing/deeper/runtime.db", "the directory {}/missing/deeper does not exist; create it"),
        ("directory", "{}/directory is a directory; name a file in it"),
        ("text", "{}/text is not a SQLite database, or is damaged; restore it"),
        ("text/runtime.db", "{}/text is not a directory"),
        ("torn", "{}/torn is not a SQLite database, or is damaged"),
    ],
)
async def test_a_file_that_cannot_be_used(tmp_path, path, what_to_do, open_database):
    (tmp_path / "directory").mkdir()
    (tmp_path / "text").write_text("this is no database\n" * 1000)
    good = open_database(f"sqlite:///{tmp_path}/torn")
    await good.migrate()
    await good.aclose()
    with (tmp_path / "torn").open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(8192))
    url = f"sqlite:///{tmp_path}/{path}"
    database = open_database(url)

    for call in (database.migrate, database.schema):
        with pytest.raises(SettingsError) as caught:
            await call()
        assert str(caught.value).startswith(f"DATABASE_URL={url}: {what_to_do.format(tmp_path)}")
    with pytest.raises(DatabaseUnavailable):
        await database.ping()


AS_NOBODY = """
import asyncio, os, sys
from runtime_core.errors import SettingsError
from runtime_core.storage import sqlite

async def main():
    # imports everything while this user can still read the libraries
    memory = sqlite.connect("sqlite://")
    await memory.migrate()
    await memory.aclose()
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    database = sqlite.connect(sys.argv[1])
    try:
        await database.migrate()
    except SettingsError as error:
        print(error)
    await database.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("file", ["new.db", "readonly.db"])
def test_a_place_that_cannot_be_written(file, tmp_path_factory):
    directory = tmp_path_factory.mktemp("readonly")
    (directory / "readonly.db").touch()
    (directory / "readonly.db").chmod(0o444)
    for parent in directory.parents:
        # pytest's own directories are closed to the user this is about
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    directory.chmod(0o555)
    url = f"sqlite:///{directory}/{file}"

    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, url], capture_output=True, text=True, check=True
    )
    assert f"DATABASE_URL={url}: {directory}/{file} cannot be written by this user" in done.stdout


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:"]
)
async def test_a_database_in_memory(url, open_database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database, other = open_database(url), open_database(url)
    await database.migrate()
    await other.migrate()
    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(database.sessions.append("default", "s", "chat", [HELLO]))
            group.create_task(database.chains.put("default", Chain(id=str(number))))
            group.create_task(database.chains.list("default"))

    assert len((await database.sessions.get("default", "s")).messages) == 30
    assert (await other.chains.list("default")).items == []
    assert list(tmp_path.iterdir()) == []


def test_an_old_sqlite_is_named(monkeypatch):
    monkeypatch.setattr(sqlite.sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(SettingsError, match=r"3\.36 is needed"):
        sqlite.connect("sqlite://")
