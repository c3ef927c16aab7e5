"""The statements behind the queue of downloads, built once: SQLAlchemy then compiles each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, func, select, update

from runtime_core.storage.tables import BackendRow, DownloadRow
from runtime_core.tables import table_of
from runtime_core.types import Download

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, Update

    from runtime_core.storage.database import Database

__all__ = ("DownloadStatements",)

_TABLE = table_of(DownloadRow)
_JOBS = _TABLE.c
_BACKENDS = table_of(BackendRow).c

_TENANT = _JOBS.tenant_id == bindparam("tenant")

#: The running job of the claim that a `Download` came from.
_OWN = (
    _JOBS.id == bindparam("job"),
    _JOBS.owner == bindparam("claimant"),
    _JOBS.attempts == bindparam("attempt"),
    _JOBS.status == "running",
)


class DownloadStatements:
    """What can be done with jobs.

    ``list``, ``get``, ``job`` and `matching` return rows of a `Download`'s fields.
    """

    def __init__(self, database: Database) -> None:
        self._clock = database.clock
        self.list = select(*_shown()).where(_TENANT).order_by(_JOBS.created_at, _JOBS.id)
        self.get = select(*_shown()).where(
            _TENANT, _JOBS.backend_id == bindparam("backend"), _JOBS.model == bindparam("model")
        )
        self.job = select(*_shown()).where(_TENANT, _JOBS.id == bindparam("job"))
        self.remove = (
            delete(_TABLE)
            .where(_TENANT, _JOBS.id.in_(bindparam("jobs", expanding=True)))
            .returning(_JOBS.id)
        )
        self.enqueue = self._enqueue(database)
        self.next = self._next()
        self.next_backend = self._first_ready(_JOBS.tenant_id, _JOBS.backend_id)
        self.queue_up = _backend().with_for_update(key_share=True)
        self.queue_up_at_oldest = (
            select(_JOBS.id)
            .where(_TENANT, _JOBS.backend_id == bindparam("backend"))
            .order_by(_JOBS.created_at, _JOBS.id)
            .limit(1)
            .with_for_update()
        )
        self.claim = self._claim()
        self.progress = self._progress()
        self.finish = delete(_TABLE).where(*_OWN)
        self.fail = self._fail()
        self.lock_backend = _backend().with_for_update(read=True, key_share=True)

    def matching(self, *, model: bool, base_url: bool) -> Select[Any]:
        """Return ``list``, of one ``model`` or of one ``url`` only when asked to."""
        statement = self.list
        if model:
            statement = statement.where(_JOBS.model == bindparam("model"))
        if base_url:
            statement = statement.where(_base_url() == bindparam("url"))
        return statement

    def _enqueue(self, database: Database) -> Any:
        insert = database.insert(_TABLE)
        new, has_failed = insert.excluded, _JOBS.status == "failed"
        restarted = ("status", "attempts", "completed", "total", "error", "free_at")
        return insert.on_conflict_do_update(
            index_elements=[_JOBS.tenant_id, _JOBS.backend_id, _JOBS.model],
            set_={
                **{name: case((has_failed, new[name]), else_=_JOBS[name]) for name in restarted},
                "priority": case(
                    (new.priority > _JOBS.priority, new.priority), else_=_JOBS.priority
                ),
                "stored_backend_id": new.stored_backend_id,
                "base_url": new.base_url,
                "updated_at": _now(),
            },
        )

    def _ready(self) -> tuple[ColumnElement[bool], ...]:
        return (
            _JOBS.status.in_(("queued", "running")),
            _JOBS.free_at <= self._clock,
            _JOBS.backend_id.not_in(bindparam("busy", expanding=True)),
            self._running_beside() < bindparam("per_backend"),
        )

    def _running_beside(self) -> ColumnElement[int]:
        """Count the jobs of the same backend that somebody is at, on any server."""
        others = _TABLE.alias()
        return (
            select(func.count())
            .select_from(others)
            .where(
                others.c.tenant_id == _JOBS.tenant_id,
                others.c.backend_id == _JOBS.backend_id,
                others.c.status == "running",
                others.c.free_at > self._clock,
            )
            .correlate(_TABLE)
            .scalar_subquery()
        )

    def _next(self) -> Select[Any]:
        """Select and lock a backend's next job; one another transaction holds is passed over."""
        next_job = self._first_ready(_JOBS.id).where(
            _TENANT, _JOBS.backend_id == bindparam("backend")
        )
        return next_job.with_for_update(skip_locked=True)

    def _first_ready(self, *columns: ColumnElement[Any]) -> Select[Any]:
        order = (_JOBS.priority.desc(), _JOBS.created_at, _JOBS.id)
        return select(*columns).where(*self._ready()).order_by(*order).limit(1)

    def _claim(self) -> Update:
        return (
            update(_TABLE)
            .where(_TENANT, _JOBS.id == bindparam("job"))
            .values(
                status="running",
                owner=bindparam("claimant"),
                attempts=_JOBS.attempts + 1,
                free_at=self._in("lease"),
                updated_at=_now(),
            )
        )

    def _progress(self) -> Any:
        return (
            update(_TABLE)
            .where(*_OWN)
            .values(
                completed=bindparam("bytes"),
                total=bindparam("of"),
                free_at=self._in("lease"),
                updated_at=_now(),
            )
            .returning(_JOBS.id)
        )

    def _fail(self) -> Update:
        return (
            update(_TABLE)
            .where(*_OWN)
            .values(
                status=bindparam("outcome"),
                error=bindparam("reason"),
                free_at=self._in("pause"),
                updated_at=_now(),
            )
        )

    def _in(self, seconds: str) -> ColumnElement[float]:
        return self._clock + bindparam(seconds, type_=_JOBS.free_at.type)


def _shown() -> tuple[ColumnElement[Any], ...]:
    names = [name for name in Download.__struct_fields__ if name != "base_url"]
    return (*(_JOBS[name] for name in names), _base_url().label("base_url"))


def _base_url() -> ColumnElement[str]:
    """Return where a job's backend is: a stored one, where it is now."""
    stored = (
        select(_BACKENDS.base_url)
        .where(_BACKENDS.tenant_id == _JOBS.tenant_id, _BACKENDS.id == _JOBS.stored_backend_id)
        .correlate(_TABLE)
        .scalar_subquery()
    )
    return func.coalesce(stored, _JOBS.base_url)


def _backend() -> Select[Any]:
    """Select a backend, to be locked: it cannot be deleted until the end of the transaction."""
    return select(_BACKENDS.id).where(
        _BACKENDS.tenant_id == bindparam("tenant"), _BACKENDS.id == bindparam("backend")
    )


def _now() -> ColumnElement[Any]:
    """Return the time of a change: not before the creation, should the clock be set back."""
    now = bindparam("now", type_=_JOBS.updated_at.type)
    return case((now > _JOBS.created_at, now), else_=_JOBS.created_at)
