"""Downloads on the wire."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from runtime_core.http.wire.times import rfc3339
from runtime_core.types import Download, DownloadEvent, DownloadStatus

__all__ = ("JobWire", "ModelJobWire", "ProgressWire", "job_wire", "progress_wire")


class ModelJobWire(Struct, frozen=True):
    """Which model goes where."""

    url: str
    model: str


class JobWire(Struct, frozen=True, kw_only=True, rename="camel"):
    """A download in the queue; ``id`` is the backend's base URL, ``completed`` and ``total`` bytes.

    ``error`` is why the last attempt failed.  ``scheduledFor`` and ``validUntil`` are always 0.
    """

    id: str
    task_type: Literal["model_download"] = "model_download"
    model_job: ModelJobWire
    scheduled_for: int = 0
    valid_until: int = 0
    created_at: str
    updated_at: str
    backend_id: str
    status: DownloadStatus
    priority: int
    attempts: int
    completed: int
    total: int
    error: str


class ProgressWire(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """News of a download; bytes, left out when there are none."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
    model: str
    base_url: str = field(name="baseUrl")
    error: str = ""


def job_wire(download: Download) -> JobWire:
    """Return a download as it stands in the queue."""
    return JobWire(
        id=download.base_url,
        model_job=ModelJobWire(download.base_url, download.model),
        created_at=rfc3339(download.created_at),
        updated_at=rfc3339(download.updated_at),
        backend_id=download.backend_id,
        status=download.status,
        priority=download.priority,
        attempts=download.attempts,
        completed=download.completed,
        total=download.total,
        error=download.error,
    )


def progress_wire(event: DownloadEvent) -> ProgressWire:
    """Return an event as it is streamed."""
    return ProgressWire(
        status=event.status,
        digest=event.digest,
        total=event.total,
        completed=event.completed,
        model=event.model,
        base_url=event.base_url,
        error=event.error,
    )
