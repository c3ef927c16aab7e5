"""The database as the other rooms see it, whichever driver is behind it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Double, exc, literal_column, text

from runtime_core.errors import (
    DatabaseUnavailable,
    RuntimeCoreError,
    SettingsError,
    StartupError,
)
from runtime_core.storage.backends import Backends
from runtime_core.storage.chains import Chains
from runtime_core.storage.cipher import Cipher
from runtime_core.storage.declarations import DeclarationReader
from runtime_core.storage.downloads import Downloads
from runtime_core.storage.groups import Groups
from runtime_core.storage.models import Models
from runtime_core.storage.provider_configs import ProviderConfigs
from runtime_core.storage.schema import KERNEL, SchemaState, read_revision, schema_of, upgrade
from runtime_core.storage.secrets import Secrets
from runtime_core.storage.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Coroutine,
        Mapping,
        Sequence,
    )

    from sqlalchemy import ColumnElement, CursorResult, Executable, Table
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from runtime_core.storage.schema import Schema
    from runtime_core.tables.pagination import AnyRow
    from runtime_core.types import TableSet

__all__ = ("Database", "Driver", "reason_of")

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds after which work that does not end is given up: the server may be gone without a word.
TIME_LIMIT = 60.0

#: Seconds that work which has begun may still take when the database is closed.
CLOSE_GRACE = 5.0

#: Faults of ours, as opposed to the database's: these stay what they are.
_OUR_FAULTS = (exc.DataError, exc.IntegrityError, exc.NotSupportedError, exc.ProgrammingError)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What differs between databases.

    ``writer`` begins a real transaction; ``reader`` runs each statement on its own.
    ``connect_errors`` are raised by the driver's library, not dressed by SQLAlchemy.
    ``clock`` is SQL for the database's time in seconds since 1970, which all its clients share.
    ``explain`` turns an error into what is wrong and what to do, without secrets.
    ``migration_lock`` are statements that make one of several migrating processes go first.
    """

    writer: AsyncEngine
    reader: AsyncEngine
    insert: Callable[[Table], sqlite.Insert | postgresql.Insert]
    clock: str
    explain: Callable[[BaseException], str]
    connect_errors: tuple[type[BaseException], ...] = ()
    migration_lock: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None


class Database:
    """Repositories, and what they need to read and write.

    Nothing is opened before the first use.  A caller that is cancelled leaves at once, but what it
    began goes on to its end: a statement cut off half-way would cost its connection, and leave the
    transaction's locks to whoever notices.  Nobody can know whether a cancelled write happened.

    :param cipher: seals the keys that are stored; without one they are stored in clear.
    """

    def __init__(self, driver: Driver, cipher: Cipher | None = None) -> None:
        self._driver = driver
        self.clock: ColumnElement[float] = literal_column(driver.clock, Double())
        self._closed = False
        self._running: set[asyncio.Task[Any]] = set()
        self.chains = Chains(self)
        self.sessions = Sessions(self)
        self.backends = Backends(self)
        self.models = Models(self)
        self.groups = Groups(self, self.backends.rows, self.models.rows)
        self.cipher = cipher or Cipher()
        self.provider_configs = ProviderConfigs(self, self.cipher)
        self.secrets = Secrets(self, self.cipher)
        self.downloads = Downloads(self)
        self.declarations = DeclarationReader(self, self.provider_configs)

    async def read(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[AnyRow]:
        """Return the rows of one statement that changes nothing.

        :raises DatabaseUnavailable: it cannot be reached, or is busy for too long.
        """
        return await self._whole(self._read(statement, parameters))

    async def write(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[AnyRow]:
        """Run one statement in a transaction of its own and return the rows it returns.

        :raises DatabaseUnavailable: it cannot be reached, written, or is busy for too long.
        """

        async def work(connection: AsyncConnection) -> Sequence[AnyRow]:
            return _rows(await connection.execute(statement, parameters))

        return await self.transaction(work)

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run *work* on a connection; committed when it returns, rolled back when it raises.

        *work* waits for nothing but its connection: others may be waiting for it, and a read or
        another transaction inside would wait for itself.

        :raises DatabaseUnavailable: it cannot be reached, written, or is busy for too long.
        """
        return await self._whole(self._transaction(work))

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that has ``on_conflict_do_update``."""
        return self._driver.insert(table)

    async def migrate(self, plugins: Mapping[str, TableSet] = MappingProxyType({})) -> None:
        """Bring the tables to the newest revision; one of several processes does the work.

        The kernel's come first, then each plugin's, in a transaction of their own.

        :param plugins: the tables of plugins, by the plugin's name.
        :raises SettingsError: the database cannot be used as it is configured.
        :raises StartupError: tables are newer than this program, or a migration failed; the message
            names the plugin whose they are.
        """
        schemas = _schemas(plugins)
        states = await self._whole(self._states(schemas))
        for schema, state in zip(schemas, states, strict=True):
            if state.revision != state.head:
                await self._whole(self._migrated(schema))

    async def schema(self) -> SchemaState:
        """Return the revision of the kernel's tables and the one this program wants.

        :raises SettingsError: the database cannot be used as it is configured.
        """
        return (await self._whole(self._states((KERNEL,))))[0]

    async def plugin_schemas(self, plugins: Mapping[str, TableSet]) -> Mapping[str, SchemaState]:
        """Return the same of each plugin's tables, by the plugin's name.

        :raises SettingsError: the database cannot be used as it is configured.
        """
        states = await self._whole(self._states(_schemas(plugins)))
        return dict(zip(sorted(plugins), states[1:], strict=True))

    async def ping(self) -> None:
        """Return when the database answers.

        :raises DatabaseUnavailable: it does not.
        """
        await self.read(text("SELECT 1"))

    async def aclose(self) -> None:
        """Let what has begun end, for a moment, and close every connection; may be called twice."""
        self._closed = True
        if self._running:
            _, pending = await asyncio.wait(self._running, timeout=CLOSE_GRACE)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        try:
            await self._driver.reader.dispose()
            await self._driver.writer.dispose()
        finally:
            self._driver.close()

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # so that asyncio does not complain when the caller is gone; it was logged before
            task.exception()

    async def _read(
        self, statement: Executable, parameters: Mapping[str, object] | None
    ) -> Sequence[AnyRow]:
        async with self._connected(self._driver.reader) as connection:
            return _rows(await connection.execute(statement, parameters))

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._connected(self._driver.writer) as connection, connection.begin():
            return await work(connection)

    async def _migrated(self, schema: Schema) -> None:
        if not schema.plugin:
            await self._migrate(schema)
            return
        # migrations of a plugin are its code: whatever they raise is told with its name
        [outcome] = await asyncio.gather(self._migrate(schema), return_exceptions=True)
        if isinstance(outcome, Exception):
            raise StartupError(
                f"plugin {schema.plugin!r}: {_in_words(outcome)}. Or add {schema.plugin!r} to "
                "RUNTIME_DISABLE_PLUGINS: its tables then stay as they are"
            ) from outcome
        if isinstance(outcome, BaseException):
            raise outcome

    async def _migrate(self, schema: Schema) -> None:
        try:
            async with self._driver.writer.begin() as connection:
                for statement in self._driver.migration_lock:
                    await connection.execute(text(statement))
                await upgrade(connection, schema)
        except self._failures() as error:
            raise self._misconfigured(error) from error

    async def _states(self, schemas: Sequence[Schema]) -> list[SchemaState]:
        try:
            async with self._driver.reader.connect() as connection:
                return [
                    SchemaState(revision=await read_revision(connection, one), head=one.head)
                    for one in schemas
                ]
        except self._failures() as error:
            raise self._misconfigured(error) from error

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        if self._closed:
            raise DatabaseUnavailable("the database is closed: the server is shutting down")
        try:
            async with asyncio.timeout(TIME_LIMIT), engine.connect() as connection:
                yield connection
        except _OUR_FAULTS:
            raise
        except self._failures() as error:
            raise self._unavailable(error) from error

    def _failures(self) -> tuple[type[BaseException], ...]:
        return (exc.DBAPIError, exc.TimeoutError, TimeoutError, *self._driver.connect_errors)

    def _misconfigured(self, error: BaseException) -> SettingsError:
        return SettingsError(self._driver.explain(error))

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        logger.error("%s", self._driver.explain(error))
        return DatabaseUnavailable("the database cannot be used now: try again", retry_after=1.0)


def _schemas(plugins: Mapping[str, TableSet]) -> list[Schema]:
    return [KERNEL, *(schema_of(name, tables) for name, tables in sorted(plugins.items()))]


def _in_words(error: Exception) -> str:
    if isinstance(error, RuntimeCoreError):
        return error.message
    reason = f"{type(error).__name__}: {error}"
    return (
        f"its tables cannot be brought up to date: {reason}. Repair it, or install another release"
    )


def _rows(result: CursorResult[*tuple[Any, ...]]) -> Sequence[AnyRow]:
    return result.all() if result.returns_rows else ()


def reason_of(error: BaseException) -> str:
    """Return the driver's own words, without the statement and its parameters."""
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    return str(cause).strip() or type(cause).__name__
