"""The hook source: looks a hook up and calls its function."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import NotFound
from runtime_core.types import HookInfo
from runtime_hooks_local.clock import TIME, Clock, now
from runtime_hooks_local.fetch import HTTP_GET, HttpGet
from runtime_hooks_local.outgoing import Outgoing
from runtime_hooks_local.settings import LocalHooksSettings
from runtime_hooks_local.webhook import WEBHOOK, Webhook
from runtime_hooks_local.words import ECHO, PRINT, echo, print_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from runtime_core.protocols import Services
    from runtime_core.types import Tool, ToolRequest, Value

__all__ = ("LocalHooks",)


class _LocalHook(NamedTuple):
    """A hook of one tool."""

    info: HookInfo
    function: Callable[[ToolRequest], Awaitable[Value]]

    @property
    def tool(self) -> Tool:
        return self.info.tools[0]


class LocalHooks:
    """The hooks of this package; each has one tool, of the same name.

    :param now: tells the time.
    """

    def __init__(
        self, settings: LocalHooksSettings | None = None, *, now: Callable[[], datetime] = now
    ) -> None:
        self._outgoing = Outgoing(settings or LocalHooksSettings())
        hooks = (
            _hook(ECHO, echo),
            _hook(PRINT, print_message),
            _hook(WEBHOOK, Webhook(self._outgoing)),
            _hook(TIME, Clock(now)),
            _hook(HTTP_GET, HttpGet(self._outgoing)),
        )
        self._hooks = {hook.info.name: hook for hook in hooks}
        self._listing = tuple(hook.info for hook in hooks)

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hooks; every tenant has the same."""
        return self._listing

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        """Return a hook, or None."""
        hook = self._hooks.get(name)
        return hook.info if hook else None

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Call other services as long as this is entered."""
        self._outgoing.open(services)
        try:
            yield
        finally:
            self._outgoing.close()

    async def call(self, request: ToolRequest) -> Value:
        """Call a hook's tool; without a tool's name its only one.

        :raises NotFound: there is no such hook or tool.
        :raises TaskFailed: an argument is missing or has the wrong type, or the tool failed.
        :raises UpstreamError: what it calls cannot be reached, or broke.
        """
        hook = self._hooks.get(request.hook)
        if hook is None:
            known = ", ".join(self._hooks)
            raise NotFound(f"unknown local hook {request.hook!r}; there are: {known}")
        if request.tool not in ("", hook.tool.name):
            raise NotFound(
                f"hook {request.hook!r} has no tool {request.tool!r}; its tool is "
                f"{hook.tool.name!r}"
            )
        return await hook.function(request)


def _hook(tool: Tool, function: Callable[[ToolRequest], Awaitable[Value]]) -> _LocalHook:
    info = HookInfo(name=tool.name, type="local", description=tool.description, tools=(tool,))
    return _LocalHook(info, function)
