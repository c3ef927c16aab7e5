"""Who belongs to which group: ``/backend-affinity`` and ``/model-affinity``."""

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from runtime_core.errors import Forbidden
from runtime_core.http.answers import answer
from runtime_core.http.routes.groups import EMBED_GROUP
from runtime_core.http.wire.fleet import (
    BackendWire,
    GroupWire,
    ModelWire,
    backend_wire,
    group_wire,
    model_wire,
)
from runtime_core.protocols import FleetState, GroupStore

__all__ = ("AFFINITY",)

_TAGS = ["Groups"]
_REFUSES = {"refuses": ("409",)}
_BACKEND = "/backend-affinity/{group_id:str}/backends/{backend_id:str}"
_MODEL = "/model-affinity/{group_id:str}/models/{model_id:str}"


@post(_BACKEND, status_code=201, tags=_TAGS, summary="Assign a backend", opt=_REFUSES)
async def assign_backend(
    group_id: FromPath[str],
    backend_id: FromPath[str],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Let a backend serve a group's models."""
    await groups.assign_backend(tenant_id, group_id, backend_id)
    await fleet.changed(tenant_id)
    return answer("backend assigned", status=201)


@delete(_BACKEND, status_code=200, tags=_TAGS, summary="Unassign a backend")
async def unassign_backend(
    group_id: FromPath[str],
    backend_id: FromPath[str],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Take a backend out of a group; out of its last one, it serves no more."""
    await groups.unassign_backend(tenant_id, group_id, backend_id)
    await fleet.changed(tenant_id)
    return answer("backend removed")


@get("/backend-affinity/{group_id:str}/backends", tags=_TAGS, summary="List a group's backends")
async def backends_of_group(
    group_id: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[list[BackendWire]]:
    """Return the backends of a group, the latest assignment first."""
    found = await groups.backends_of(tenant_id, group_id)
    return answer([backend_wire(backend) for backend in found])


@get("/backend-affinity/{backend_id:str}/groups", tags=_TAGS, summary="List a backend's groups")
async def groups_of_backend(
    backend_id: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[list[GroupWire]]:
    """Return the groups of a backend, the latest assignment first."""
    found = await groups.groups_of_backend(tenant_id, backend_id)
    return answer([group_wire(group) for group in found])


@post(_MODEL, status_code=200, tags=_TAGS, summary="Assign a model", opt=_REFUSES)
async def assign_model(
    group_id: FromPath[str],
    model_id: FromPath[str],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Want a model, named by its id, on a group's backends; it is downloaded where missing."""
    await groups.assign_model(tenant_id, group_id, model_id)
    await fleet.changed(tenant_id)
    return answer("model assigned")


@delete(_MODEL, status_code=200, tags=_TAGS, summary="Unassign a model", opt={"refuses": ("403",)})
async def unassign_model(
    group_id: FromPath[str],
    model_id: FromPath[str],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Want a model no longer on a group's backends; it stays where it is."""
    if group_id == EMBED_GROUP:
        raise Forbidden(f"models cannot be taken out of the built-in group {EMBED_GROUP}")
    await groups.unassign_model(tenant_id, group_id, model_id)
    await fleet.changed(tenant_id)
    return answer("model removed")


@get("/model-affinity/{group_id:str}/models", tags=_TAGS, summary="List a group's models")
async def models_of_group(
    group_id: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[list[ModelWire]]:
    """Return the models of a group, the latest assignment first."""
    found = await groups.models_of(tenant_id, group_id)
    return answer([model_wire(model) for model in found])


@get("/model-affinity/{model_id:str}/groups", tags=_TAGS, summary="List a model's groups")
async def groups_of_model(
    model_id: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[list[GroupWire]]:
    """Return the groups of a model, named by its id, the latest assignment first."""
    found = await groups.groups_of_model(tenant_id, model_id)
    return answer([group_wire(group) for group in found])


AFFINITY = (
    assign_backend,
    unassign_backend,
    backends_of_group,
    groups_of_backend,
    assign_model,
    unassign_model,
    models_of_group,
    groups_of_model,
)
