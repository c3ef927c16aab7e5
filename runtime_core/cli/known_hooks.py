"""The hooks of a running server, as its routes tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_core.cli.asking import every, say

if TYPE_CHECKING:
    from runtime_core.cli.client import Server

__all__ = ("all_hooks", "hidden_by", "parameters_of")


async def all_hooks(server: Server) -> list[dict[str, Any]]:
    """Return all hooks with their tools; remote ones as they are registered, too.

    Remote hooks that are never used, since another hook has their name, come last.
    """
    registered = {row["name"]: row for row in await _registered(server)}
    known = await say(server, "GET", "hooks")
    rows = [
        {
            **(_as_registered(registered.get(row["name"], {})) if row["type"] == "remote" else {}),
            **row,
            "tools": [tool["function"] for tool in row.get("tools", ())],
        }
        for row in known
    ]
    rows += [
        {**registered[row["name"]], "type": "remote", "tools": [], "error": hidden_by(row)}
        for row in known
        if row["type"] != "remote" and row["name"] in registered
    ]
    return rows


def hidden_by(row: dict[str, Any]) -> str:
    """Say what comes of a remote hook that has the name of the hook *row*."""
    return f"not used: a hook of the type {row['type']} has this name; register it under another"


def _as_registered(row: dict[str, Any]) -> dict[str, Any]:
    """Return a remote hook; what its last good document offers counts, whatever came after it."""
    return {("warning" if name == "error" else name): value for name, value in row.items()}


async def _registered(server: Server) -> list[dict[str, Any]]:
    """Return the remote hooks; none where no plugin has them."""
    from runtime_core.cli.client import Failure

    try:
        return await every(server, "/hooks/remote")
    except Failure as error:
        if error.status != 404:
            raise
        return []


async def parameters_of(server: Server, name: str, tool: str) -> dict[str, Any] | None:
    """Return the schema of a tool's arguments, None when it cannot be known from here.

    A hook or a tool that does not exist is for the server to refuse.
    """
    for row in await all_hooks(server):
        for one in row["tools"] if row["name"] == name else ():
            if one["name"] == tool:
                return one["parameters"] or {}
    return None
