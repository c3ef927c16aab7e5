"""What operators declare of the fleet, and its live state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from runtime_core.types import (
        BackendState,
        Declarations,
        DeclaredModel,
        Download,
        DownloadEvent,
        Group,
        Page,
        ProviderConfig,
        StoredBackend,
    )

__all__ = (
    "BackendStore",
    "DeclarationReader",
    "DownloadQueue",
    "DownloadStore",
    "FleetState",
    "GroupStore",
    "ModelStore",
    "ProviderConfigStore",
)


class BackendStore(Protocol):
    """Registered backends of a tenant; names and base URLs are each used once (`Conflict`)."""

    async def create(
        self, tenant_id: str, *, name: str, base_url: str, type: str, id: str | None = None
    ) -> StoredBackend:
        """Store a new backend; its id is a UUID unless given."""
        ...

    async def get(self, tenant_id: str, backend_id: str) -> StoredBackend:
        """Return a backend or raise `NotFound`."""
        ...

    async def update(
        self, tenant_id: str, backend_id: str, *, name: str, base_url: str, type: str
    ) -> StoredBackend:
        """Replace, or raise `NotFound`."""
        ...

    async def delete(self, tenant_id: str, backend_id: str) -> None:
        """Delete with its assignments and queued downloads, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredBackend]:
        """List newest first."""
        ...


class ModelStore(Protocol):
    """Declared models of a tenant; a model's name is used once (`Conflict`)."""

    async def create(self, tenant_id: str, model: DeclaredModel) -> DeclaredModel:
        """Store a new model under ``model.id``; its times are replaced by now."""
        ...

    async def get(self, tenant_id: str, model_id: str) -> DeclaredModel:
        """Return the model of an id or raise `NotFound`."""
        ...

    async def get_by_name(self, tenant_id: str, name: str) -> DeclaredModel:
        """Return the model of a name or raise `NotFound`."""
        ...

    async def update(self, tenant_id: str, model: DeclaredModel) -> DeclaredModel:
        """Replace all but the creation time, or raise `NotFound`."""
        ...

    async def delete_by_name(self, tenant_id: str, name: str) -> None:
        """Delete with its assignments, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[DeclaredModel]:
        """List newest first."""
        ...


class GroupStore(Protocol):
    """Affinity groups of a tenant and who belongs to them; a name is used once (`Conflict`)."""

    async def ensure_builtin(self, tenant_id: str) -> None:
        """Create the built-in groups that are missing."""
        ...

    async def create(self, tenant_id: str, *, name: str, purpose_type: str) -> Group:
        """Store a new group; its id is a UUID."""
        ...

    async def get(self, tenant_id: str, group_id: str) -> Group:
        """Return the group of an id or raise `NotFound`."""
        ...

    async def get_by_name(self, tenant_id: str, name: str) -> Group:
        """Return the group of a name or raise `NotFound`."""
        ...

    async def update(self, tenant_id: str, group_id: str, *, name: str, purpose_type: str) -> Group:
        """Replace, or raise `NotFound`."""
        ...

    async def delete(self, tenant_id: str, group_id: str) -> None:
        """Delete with its assignments, or raise `NotFound`; a built-in one is `Forbidden`."""
        ...

    async def list(
        self,
        tenant_id: str,
        *,
        purpose_type: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Group]:
        """List newest first; all of them without a limit."""
        ...

    async def assign_backend(self, tenant_id: str, group_id: str, backend_id: str) -> None:
        """Add; already there, or an unknown group or backend, is `Conflict`."""
        ...

    async def unassign_backend(self, tenant_id: str, group_id: str, backend_id: str) -> None:
        """Remove, or raise `NotFound`."""
        ...

    async def backends_of(self, tenant_id: str, group_id: str) -> Sequence[StoredBackend]:
        """Return the group's backends, latest assignment first; none for an unknown group."""
        ...

    async def groups_of_backend(self, tenant_id: str, backend_id: str) -> Sequence[Group]:
        """Return the backend's groups, latest assignment first."""
        ...

    async def assign_model(self, tenant_id: str, group_id: str, model_id: str) -> None:
        """Add; already there, or an unknown group or model, is `Conflict`."""
        ...

    async def unassign_model(self, tenant_id: str, group_id: str, model_id: str) -> None:
        """Remove, or raise `NotFound`."""
        ...

    async def models_of(self, tenant_id: str, group_id: str) -> Sequence[DeclaredModel]:
        """Return the group's models, latest assignment first; none for an unknown group."""
        ...

    async def groups_of_model(self, tenant_id: str, model_id: str) -> Sequence[Group]:
        """Return the model's groups, latest assignment first."""
        ...


class ProviderConfigStore(Protocol):
    """Keys of provider types, of a tenant."""

    async def put(
        self, tenant_id: str, provider_type: str, api_key: str, *, replace: bool
    ) -> ProviderConfig:
        """Store a key; one that is there already is a `Conflict` without *replace*."""
        ...

    async def get(self, tenant_id: str, provider_type: str) -> ProviderConfig:
        """Return the configuration of a type or raise `NotFound`."""
        ...

    async def delete(self, tenant_id: str, provider_type: str) -> None:
        """Delete, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[ProviderConfig]:
        """List newest first."""
        ...


class DownloadStore(Protocol):
    """The durable queue of downloads; one job at most for a backend and a model."""

    async def enqueue(
        self,
        tenant_id: str,
        backend_id: str,
        model: str,
        *,
        priority: int = 0,
        base_url: str | None = None,
    ) -> Download:
        """Add a job, or return the one there is; a failed one is queued again.

        A higher *priority* raises that of the job there is.

        :param base_url: where a backend is that is not stored (one from the settings).
        :raises NotFound: the backend is not stored, and there is no *base_url*.
        """
        ...

    async def claim(
        self, owner: str, *, lease: float, per_backend: int, busy: Collection[str] = ()
    ) -> tuple[str, Download] | None:
        """Take the next job for *owner*: (tenant id, job), or None when there is nothing to do.

        A running job whose lease is over is taken too.  Backends in *busy* are left out.

        :param lease: seconds until others may take the job, unless `progress` renews it.
        :param per_backend: how many jobs of one backend all servers together may be at.
        """
        ...

    async def progress(
        self, owner: str, download: Download, *, completed: int, total: int, lease: float
    ) -> bool:
        """Record bytes and renew the lease; False when the job is no longer *owner*'s: stop."""
        ...

    async def finish(self, owner: str, download: Download) -> None:
        """Remove a job whose model is there."""
        ...

    async def fail(
        self, owner: str, download: Download, error: str, *, retry_in: float | None
    ) -> None:
        """Record why an attempt failed; it is tried again after *retry_in* seconds, or never."""
        ...

    async def remove(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> Sequence[Download]:
        """Remove jobs, running ones too, and return them."""
        ...

    async def list(self, tenant_id: str) -> Sequence[Download]:
        """List oldest first."""
        ...


class DownloadQueue(Protocol):
    """Models on their way to the backends, and those to be taken off them again."""

    async def list(self, tenant_id: str) -> Sequence[Download]:
        """Return what waits, runs, or has failed for good, oldest first."""
        ...

    async def enqueue(
        self, tenant_id: str, backend_id: str, model: str, *, priority: int = 0
    ) -> Download:
        """Ask for a model, or return the job there is; a failed one is queued again."""
        ...

    async def cancel(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> Sequence[Download]:
        """Remove the jobs of a model, of a backend, or of both; running ones stop at once."""
        ...

    def watch(self, tenant_id: str) -> AsyncIterator[DownloadEvent]:
        """Yield where every running download is, then news of all of them, without an end."""
        ...

    async def delete_model(self, tenant_id: str, backend_id: str, model: str) -> None:
        """Have a backend delete one of its models.

        :raises NotFound: the backend is not in use, or does not have the model.
        :raises InvalidRequest: the backend's provider does not manage models.
        """
        ...


class DeclarationReader(Protocol):
    """Everything a tenant declared, at once: what the fleet is made of."""

    async def read(self, tenant_id: str) -> Declarations:
        """Return a consistent picture."""
        ...


class FleetState(Protocol):
    """The live state of the backends."""

    def states(self, tenant_id: str) -> Sequence[BackendState]:
        """Return every backend of the tenant, as last seen."""
        ...

    def watch(self, tenant_id: str) -> AsyncIterator[BackendState | str]:
        """Yield every state now, then changes as they come; the id of a backend that is gone."""
        ...

    async def changed(self, tenant_id: str) -> None:
        """Declarations changed: read them again now, and look at what is new."""
        ...
