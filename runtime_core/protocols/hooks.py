"""Where tools come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from runtime_core.protocols.services import Services
    from runtime_core.types import HookInfo, ToolRequest, Value

__all__ = (
    "FindingHookSource",
    "HookSource",
    "RunningHookSource",
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


@runtime_checkable
class FindingHookSource(HookSource, Protocol):
    """A hook source that can look up one hook without listing, or waiting for, all the others."""

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        """Return a hook with its tools, or None; one that is broken now comes with its ``error``.

        Asked before each call: a source that can tell at once that it has no such hook should.
        """
        ...


@runtime_checkable
class RunningHookSource(HookSource, Protocol):
    """A hook source that keeps something open: connections, stored rows, subscriptions."""

    def running(self, services: Services) -> AbstractAsyncContextManager[object]:
        """Open what has to be open; entered before the server listens, left when it stops.

        What raises here costs this source, whose listing then says so, and not the server.
        """
        ...


class Toolbox(Protocol):
    """All hook sources as one, in the order of the names' lookup."""

    async def hooks(
        self, tenant_id: str, names: Collection[str] | None = None
    ) -> Sequence[HookInfo]:
        """List every hook, or those of *names* that there are."""
        ...

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the named hook; an unknown hook is `NotFound`."""
        ...
