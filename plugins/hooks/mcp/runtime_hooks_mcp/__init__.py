"""MCP servers as hooks, and chains and hooks as an MCP server at ``/mcp``.

The SDK takes half a second to import: nothing here does before a server is configured, or
somebody asks for ``/mcp``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_hooks_mcp.settings import MCPSettings
from runtime_hooks_mcp.source import MCPHooks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from litestar.types import ControllerRouterHandler
    from pydantic import BaseModel

    from runtime_core.protocols import HookSource
    from runtime_core.types import PluginContext

__all__ = ("register_hook_sources", "register_routes", "settings_model")


@hookimpl
def settings_model() -> type[BaseModel]:
    """Describe ``[plugins.mcp-hooks]``."""
    return MCPSettings


@hookimpl
def register_hook_sources(context: PluginContext) -> Mapping[str, HookSource]:
    """Contribute the source named ``mcp``."""
    return {"mcp": MCPHooks(context.settings, context.environ)}


@hookimpl
def register_routes() -> Sequence[ControllerRouterHandler]:
    """Mount ``POST /mcp``."""
    from runtime_hooks_mcp.routes import mcp

    return [mcp]
