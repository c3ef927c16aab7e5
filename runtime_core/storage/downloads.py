"""The queue of downloads: jobs, leases, and who may work on what."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime_core.errors import NotFound, Unprocessable
from runtime_core.storage.download_statements import DownloadStatements
from runtime_core.tables.names import can_be_stored, require_value, shortened
from runtime_core.tables.rows import can_be_key
from runtime_core.types import Download

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime_core.storage.database import Database
    from runtime_core.tables.pagination import AnyRow

__all__ = ("Downloads",)

MAX_ERROR_LENGTH = 2000

#: Databases limit the parameters of a statement.
_AT_ONCE = 1000

_MAX_PRIORITY = 2**31 - 1
_MAX_BYTES = 2**63 - 1


class Downloads:
    """Implements `runtime_core.protocols.DownloadStore`.

    Leases go by the database's clock.  Only the claim that returned a download may report on it:
    ``attempts`` tells it from later claims, also from those of the same owner.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = DownloadStatements(database)

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

        :param base_url: where a backend is that is not stored; a stored one's own wins.
        :raises NotFound: the backend is not stored, and there is no *base_url*.
        """
        _require_valid(backend_id, model, priority, base_url)
        key = {"tenant": tenant_id, "backend": backend_id, "model": model}

        async def work(connection: AsyncConnection) -> AnyRow:
            stored = (await connection.execute(self._statements.lock_backend, key)).first()
            if stored is None and base_url is None:
                raise _unknown(backend_id)
            new = {
                **_new_job(tenant_id, backend_id, model, priority),
                "stored_backend_id": backend_id if stored else None,
                "base_url": base_url,
            }
            await connection.execute(self._statements.enqueue, new)
            return (await connection.execute(self._statements.get, key)).one()

        # most calls find a job that needs no change, and need not wait for writers
        known = await self._database.read(self._statements.get, key)
        if known and known[0].status != "failed" and known[0].priority >= priority:
            return _download(known[0])
        return _download(await self._database.transaction(work))

    async def claim(
        self, owner: str, *, lease: float, per_backend: int, busy: Collection[str] = ()
    ) -> tuple[str, Download] | None:
        """Take the next job for *owner*: (tenant id, job), or None when there is nothing to do.

        Higher priorities go first, then older jobs.  A running job whose lease is over is taken
        too.  Backends in *busy* are left out.

        :param lease: seconds until others may take the job, unless `progress` renews it.
        :param per_backend: how many jobs of one backend all servers together may be at.
        """
        passed_over = list(busy)
        while True:
            wanted = {"busy": passed_over, "per_backend": per_backend}
            # asking in vain must not make writers wait
            places = await self._database.read(self._statements.next_backend, wanted)
            if not places:
                return None
            tenant_id, backend_id = places[0].tenant_id, places[0].backend_id
            at = {"tenant": tenant_id, "backend": backend_id}
            claim = {"claimant": owner, "lease": lease, "now": datetime.now(UTC)}
            if claimed := await self._claim_at(at, wanted, claim):
                return tenant_id, claimed
            passed_over = [*passed_over, backend_id]

    async def progress(
        self, owner: str, download: Download, *, completed: int, total: int, lease: float
    ) -> bool:
        """Record bytes and renew the lease; False when the job is no longer *owner*'s: stop."""
        parameters = {
            **_claim_of(owner, download),
            "bytes": _bytes(completed),
            "of": _bytes(total),
            "lease": lease,
            "now": datetime.now(UTC),
        }
        return bool(await self._database.write(self._statements.progress, parameters))

    async def finish(self, owner: str, download: Download) -> None:
        """Remove a job whose model is there; nothing happens when it is no longer *owner*'s."""
        await self._database.write(self._statements.finish, _claim_of(owner, download))

    async def fail(
        self, owner: str, download: Download, error: str, *, retry_in: float | None
    ) -> None:
        """Record why an attempt failed; it is tried again after *retry_in* seconds, or never.

        Nothing happens when the job is no longer *owner*'s.
        """
        parameters = {
            **_claim_of(owner, download),
            "reason": _storable(error),
            "outcome": "failed" if retry_in is None else "queued",
            "pause": retry_in or 0.0,
            "now": datetime.now(UTC),
        }
        await self._database.write(self._statements.fail, parameters)

    async def remove(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> Sequence[Download]:
        """Remove jobs, running ones too, and return them, oldest first.

        Only those of *model*, and only those of the backend at *base_url*, where these are given.
        """
        if not all(can_be_key(value) for value in (model, base_url) if value is not None):
            return []
        statement = self._statements.matching(
            model=model is not None, base_url=base_url is not None
        )
        given = {"tenant": tenant_id, "model": model, "url": base_url}
        wanted = {name: value for name, value in given.items() if value is not None}

        async def work(connection: AsyncConnection) -> list[Download]:
            found = (await connection.execute(statement, wanted)).all()
            gone: set[str] = set()
            for start in range(0, len(found), _AT_ONCE):
                ids = [row.id for row in found[start : start + _AT_ONCE]]
                parameters = {"tenant": tenant_id, "jobs": ids}
                gone.update(
                    (await connection.execute(self._statements.remove, parameters)).scalars()
                )
            return [_download(row) for row in found if row.id in gone]

        return await self._database.transaction(work)

    async def list(self, tenant_id: str) -> Sequence[Download]:
        """List oldest first."""
        rows = await self._database.read(self._statements.list, {"tenant": tenant_id})
        return [_download(row) for row in rows]

    async def _claim_at(
        self, at: Mapping[str, str], wanted: Mapping[str, Any], claim: Mapping[str, object]
    ) -> Download | None:
        """Take a backend's next job, None when others were faster.

        In a transaction of its own: who waits for one backend holds no other.
        """

        async def work(connection: AsyncConnection) -> Download | None:
            # servers look for a backend's jobs one after the other, or they would miscount
            if (await connection.execute(self._statements.queue_up, at)).first() is None:
                await connection.execute(self._statements.queue_up_at_oldest, at)
            found = (await connection.execute(self._statements.next, {**wanted, **at})).first()
            if found is None:
                return None
            key = {"tenant": at["tenant"], "job": found.id}
            await connection.execute(self._statements.claim, {**claim, **key})
            return _download((await connection.execute(self._statements.job, key)).one())

        return await self._database.transaction(work)


def _require_valid(backend_id: str, model: str, priority: int, base_url: str | None) -> None:
    if not can_be_key(backend_id):
        raise _unknown(backend_id)
    require_value(model, "download", param="model")
    if base_url is not None:
        require_value(base_url, "download", param="baseUrl", empty=True)
    if abs(priority) > _MAX_PRIORITY:
        raise Unprocessable(
            f"priority is {priority}, it must be from {-_MAX_PRIORITY} to {_MAX_PRIORITY}",
            param="priority",
        )


def _new_job(tenant_id: str, backend_id: str, model: str, priority: int) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "tenant_id": tenant_id,
        "id": str(uuid.uuid4()),
        "backend_id": backend_id,
        "model": model,
        "priority": priority,
        "status": "queued",
        "attempts": 0,
        "completed": 0,
        "total": 0,
        "error": "",
        "owner": "",
        # 1970: at once
        "free_at": 0.0,
        "created_at": now,
        "updated_at": now,
        "now": now,
    }


def _claim_of(owner: str, download: Download) -> dict[str, object]:
    return {"job": download.id, "claimant": owner, "attempt": download.attempts}


def _bytes(count: int) -> int:
    return min(max(count, 0), _MAX_BYTES)


def _storable(error: str) -> str:
    """Return a service's words as every database can hold them."""
    kept = error[:MAX_ERROR_LENGTH]
    if can_be_stored(kept):
        return kept
    return kept.replace("\0", "�").encode("utf-8", "replace").decode()


def _unknown(backend_id: str) -> NotFound:
    return NotFound(f"backend {shortened(backend_id)!r} not found")


def _download(row: AnyRow) -> Download:
    fields = row._mapping
    return Download(**{name: fields[name] for name in Download.__struct_fields__})
