"""Documents about the server itself: its health, version, metrics, plugins and API."""

import gzip
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from runtime_core.http.answers import Empty, answer
from runtime_core.http.health import readiness
from runtime_core.http.metrics import Metrics
from runtime_core.http.openapi import Document
from runtime_core.http.paths import not_found
from runtime_core.http.wire.documents import Alive, Readiness, Version
from runtime_core.protocols import HealthCheck
from runtime_core.types import PluginReport

__all__ = ("DOCUMENTS",)

_TAGS = ["Server"]

#: The page brings everything along: no address but this server's own, and none may be added.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}


@get("/health", tags=_TAGS, summary="Is anybody there?", opt={"empty": True})
async def health() -> Empty:
    """Answer with an empty body, whatever the state of what is behind."""
    return Empty()


@get("/livez", tags=_TAGS, summary="Is the process alive?")
async def alive() -> Response[Alive]:
    """Answer as long as the process can."""
    return answer(Alive())


@get("/readyz", tags=_TAGS, summary="Can the server do its work?", opt={"also": {503: Readiness}})
async def ready(
    health_checks: NamedDependency[Mapping[str, HealthCheck]],
    plugins: NamedDependency[Sequence[PluginReport]],
) -> Response[Readiness]:
    """Run every check and name each: 200 when all is well, else 503."""
    state = await readiness(health_checks, plugins)
    return answer(state, status=200 if state.status == "ok" else 503)


@get("/version", tags=_TAGS, summary="Which server is this?")
async def version(server_version: NamedDependency[Version]) -> Response[Version]:
    """Return the version and this process's id."""
    return answer(server_version)


@get("/metrics", tags=_TAGS, summary="Metrics for Prometheus", opt={"text": True})
async def show_metrics(metrics: NamedDependency[Metrics]) -> Response[bytes]:
    """Return the metrics in Prometheus's text format."""
    text, media_type = metrics.render()
    return Response(text, headers={"content-type": media_type})


@get("/plugins", tags=_TAGS, summary="List plugins")
async def list_plugins(
    plugins: NamedDependency[Sequence[PluginReport]],
) -> Response[list[PluginReport]]:
    """Return every installed plugin; a quarantined one with the reason and the way out."""
    return answer(list(plugins))


@get("/openapi.json", include_in_schema=False)
async def openapi(api_document: NamedDependency[Document]) -> Response[bytes]:
    """Return this API's description."""
    return Response(api_document.render(), media_type="application/json")


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    """Return the interactive page."""
    return Response(
        _asset("docs.html"),
        media_type="text/html",
        headers={"Content-Security-Policy": _POLICY},
    )


@get("/docs/{asset:str}", include_in_schema=False)
async def docs_asset(request: Request[Any, Any, Any], asset: FromPath[str]) -> Response[bytes]:
    """Return a file of the interactive page, compressed as it is stored where that is wanted."""
    media_type = _ASSETS.get(asset)
    if media_type is None:
        raise not_found()
    headers = {"Cache-Control": "max-age=3600", "Vary": "Accept-Encoding"}
    if not asset.startswith("swagger"):
        return Response(_asset(asset), media_type=media_type, headers=headers)
    body = _asset(f"{asset}.gz")
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type=media_type, headers=headers)


def _asset(name: str) -> bytes:
    return (resources.files("runtime_core.http") / "assets" / name).read_bytes()


DOCUMENTS = (
    health,
    alive,
    ready,
    version,
    show_metrics,
    list_plugins,
    openapi,
    docs,
    docs_asset,
)
