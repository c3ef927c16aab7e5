"""The database as the other rooms see it, whichever driver is behind it."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, text

from runtime_core.errors import DatabaseUnavailable, SettingsError
from runtime_core.storage.chains import Chains
from runtime_core.storage.schema import HEAD, SchemaState, read_revision, upgrade
from runtime_core.storage.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Table
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ("Database", "Driver")

logger = logging.getLogger(__name__)

#: Faults of ours, as opposed to the database's: these stay what they are.
_OUR_FAULTS = (exc.DataError, exc.IntegrityError, exc.NotSupportedError, exc.ProgrammingError)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What differs between databases.

    ``writer`` begins a real transaction; ``reader`` runs each statement on its own.
    ``connect_errors`` are raised by the driver's library, undressed, while connecting.
    ``explain`` turns an error into what is wrong and what to do, without secrets.
    ``migration_lock`` are statements that make one of several migrating processes go first.
    """

    writer: AsyncEngine
    reader: AsyncEngine
    insert: Callable[[Table], sqlite.Insert | postgresql.Insert]
    explain: Callable[[BaseException], str]
    connect_errors: tuple[type[BaseException], ...] = ()
    migration_lock: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None


class Database:
    """Repositories, and transactions over them.

    Nothing is opened before the first use.  A task never opens a transaction or a read inside
    another: on a database with a single connection it would wait for itself.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._closed = False
        self.chains = Chains(self)
        self.sessions = Sessions(self)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction: committed at the end, rolled back when an exception leaves it.

        :raises DatabaseUnavailable: it cannot be reached, written, or is busy for too long.
        """
        async with self._connected(self._driver.writer) as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for reads; each statement sees what is committed when it starts.

        :raises DatabaseUnavailable: it cannot be reached, or is busy for too long.
        """
        async with self._connected(self._driver.reader) as connection:
            yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that has ``on_conflict_do_update``."""
        return self._driver.insert(table)

    async def migrate(self) -> None:
        """Bring the tables to the newest revision; one of several processes does the work.

        :raises SettingsError: the database cannot be used as it is configured.
        :raises StartupError: its tables are newer than this program.
        """
        if (await self.schema()).revision == HEAD:
            return
        try:
            async with self._driver.writer.begin() as connection:
                for statement in self._driver.migration_lock:
                    await connection.execute(text(statement))
                await upgrade(connection)
        except self._failures() as error:
            raise self._misconfigured(error) from error

    async def schema(self) -> SchemaState:
        """Return the revision of the tables and the one this program wants.

        :raises SettingsError: the database cannot be used as it is configured.
        """
        try:
            async with self._driver.reader.connect() as connection:
                return SchemaState(revision=await read_revision(connection), head=HEAD)
        except self._failures() as error:
            raise self._misconfigured(error) from error

    async def ping(self) -> None:
        """Return when the database answers.

        :raises DatabaseUnavailable: it does not.
        """
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        try:
            await self._driver.reader.dispose()
            await self._driver.writer.dispose()
        finally:
            self._driver.close()

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        if self._closed:
            raise DatabaseUnavailable("the database is closed: the server is shutting down")
        try:
            async with AsyncExitStack() as stack:
                yield await self._enter(stack, engine)
        except _OUR_FAULTS:
            raise
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise self._unavailable(error) from error

    async def _enter(self, stack: AsyncExitStack, engine: AsyncEngine) -> AsyncConnection:
        try:
            return await stack.enter_async_context(engine.connect())
        except self._driver.connect_errors as error:
            raise self._unavailable(error) from error

    def _failures(self) -> tuple[type[BaseException], ...]:
        return (exc.DBAPIError, exc.TimeoutError, *self._driver.connect_errors)

    def _misconfigured(self, error: BaseException) -> SettingsError:
        return SettingsError(self._driver.explain(error))

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        logger.error("%s", self._driver.explain(error))
        return DatabaseUnavailable("the database cannot be used now: try again", retry_after=1.0)


def reason_of(error: BaseException) -> str:
    """Return the driver's own words, without the statement and its parameters."""
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    return str(cause).strip() or type(cause).__name__
