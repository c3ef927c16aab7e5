"""``/taskchains``: stored chains."""

import asyncio
from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.engine.chain import decode_chain, encode_chain
from runtime_core.errors import Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.documents import Problems
from runtime_core.protocols import ChainRunner, ChainStore, Toolbox
from runtime_core.types import Chain

__all__ = ("TASK_CHAINS",)

_EXAMPLE = {
    "id": "ask",
    "description": "Answers a question.",
    "tasks": [
        {
            "id": "answer",
            "handler": "chat_completion",
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}

_BODY = {"example": _EXAMPLE, "body": Chain, "answer": Chain}
_TAGS = ["Task chains"]


@post("/taskchains", status_code=201, tags=_TAGS, summary="Store a chain", opt=_BODY)
async def create_chain(
    data: JSONBody[dict[str, Any]],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> Response[dict[str, Any]]:
    """Store a chain; one of the same id is replaced and keeps its place in the list."""
    chain = decode_chain(data)
    if not chain.id:
        raise Unprocessable("id: this field is required", param="id")
    if not chain.tasks:
        raise Unprocessable("tasks: at least one task is required", param="tasks")
    stored = await chains.put(tenant_id, chain)
    return answer(encode_chain(stored.chain), status=201)


@post(
    "/taskchains/validate",
    status_code=200,
    tags=_TAGS,
    summary="Check a chain",
    opt={"example": _EXAMPLE, "body": Chain},
)
async def validate_chain(
    data: JSONBody[dict[str, Any]],
    runner: NamedDependency[ChainRunner],
    toolbox: NamedDependency[Toolbox],
    tenant_id: NamedDependency[str],
) -> Response[Problems]:
    """Name every problem of a chain without storing or running it."""
    chain = decode_chain(data)
    hooks = await toolbox.hooks(tenant_id)
    # a chain may have thousands of tasks, and others are served meanwhile
    problems = await asyncio.to_thread(runner.check, chain, None, hooks)
    return answer(Problems(valid=not problems, problems=problems))


@get("/taskchains", tags=_TAGS, summary="List chains", opt={"answer": list[Chain]})
async def list_chains(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> Response[list[dict[str, Any]]]:
    """Return stored chains, newest first."""
    found = await chains.list(tenant_id, limit=page.limit, cursor=page.cursor)
    items = [encode_chain(stored.chain) for stored in found.items]
    return listing(request, items, found.next_cursor)


@get("/taskchains/{chain_id:str}", tags=_TAGS, summary="Get a chain", opt={"answer": Chain})
async def get_chain(
    chain_id: FromPath[str], chains: NamedDependency[ChainStore], tenant_id: NamedDependency[str]
) -> Response[dict[str, Any]]:
    """Return a stored chain."""
    stored = await chains.get(tenant_id, chain_id)
    return answer(encode_chain(stored.chain))


@put("/taskchains/{chain_id:str}", tags=_TAGS, summary="Replace a chain", opt=_BODY)
async def update_chain(
    chain_id: FromPath[str],
    data: JSONBody[dict[str, Any]],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> Response[dict[str, Any]]:
    """Replace a stored chain; an id in the body has to be the path's."""
    if data.get("id") not in (None, "", chain_id):
        raise Unprocessable("id: must be empty or the id in the path", param="id")
    stored = await chains.update(tenant_id, decode_chain({**data, "id": chain_id}))
    return answer(encode_chain(stored.chain))


@delete("/taskchains/{chain_id:str}", status_code=200, tags=_TAGS, summary="Delete a chain")
async def delete_chain(
    chain_id: FromPath[str], chains: NamedDependency[ChainStore], tenant_id: NamedDependency[str]
) -> Response[str]:
    """Delete a stored chain."""
    await chains.delete(tenant_id, chain_id)
    return answer(f"task chain {chain_id} deleted")


TASK_CHAINS = (
    create_chain,
    validate_chain,
    list_chains,
    get_chain,
    update_chain,
    delete_chain,
)
