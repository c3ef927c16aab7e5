"""The hook source: each MCP server is one hook."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from runtime_core.errors import NotFound
from runtime_hooks_mcp.endpoint import Endpoint
from runtime_hooks_mcp.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from runtime_core.protocols import Services
    from runtime_core.types import HookInfo, ToolRequest, Value
    from runtime_hooks_mcp.settings import MCPSettings

__all__ = ("MCPHooks",)

#: Whose secrets the settings may name.
_TENANT = "default"


class MCPHooks:
    """The MCP servers of the settings, the same for every tenant; also keeps ``endpoint``."""

    def __init__(self, settings: MCPSettings, environ: Mapping[str, str]) -> None:
        self.endpoint = Endpoint(settings)
        self.links = {
            name: Link(name, server, environ)
            for name, server in settings.servers.items()
            if server.enabled
        }

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the servers; one that is not connected comes with the reason."""
        return [link.info for link in self.links.values()]

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        """Return one server, or None."""
        link = self.links.get(name)
        return None if link is None else link.info

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of a server.

        :raises NotFound: there is no such server, or it has no such tool.
        :raises UpstreamUnavailable: the server is not connected, or just went away.
        """
        link = self.links.get(request.hook)
        if link is None:
            known = ", ".join(self.links) or "none"
            raise NotFound(f"unknown MCP server {request.hook!r}; there are: {known}")
        return await link.call(request)

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Keep the servers connected, without waiting for any, and ``/mcp`` ready to start."""
        reveal = partial(services.secrets.reveal, _TENANT)
        tasks = [
            asyncio.create_task(link.run(services.egress.operator, reveal), name=f"mcp {name}")
            for name, link in self.links.items()
        ]
        try:
            async with self.endpoint.running(services):
                yield
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
