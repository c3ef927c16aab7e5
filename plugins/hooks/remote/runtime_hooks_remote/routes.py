"""``/hooks``: services that operators register, and what hooks there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.errors import NotFound, RuntimeCoreError, Unprocessable
from runtime_core.http import HookRow, PageQuery, answer, hook_row, listing
from runtime_core.protocols import HookSource, TokenCounter, Toolbox
from runtime_core.types import HookInfo
from runtime_hooks_remote.drafts import draft_of, injection_of
from runtime_hooks_remote.errors import UnreadableDocument
from runtime_hooks_remote.hook import Draft
from runtime_hooks_remote.lint import Lint, lint
from runtime_hooks_remote.loading import Loaded
from runtime_hooks_remote.local import document_of, local_hooks
from runtime_hooks_remote.shapes import Problem
from runtime_hooks_remote.source import RemoteHooks, Rooms
from runtime_hooks_remote.wire import (
    HookBody,
    HookWire,
    LintBody,
    hook_wire,
)

__all__ = ("ROUTES",)

_TAGS = ["Hooks"]
_NAME = "remote"
_EXAMPLE = {
    "name": "pets",
    "endpointUrl": "http://127.0.0.1:8090",
    "timeoutMs": 5000,
    "headers": {"Authorization": "Bearer {{secret:PETS}}"},
}

#: Milliseconds that looking at a hook that is not registered may take, unless it says otherwise.
_LINT_TIMEOUT = 10_000

Sources = Mapping[str, HookSource]


@post(
    "/hooks/remote",
    status_code=201,
    tags=_TAGS,
    summary="Register a remote hook",
    opt={"example": _EXAMPLE, "refuses": ("409",)},
)
async def create_remote_hook(
    data: JSONBody[HookBody],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[HookWire]:
    """Register a service with an OpenAPI document; it is not called before it is used."""
    rooms = _rooms(hook_sources)
    draft = draft_of(data, rooms.egress.operator)
    return answer(hook_wire(await rooms.store.create(tenant_id, draft)), status=201)


@get("/hooks/remote", tags=_TAGS, summary="List remote hooks")
async def list_remote_hooks(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[list[HookWire]]:
    """Return the remote hooks, newest first, with what was last wrong with them; calls none."""
    rooms = _rooms(hook_sources)
    found = await rooms.store.list(tenant_id, limit=page.limit, cursor=page.cursor)
    items = [hook_wire(one, rooms.documents.error_of(tenant_id, one)) for one in found.items]
    return listing(request, items, found.next_cursor)


@get("/hooks/remote/{hook_id:str}", tags=_TAGS, summary="Get a remote hook")
async def get_remote_hook(
    hook_id: FromPath[str],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[HookWire]:
    """Return a remote hook; its credentials are masked."""
    rooms = _rooms(hook_sources)
    found = await rooms.store.get(tenant_id, hook_id)
    return answer(hook_wire(found, rooms.documents.error_of(tenant_id, found)))


@get("/hooks/remote/by-name/{name:str}", tags=_TAGS, summary="Get a remote hook by its name")
async def get_remote_hook_by_name(
    name: FromPath[str],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[HookWire]:
    """Return the remote hook of a name; its credentials are masked."""
    rooms = _rooms(hook_sources)
    found = await rooms.store.named(tenant_id, name)
    return answer(hook_wire(found, rooms.documents.error_of(tenant_id, found)))


@put(
    "/hooks/remote/{hook_id:str}",
    tags=_TAGS,
    summary="Replace a remote hook",
    opt={"example": _EXAMPLE, "refuses": ("409",)},
)
async def update_remote_hook(
    hook_id: FromPath[str],
    data: JSONBody[HookBody],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[HookWire]:
    """Replace a remote hook; a credential sent as it is shown, masked, stays what it is."""
    rooms = _rooms(hook_sources)
    stored = await rooms.store.get(tenant_id, hook_id)
    draft = draft_of(data, rooms.egress.operator, stored=stored)
    updated = await rooms.store.update(tenant_id, draft, old_name=stored.name)
    return answer(hook_wire(updated))


@delete("/hooks/remote/{hook_id:str}", status_code=200, tags=_TAGS, summary="Delete a remote hook")
async def delete_remote_hook(
    hook_id: FromPath[str],
    hook_sources: NamedDependency[Sources],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Delete a remote hook; chains that use it fail from now on."""
    await _rooms(hook_sources).store.delete(tenant_id, hook_id)
    return answer("deleted")


@get("/hooks/local", tags=_TAGS, summary="List local hooks")
async def list_local_hooks(
    hook_sources: NamedDependency[Sources], tenant_id: NamedDependency[str]
) -> Response[list[HookRow]]:
    """Return the hooks that run in this server, with their tools."""
    found = await local_hooks(_others(hook_sources), tenant_id)
    return answer([hook_row(one) for one in found])


@get("/hooks/schemas", tags=_TAGS, summary="Get the OpenAPI documents of hooks")
async def get_hook_schemas(
    hook_sources: NamedDependency[Sources], tenant_id: NamedDependency[str]
) -> Response[dict[str, Any]]:
    """Return an OpenAPI document for each local hook, and each remote one whose document loads."""
    source = _source(hook_sources)
    local = await local_hooks(_others(hook_sources), tenant_id)
    documents: dict[str, Any] = {hook.name: document_of(hook) for hook in local}
    for loaded in await source.loaded(tenant_id):
        documents.setdefault(loaded.info.name, msgspec.Raw(loaded.json()))
    return answer(documents)


@post(
    "/hooks/lint",
    status_code=200,
    tags=_TAGS,
    summary="Look at what a hook offers to models",
    opt={"example": {"name": "pets"}},
)
async def lint_hook(
    data: JSONBody[LintBody],
    hook_sources: NamedDependency[Sources],
    toolbox: NamedDependency[Toolbox],
    tokens: NamedDependency[TokenCounter],
    tenant_id: NamedDependency[str],
) -> Response[Lint]:
    """Load a hook's document now, and say what its tools are and what could be better.

    Looks at any hook there is (``name`` alone), at a service (``endpointUrl``), or at a
    ``document``.
    """
    rooms = _rooms(hook_sources)
    draft = await _draft_to_lint(data, rooms, tenant_id)
    if draft is None:
        hooks = await toolbox.hooks(tenant_id)
        return answer(lint(_named(hooks, data.name), hooks, tokens))
    try:
        loaded = await _loaded(data, draft, rooms, tenant_id)
    except UnreadableDocument as error:
        return answer(Lint(draft.name, problems=[error.problem]))
    except RuntimeCoreError as error:
        return answer(Lint(draft.name, problems=[Problem("", error.message)]))
    return answer(lint(loaded.info, await toolbox.hooks(tenant_id), tokens, loaded))


ROUTES = (
    create_remote_hook,
    list_remote_hooks,
    get_remote_hook,
    get_remote_hook_by_name,
    update_remote_hook,
    delete_remote_hook,
    list_local_hooks,
    get_hook_schemas,
    lint_hook,
)


def _source(sources: Sources) -> RemoteHooks:
    source = sources[_NAME]
    assert isinstance(source, RemoteHooks)  # these routes and that source are one plugin's
    return source


def _rooms(sources: Sources) -> Rooms:
    return _source(sources).rooms


def _others(sources: Sources) -> list[HookSource]:
    return [source for name, source in sources.items() if name != _NAME]


async def _draft_to_lint(data: LintBody, rooms: Rooms, tenant_id: str) -> Draft | None:
    """Return the service to look at, None for a hook that is not remote."""
    if data.document is None and not data.endpoint_url:
        if not data.name:
            raise Unprocessable(
                "name: send the name of a hook, an endpointUrl, or a document", param="name"
            )
        return await rooms.store.find(tenant_id, data.name)
    if data.endpoint_url:
        named = msgspec.structs.replace(
            data, name=data.name or "hook", timeout_ms=data.timeout_ms or _LINT_TIMEOUT
        )
        return draft_of(named, rooms.egress.operator)
    return Draft(
        id="",
        name=data.name or "hook",
        endpoint_url="",
        timeout_ms=_LINT_TIMEOUT,
        injection=injection_of(data),
    )


def _named(hooks: Sequence[HookInfo], name: str | None) -> HookInfo:
    found = next((hook for hook in hooks if hook.name == name), None)
    if found is None:
        raise NotFound(f"unknown hook {name!r}; there are: {', '.join(one.name for one in hooks)}")
    return found


async def _loaded(data: LintBody, draft: Draft, rooms: Rooms, tenant_id: str) -> Loaded:
    seconds = draft.timeout_ms / 1000
    if data.document is not None:
        given = data.document
        content = given.encode() if isinstance(given, str) else msgspec.json.encode(given)
        return await rooms.loader.read(draft, content, seconds=seconds)
    return await rooms.documents.fetch(tenant_id, draft)
