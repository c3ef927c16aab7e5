"""``/groups``: affinity groups, whose backends serve their models."""

from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.errors import Forbidden, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.fleet import GroupBody, GroupWire, group_wire
from runtime_core.protocols import FleetState, GroupStore
from runtime_core.types import BUILTIN_GROUPS

__all__ = ("EMBED_GROUP", "GROUPS")

#: The group of the models that texts are embedded with, which vectors stored elsewhere rely on.
EMBED_GROUP = "internal_embed_group"

_TAGS = ["Groups"]
_BODY = {"example": {"name": "fast", "purposeType": "chat"}, "refuses": ("409",)}


@post("/groups", status_code=201, tags=_TAGS, summary="Create a group", opt=_BODY)
async def create_group(
    data: JSONBody[GroupBody],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[GroupWire]:
    """Create an affinity group."""
    created = await groups.create(
        tenant_id, name=data.name or "", purpose_type=data.purpose_type or ""
    )
    await fleet.changed(tenant_id)
    return answer(group_wire(created), status=201)


@get("/groups", tags=_TAGS, summary="List groups")
async def list_groups(
    groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[list[GroupWire]]:
    """Return all groups, newest first."""
    found = await groups.list(tenant_id)
    return answer([group_wire(group) for group in found.items])


@get("/groups/{group_id:str}", tags=_TAGS, summary="Get a group")
async def get_group(
    group_id: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[GroupWire]:
    """Return the group of an id."""
    return answer(group_wire(await groups.get(tenant_id, group_id)))


@put("/groups/{group_id:str}", tags=_TAGS, summary="Replace a group", opt=_BODY)
async def update_group(
    group_id: FromPath[str],
    data: JSONBody[GroupBody],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[GroupWire]:
    """Replace a group's name and purpose; its members stay."""
    if group_id == EMBED_GROUP:
        raise Unprocessable(f"the built-in group {EMBED_GROUP} cannot be changed")
    updated = await groups.update(
        tenant_id, group_id, name=data.name or "", purpose_type=data.purpose_type or ""
    )
    await fleet.changed(tenant_id)
    return answer(group_wire(updated))


@delete(
    "/groups/{group_id:str}",
    status_code=200,
    tags=_TAGS,
    summary="Delete a group",
    opt={"refuses": ("403",)},
)
async def delete_group(
    group_id: FromPath[str],
    groups: NamedDependency[GroupStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Delete a group with its assignments; a built-in one stays."""
    if group_id in BUILTIN_GROUPS:
        raise Forbidden(f"the built-in group {group_id} cannot be deleted")
    await groups.delete(tenant_id, group_id)
    await fleet.changed(tenant_id)
    return answer("deleted")


@get("/group-by-name/{name:str}", tags=_TAGS, summary="Find a group by its name")
async def get_group_by_name(
    name: FromPath[str], groups: NamedDependency[GroupStore], tenant_id: NamedDependency[str]
) -> Response[GroupWire]:
    """Return the group of a name."""
    return answer(group_wire(await groups.get_by_name(tenant_id, name)))


@get("/group-by-purpose/{purpose:str}", tags=_TAGS, summary="Find groups by their purpose")
async def list_groups_by_purpose(
    request: Request[Any, Any, Any],
    purpose: FromPath[str],
    page: NamedDependency[PageQuery],
    groups: NamedDependency[GroupStore],
    tenant_id: NamedDependency[str],
) -> Response[list[GroupWire]]:
    """Return the groups of a purpose, newest first."""
    found = await groups.list(tenant_id, purpose_type=purpose, limit=page.limit, cursor=page.cursor)
    return listing(request, [group_wire(group) for group in found.items], found.next_cursor)


GROUPS = (
    create_group,
    list_groups,
    get_group,
    update_group,
    delete_group,
    get_group_by_name,
    list_groups_by_purpose,
)
