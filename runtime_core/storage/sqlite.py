"""The ``sqlite`` driver: one file, one writer at a time, any number of readers."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from runtime_core.errors import SettingsError
from runtime_core.storage.database import Database, Driver, reason_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from runtime_core.storage.cipher import Cipher

__all__ = ("connect",)

#: Seconds to wait for another process's transaction, and for a connection of our own.
LOCK_TIMEOUT = 10.0
POOL_TIMEOUT = 30.0
READERS = 4

_FORMS = (
    "write sqlite:///relative/path.db, sqlite:////absolute/path.db, or sqlite:///:memory: for a "
    "database that is gone when the server stops"
)

# FULL: a commit that was answered is on the disk, also after a power cut
_PRAGMAS = ("PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")
_WAL = "PRAGMA journal_mode = WAL"

# unixepoch('subsec') is there since SQLite 3.42 only
_CLOCK = "((julianday('now') - 2440587.5) * 86400.0)"


def connect(url: str, cipher: Cipher | None = None) -> Database:
    """Return the database of a ``sqlite:`` URL; opens nothing on the disk.

    :param cipher: seals the keys that are stored; without one they are stored in clear.
    :raises SettingsError: the URL names no file.
    """
    if sqlite3.sqlite_version_info < (3, 36):
        raise SettingsError(
            f"DATABASE_URL={url}: SQLite {sqlite3.sqlite_version} is too old, 3.36 is needed; use "
            "a newer Python build, or PostgreSQL (postgresql://user:password@host/database)"
        )
    path = _path(url)
    return Database(_memory(url) if path is None else _file(url, path), cipher)


def _path(url: str) -> Path | None:
    """Return the file a URL names, None for a database in memory."""
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator:
        raise SettingsError(f"DATABASE_URL={url}: not a SQLite URL; {_FORMS}")
    if rest in ("", "/", ":memory:", "/:memory:"):
        return None
    if not rest.startswith("/"):
        raise SettingsError(f"DATABASE_URL={url}: a slash is missing; {_FORMS}")
    if "?" in rest or "\0" in rest:
        raise SettingsError(f"DATABASE_URL={url}: only a path may follow sqlite:///; {_FORMS}")
    # absolute: "file:x.db" is a path as well, and the working directory may change
    return Path(rest[1:]).expanduser().absolute()


def _file(url: str, path: Path) -> Driver:
    reader = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=_opener(str(path), _PRAGMAS),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        # statements run on their own, so there is nothing to roll back
        pool_reset_on_return=None,
        skip_autocommit_rollback=True,
    )
    return Driver(
        writer=_writer(_opener(str(path), (_WAL, *_PRAGMAS))),
        reader=reader,
        insert=insert,
        clock=_CLOCK,
        explain=lambda error: _explain(error, url, path),
    )


def _memory(url: str) -> Driver:
    """Return a driver with one connection, which readers share with the writer.

    The anchor keeps the data when that connection has to be replaced.
    """
    address = f"file:/runtime-{secrets.token_hex(8)}?vfs=memdb"
    anchor = sqlite3.connect(address, uri=True, check_same_thread=False)
    engine = _writer(_opener(address, _PRAGMAS))
    return Driver(
        writer=engine,
        reader=engine,
        insert=insert,
        clock=_CLOCK,
        explain=lambda error: f"DATABASE_URL={url}: {reason_of(error)}",
        close=anchor.close,
    )


def _writer(opener: Callable[..., Awaitable[aiosqlite.Connection]]) -> AsyncEngine:
    """Return an engine with one connection: writers of this process queue up for it."""
    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=opener,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # takes the write lock now: a transaction that reads first could not get it later
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _opener(
    address: str, pragmas: tuple[str, ...]
) -> Callable[..., Awaitable[aiosqlite.Connection]]:
    """Return what opens a connection, ready for use, in a thread of its own."""

    async def open_connection(*args: object, **kwargs: object) -> aiosqlite.Connection:
        # opened before aiosqlite's thread starts: a thread whose connection cannot be opened
        # would outlive the failure, and perhaps the event loop
        raw = await asyncio.to_thread(_open, address, pragmas)
        connection = aiosqlite.Connection(lambda: raw, iter_chunk_size=64)
        # a server that dies without closing its database must not hang
        thread: Any = getattr(connection, "_thread", connection)
        thread.daemon = True
        return await connection

    return open_connection


def _open(address: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    raw = sqlite3.connect(
        address,
        uri=address.startswith("file:"),
        timeout=LOCK_TIMEOUT,
        # transactions begin where we say, not where the module guesses
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in pragmas:
            _execute(raw, pragma)
    except BaseException:
        raw.close()
        raise
    return raw


def _execute(raw: sqlite3.Connection, pragma: str) -> None:
    """Run *pragma*; SQLite does not wait where several switch a new file to WAL."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            raw.execute(pragma).close()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _explain(error: BaseException, url: str, path: Path) -> str:
    reason = reason_of(error)
    for applies, advice in _ADVICE:
        if applies(path, reason):
            return f"DATABASE_URL={url}: {advice.format(path=path, parent=path.parent)}"
    return f"DATABASE_URL={url}: SQLite cannot use {path}: {reason}"


#: What may be wrong, most telling first: (does it apply to this path and reason?, what to do)
_ADVICE: tuple[tuple[Callable[[Path, str], bool], str], ...] = (
    (
        lambda path, reason: "not a database" in reason or "malformed" in reason,
        "{path} is not a SQLite database, or is damaged; restore it from a backup, or move it "
        "away to start with an empty database",
    ),
    (
        lambda path, reason: "locked" in reason or "busy" in reason,
        "another process holds {path} locked for longer than 10 seconds; end that process, or "
        "give each server its own file",
    ),
    (
        lambda path, reason: "disk is full" in reason,
        "there is no space left on the disk of {path}; free some",
    ),
    (
        lambda path, reason: not path.parent.exists(),
        "the directory {parent} does not exist; create it (mkdir -p '{parent}') or choose "
        "another path",
    ),
    (
        lambda path, reason: path.is_dir(),
        "{path} is a directory; name a file in it, such as {path}/runtime.db",
    ),
    (
        lambda path, reason: not path.parent.is_dir(),
        "{parent} is not a directory; choose another path",
    ),
    (
        lambda path, reason: "readonly" in reason or not _writable(path),
        "{path} cannot be written by this user, nor created or journaled in {parent}; give the "
        "user write permission on both, or choose another path",
    ),
)


def _writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK | os.X_OK) and (
        not path.exists() or os.access(path, os.R_OK | os.W_OK)
    )
