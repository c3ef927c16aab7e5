"""What the kernel offers to what plugins keep running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from runtime_core.protocols.drivers import Bus
    from runtime_core.protocols.egress import Egress
    from runtime_core.protocols.hooks import Toolbox
    from runtime_core.protocols.rooms import ChainRunner, ChainStore
    from runtime_core.types import Page, SecretInfo

__all__ = ("PluginDatabase", "Sealer", "SecretStore", "Services")

T = TypeVar("T")


class PluginDatabase(Protocol):
    """The server's database; statements are SQLAlchemy's, over tables of `register_tables`."""

    async def read(
        self, statement: Any, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Any]:
        """Return the rows of one statement that changes nothing.

        :raises DatabaseUnavailable: it cannot be reached, or is busy for too long.
        """
        ...

    async def write(
        self, statement: Any, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Any]:
        """Run one statement in a transaction of its own and return the rows it returns.

        :raises DatabaseUnavailable: it cannot be reached, written, or is busy for too long.
        """
        ...

    async def transaction(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run *work* on a connection; committed when it returns, rolled back when it raises.

        *work* waits for nothing but its connection.
        """
        ...

    def insert(self, table: Any) -> Any:
        """Return an INSERT that has ``on_conflict_do_update``, on every database."""
        ...


class SecretStore(Protocol):
    """Named secrets of a tenant: written by operators, read only where a call is made."""

    async def put(self, tenant_id: str, name: str, value: str) -> SecretInfo:
        """Create or replace."""
        ...

    async def get(self, tenant_id: str, name: str) -> SecretInfo:
        """Return what can be told of a secret, or raise `NotFound`."""
        ...

    async def delete(self, tenant_id: str, name: str) -> None:
        """Delete, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretInfo]:
        """List newest first."""
        ...

    async def reveal(self, tenant_id: str, text: str) -> str:
        """Return *text* with every ``{{secret:NAME}}`` replaced by the secret's value.

        Costs nothing where there is none, and no read of the database where it was revealed
        before.

        :raises TaskFailed: there is no secret of that name; the message names it.
        """
        ...


class Sealer(Protocol):
    """Seals what must not be stored in clear, with ``RUNTIME_SECRET_KEY``; without it, only marks.

    The columns of a plugin's tables that hold credentials go through it.
    """

    def seal(self, text: str, *place: str) -> str:
        """Return *text* as it may be stored.

        :param place: where it will be, as table, tenant, id and column; it cannot be opened
            anywhere else.
        """
        ...

    def open(self, stored: str, *place: str) -> str:
        """Return what was sealed at *place*.

        :raises RuntimeCoreError: no secret that is set fits; says what to do.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The rooms of one running server that plugins may use."""

    database: PluginDatabase
    bus: Bus
    egress: Egress
    secrets: SecretStore
    sealer: Sealer
    chains: ChainStore
    runner: ChainRunner
    toolbox: Toolbox
