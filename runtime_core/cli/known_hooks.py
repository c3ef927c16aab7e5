"""The hooks of a running server, as its routes tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_core.cli.asking import every, find, say

if TYPE_CHECKING:
    from runtime_core.cli.client import Server

__all__ = ("all_hooks", "parameters_of", "to_lint", "with_tools")


async def all_hooks(server: Server) -> list[dict[str, Any]]:
    """Return all hooks: the remote ones, those in the server with their tools, other names."""
    remote = [{**row, "type": "remote"} for row in await _listing(server, "remote")]
    local = [
        {**row, "tools": [tool["function"] for tool in row.get("tools", ())]}
        for row in await _listing(server, "local")
    ]
    known = {row["name"] for row in (*remote, *local)}
    names = [name for name in await say(server, "GET", "supported") if name not in known]
    return [*remote, *local, *({"name": name, "type": "other"} for name in names)]


async def _listing(server: Server, kind: str) -> list[dict[str, Any]]:
    """Return the hooks of a kind; none where no plugin has them."""
    from runtime_core.cli.client import Failure

    try:
        return await every(server, f"/hooks/{kind}")
    except Failure as error:
        if error.status != 404:
            raise
        return []


async def with_tools(server: Server, row: dict[str, Any]) -> dict[str, Any]:
    """Return a hook's *row* with its tools; a remote one's document is loaded for that."""
    if row["type"] != "remote":
        return row
    found = await say(server, "POST", "hooks", "lint", body={"name": row["name"]})
    words = ("name", "description", "parameters")
    tools = [{word: tool[word] for word in words} for tool in found["tools"]]
    return {**row, "tools": tools, "problems": found["problems"]}


async def parameters_of(server: Server, name: str, tool: str) -> dict[str, Any] | None:
    """Return the schema of a tool's arguments, None when it cannot be known from here.

    A hook or a tool that does not exist is for the server to refuse.
    """
    rows = [row for row in await all_hooks(server) if row["name"] == name]
    if not rows:
        return None
    for one in (await with_tools(server, rows[0])).get("tools", ()):
        if one["name"] == tool:
            return one["parameters"] or {}
    return None


async def to_lint(server: Server, name: str) -> dict[str, Any]:
    """Return the body of ``POST /hooks/lint`` for the hook *name*.

    :raises Failure: there is none, or it comes from where no document can be had.
    """
    found = find(await all_hooks(server), name, "hook")
    if found["type"] == "remote":
        return {"name": found["name"]}
    schemas = await say(server, "GET", "hooks", "schemas")
    if found["name"] not in schemas:
        from runtime_core.cli.client import Failure

        raise Failure(f"the hook {found['name']} has no OpenAPI document to look at")
    return {"name": found["name"], "document": schemas[found["name"]]}
