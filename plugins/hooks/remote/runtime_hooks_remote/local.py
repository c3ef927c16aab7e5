"""Hooks of this process, as other hooks are described."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime_core.protocols import HookSource
    from runtime_core.types import HookInfo, Tool

__all__ = ("document_of", "local_hooks")

#: Seconds that one source may take to list its hooks.
_PATIENCE = 5.0


async def local_hooks(sources: Iterable[HookSource], tenant_id: str) -> list[HookInfo]:
    """Return the hooks of type ``local`` of all *sources* that can tell; earlier ones win."""
    asked = [asyncio.wait_for(source.hooks(tenant_id), _PATIENCE) for source in sources]
    # a source is a plugin's code: whatever it raises keeps only its own hooks from being listed
    found: dict[str, HookInfo] = {}
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if not isinstance(answer, BaseException):
            for hook in answer:
                if hook.type == "local":
                    found.setdefault(hook.name, hook)
    return list(found.values())


def document_of(hook: HookInfo) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document of a hook's tools: one path a tool."""
    return {
        "openapi": "3.1.0",
        "info": {"title": hook.name, "version": "1", "description": hook.description},
        "paths": {f"/{tool.name}": {"post": _operation(tool)} for tool in hook.tools},
    }


def _operation(tool: Tool) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    return {
        "operationId": tool.name,
        "description": tool.description,
        "requestBody": {
            "required": bool(schema.get("required")),
            "content": {"application/json": {"schema": schema}},
        },
        "responses": {"200": {"description": "the tool's result"}},
    }
