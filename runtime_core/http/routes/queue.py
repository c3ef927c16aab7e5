"""``/queue``: models on their way to the backends, and those taken off them again."""

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from runtime_core.errors import InvalidRequest
from runtime_core.http.answers import answer
from runtime_core.http.feed import Feed
from runtime_core.http.sse import EventStream, sse_frame
from runtime_core.http.wire.queue import JobWire, job_wire, progress_wire
from runtime_core.protocols import DownloadQueue
from runtime_core.settings import Settings
from runtime_core.types import DownloadEvent

__all__ = ("QUEUE",)

_TAGS = ["Downloads"]
_URL = QueryParameter(description="The base URL of a backend.")
_MODEL = QueryParameter(description="The name of a model; only where there is no `url`.")


@get("/queue", tags=_TAGS, summary="List downloads")
async def list_downloads(
    downloads: NamedDependency[DownloadQueue], tenant_id: NamedDependency[str]
) -> Response[list[JobWire]]:
    """Return the downloads that wait, run, or have failed for good, oldest first."""
    return answer([job_wire(download) for download in await downloads.list(tenant_id)])


@delete("/queue/{model:str}", status_code=200, tags=_TAGS, summary="Remove a model's downloads")
async def remove_downloads(
    model: FromPath[str],
    downloads: NamedDependency[DownloadQueue],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Remove every download of a model, running ones included; also when there is none.

    A model that is still declared for a backend, and missing there, is queued again after an hour.
    """
    await downloads.cancel(tenant_id, model=model)
    return answer("Model removed from queue")


@delete("/queue/cancel", status_code=200, tags=_TAGS, summary="Cancel downloads")
async def cancel_downloads(
    downloads: NamedDependency[DownloadQueue],
    tenant_id: NamedDependency[str],
    url: Annotated[str | None, _URL] = None,
    model: Annotated[str | None, _MODEL] = None,
) -> Response[str]:
    """Cancel the downloads to the backend at `url`, else those of `model`, running ones included.

    Partial downloads stay on the backend: a later one goes on from there.
    """
    if url:
        await downloads.cancel(tenant_id, base_url=url)
    elif model:
        await downloads.cancel(tenant_id, model=model)
    else:
        raise InvalidRequest("url or model: one of these query parameters is required", param="url")
    return answer("Model download cancellation initiated")


@get("/queue/inProgress", tags=_TAGS, summary="Watch downloads", opt={"streams": True})
async def watch_downloads(
    downloads: NamedDependency[DownloadQueue],
    settings: NamedDependency[Settings],
    tenant_id: NamedDependency[str],
) -> Response[Any]:
    """Stream the progress of downloads: where each running one is, then news as they come.

    `status` is the backend's own word while it fetches; then `success`, `cancelled`, `failed` or,
    before another attempt, `queued`, the last two with the `error`.
    """
    return EventStream(
        Feed(downloads.watch(tenant_id)), _frames, heartbeat=settings.sse_heartbeat, endless=True
    )


@delete(
    "/backends/{backend_id:str}/models/{model:str}",
    status_code=200,
    tags=_TAGS,
    summary="Delete a model from a backend",
    opt={"asks": True},
)
async def delete_model(
    backend_id: FromPath[str],
    model: FromPath[str],
    downloads: NamedDependency[DownloadQueue],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Have a backend delete one of its models.

    One that is still declared for the backend is fetched again.
    """
    await downloads.delete_model(tenant_id, backend_id, model)
    return answer("model removed from backend")


QUEUE = (list_downloads, remove_downloads, cancel_downloads, watch_downloads, delete_model)

_encode = msgspec.json.Encoder().encode


def _frames(events: list[DownloadEvent]) -> bytes:
    return b"".join([sse_frame(_encode(progress_wire(event))) for event in events])
