"""``/backends``: the places where models are, as operators register them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.errors import Conflict, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.fleet import (
    BackendBody,
    BackendWire,
    LiveBackendWire,
    backend_wire,
    live_backend_wire,
)
from runtime_core.protocols import BackendStore, FleetState

__all__ = ("BACKENDS",)

_TAGS = ["Backends"]
_EXAMPLE = {"name": "gpu", "baseUrl": "http://127.0.0.1:11434", "type": "ollama"}


@post(
    "/backends",
    status_code=201,
    tags=_TAGS,
    summary="Register a backend",
    opt={"example": _EXAMPLE, "refuses": ("409",)},
)
async def create_backend(
    data: JSONBody[BackendBody],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    provider_types: NamedDependency[Sequence[str]],
    tenant_id: NamedDependency[str],
) -> Response[BackendWire]:
    """Register a backend; it serves once it is in a group."""
    name, base_url, kind = _fields(data, provider_types)
    _refuse_configured_name(fleet, tenant_id, name)
    created = await backends.create(tenant_id, name=name, base_url=base_url, type=kind)
    await fleet.changed(tenant_id)
    return answer(backend_wire(created), status=201)


@get("/backends", tags=_TAGS, summary="List backends")
async def list_backends(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[list[LiveBackendWire]]:
    """Return registered backends with their live state, newest first."""
    found = await backends.list(tenant_id, limit=page.limit, cursor=page.cursor)
    states = {state.id: state for state in fleet.states(tenant_id)}
    items = [live_backend_wire(one, states.get(one.id)) for one in found.items]
    return listing(request, items, found.next_cursor)


@get("/backends/{backend_id:str}", tags=_TAGS, summary="Get a backend")
async def get_backend(
    backend_id: FromPath[str],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[LiveBackendWire]:
    """Return a registered backend with its live state."""
    found = await backends.get(tenant_id, backend_id)
    states = (state for state in fleet.states(tenant_id) if state.id == found.id)
    return answer(live_backend_wire(found, next(states, None)))


@put(
    "/backends/{backend_id:str}",
    tags=_TAGS,
    summary="Replace a backend",
    opt={"example": _EXAMPLE, "refuses": ("409",)},
)
async def update_backend(
    backend_id: FromPath[str],
    data: JSONBody[BackendBody],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    provider_types: NamedDependency[Sequence[str]],
    tenant_id: NamedDependency[str],
) -> Response[BackendWire]:
    """Replace a registered backend; it stays in its groups."""
    name, base_url, kind = _fields(data, provider_types)
    _refuse_configured_name(fleet, tenant_id, name)
    updated = await backends.update(tenant_id, backend_id, name=name, base_url=base_url, type=kind)
    await fleet.changed(tenant_id)
    return answer(backend_wire(updated))


@delete("/backends/{backend_id:str}", status_code=200, tags=_TAGS, summary="Delete a backend")
async def delete_backend(
    backend_id: FromPath[str],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Forget a backend, its group assignments and its queued downloads; its models stay on it."""
    await backends.delete(tenant_id, backend_id)
    await fleet.changed(tenant_id)
    return answer("backend removed")


BACKENDS = (create_backend, list_backends, get_backend, update_backend, delete_backend)


def _fields(data: BackendBody, provider_types: Sequence[str]) -> tuple[str, str, str]:
    """Return a backend's name, base URL and type."""
    name = _required(data.name, "name")
    base_url = _required(data.base_url or data.base_url_older, "baseUrl")
    kind = _required(data.type, "type")
    if kind.lower() not in {one.lower() for one in provider_types}:
        raise Unprocessable(
            f"type: no installed plugin provides {kind[:64]!r}; installed types: "
            f"{', '.join(sorted(provider_types)) or 'none'}",
            param="type",
        )
    if not _is_address(base_url, kind.lower()):
        raise Unprocessable(
            f"baseUrl: {base_url[:200]!r} is no URL of a service; one is http://gpu:11434",
            param="baseUrl",
        )
    return name, base_url, kind


def _required(value: str | None, field: str) -> str:
    if not value:
        raise Unprocessable(f"{field}: this field is required", param=field)
    return value


def _is_address(url: str, kind: str) -> bool:
    """Whether *url* is http(s), or of the provider's own scheme, and names a host."""
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https", kind) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _refuse_configured_name(fleet: FleetState, tenant_id: str, name: str) -> None:
    """Refuse the name of a backend that the server's configuration has."""
    # only what is registered has a time of creation
    if any(one.name == name and not one.created_at for one in fleet.states(tenant_id)):
        raise Conflict(
            f"name: the server's configuration has a backend called {name!r} already; choose "
            "another name",
            param="name",
        )
