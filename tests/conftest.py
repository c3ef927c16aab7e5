"""What tests stand on: databases, SQLite and a real PostgreSQL, and the server as a process."""

from __future__ import annotations

import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from runtime_core.storage import postgres, sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from runtime_core.storage.database import Database


#: Longer than any start on a machine that has other things to do.
_START_S = 60


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., str]]:
    """Start ``runtime serve`` as its users do, in a folder of its own; gives the URL.

    Keyword arguments are the variables of its environment.  All servers end with the session, and
    each must end well.
    """
    servers: list[tuple[subprocess.Popen[str], Path]] = []

    def start(**environ: str) -> str:
        folder = tmp_path_factory.mktemp("server")
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        # no test asks the network for a vocabulary
        kept["RUNTIME_TOKENIZER"] = "estimate"
        with (folder / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "runtime_core", "serve", "--port", "0"],
                cwd=folder,
                env=kept | environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        servers.append((process, folder))
        line = _first_line(process)
        assert line.startswith("listening on "), (folder / "stderr").read_text()
        return line.removeprefix("listening on ").strip()

    yield start
    for process, _ in servers:
        process.terminate()
    codes = [_ended(process) for process, _ in servers]
    assert codes == [0] * len(servers)
    for _, folder in servers:
        assert "Traceback" not in (folder / "stderr").read_text()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        return lines.get(timeout=_START_S)
    except queue.Empty:
        return ""


def _ended(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    try:
        return process.wait(_START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -9
    finally:
        process.stdout.close()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a PostgreSQL server of our own and return the URL of its superuser."""
    with warnings.catch_warnings():
        # it asks for XDG_RUNTIME_DIR when imported, and does without
        warnings.simplefilter("ignore")
        import pgserver

    directory = Path(tempfile.mkdtemp(prefix="runtime-postgresql-"))
    server = pgserver.get_server(directory / "data", cleanup_mode="delete")
    try:
        # what survives a crash of the machine is not what is tested
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri()
    finally:
        server.cleanup()
        directory.rmdir()


@pytest.fixture
async def postgresql_url(postgresql_server: str) -> AsyncIterator[str]:
    """Create an empty database and return its URL; dropped afterwards, whoever is connected."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgresql_server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(postgresql_server)._replace(path=f"/{name}"))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'runtime.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def open_database() -> AsyncIterator[Callable[[str], Database]]:
    """Return what opens the database of a URL; all are closed afterwards."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        driver = sqlite if url.startswith("sqlite:") else postgres
        opened.append(driver.connect(url))
        return opened[-1]

    yield open_one
    for database in opened:
        await database.aclose()


@pytest.fixture
async def database(database_url: str, open_database: Callable[[str], Database]) -> Database:
    """Return an open, migrated, empty database, once of each kind."""
    database = open_database(database_url)
    await database.migrate()
    return database
