"""Where tools come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.types import HookInfo, ToolRequest, Value

__all__ = (
    "HookSource",
    "Toolbox",
)


@runtime_checkable
class HookSource(Protocol):
    """Where hooks come from: code in this process, an OpenAPI service, an MCP server."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hooks of this source; one that is broken now comes with its ``error``."""
        ...

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool and return its result.

        :raises NotFound: the hook has no such tool.
        :raises TaskFailed: the tool ran and failed, or its arguments are wrong.
        :raises UpstreamError: the service behind it cannot be reached, or broke.
        """
        ...


class Toolbox(Protocol):
    """All hook sources as one, in the order of the names' lookup."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List every hook."""
        ...

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the named hook; an unknown hook is `NotFound`."""
        ...
