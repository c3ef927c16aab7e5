"""Keeps one MCP server connected, for as long as this server runs."""

from __future__ import annotations

import asyncio
import logging
import math
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio

from runtime_core.errors import (
    NotFound,
    RuntimeCoreError,
    UpstreamUnavailable,
)
from runtime_core.types import HookInfo
from runtime_hooks_mcp.backoff import Backoff
from runtime_hooks_mcp.refusing import refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from runtime_core.protocols import EgressClient
    from runtime_core.types import ToolRequest, Value
    from runtime_hooks_mcp.session import Session
    from runtime_hooks_mcp.settings import ServerSettings

    _Connected = Callable[
        [str, ServerSettings, Mapping[str, str]], AbstractAsyncContextManager[Session]
    ]

__all__ = ("Link",)

logger = logging.getLogger("runtime.mcp")

#: Seconds a connection has to last for the next failure to count as the first.
_STEADY = 30.0


class Link:
    """One MCP server, which comes and goes; one task owns its connection.

    ``info`` is the hook as it is now, with its tools or the reason why there are none.
    """

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        environ: Mapping[str, str],
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._environ = environ
        self._backoff = backoff or Backoff()
        self._session: Session | None = None
        self._changed = asyncio.Event()
        self.info = self._down("it is being connected")

    async def changed(self) -> HookInfo:
        """Wait until the hook is another than now, and return it."""
        await self._changed.wait()
        return self.info

    async def run(self, egress: EgressClient, reveal: Callable[[str], Awaitable[str]]) -> None:
        """Connect, and connect again, until cancelled.

        :param egress: what requests to a URL go through.
        :param reveal: replaces ``{{secret:NAME}}`` in a text.
        """
        try:
            await self._keep_connected(egress, reveal)
        finally:
            self._tell(self._down("it is not connected"))

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool; without a tool's name the only one.

        :raises UpstreamUnavailable: the server is not connected now.
        :raises NotFound: the server has no such tool.
        :raises TaskFailed: an argument is wrong, or names a secret; or the tool failed.
        """
        refuse_secrets(request, self._settings)
        session = self._session
        if session is None:
            reason = self.info.error or "the connection has ended"
            raise UpstreamUnavailable(f"MCP server {self.name!r} is not there: {reason}")
        name = session.find(request.tool)
        if name is None:
            known = ", ".join(tool.name for tool in session.tools) or "none"
            raise NotFound(
                f"MCP server {self.name!r} has no tool {request.tool!r}; its tools are: {known}"
            )
        try:
            return await session.call(name, self._arguments(session, name, request))
        except RuntimeCoreError as error:
            raise type(error)(f"{self.name}.{name}: {error.message}") from error

    async def _keep_connected(
        self, egress: EgressClient, reveal: Callable[[str], Awaitable[str]]
    ) -> None:
        # half a second of imports, which nobody should wait for
        sessions = await asyncio.to_thread(import_module, "runtime_hooks_mcp.session")
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            reason = await self._attempt(partial(sessions.connected, egress=egress, reveal=reveal))
            if clock() - started > _STEADY:
                self._backoff.reset()
            delay = self._backoff.next()
            self._tell(self._down(reason))
            logger.warning(
                "MCP server %r: %s; connecting again in %.1f s", self.name, reason, delay
            )
            await asyncio.sleep(delay)

    def _arguments(self, session: Session, name: str, request: ToolRequest) -> dict[str, Any]:
        given = request.input
        if given is None or "input" in request.arguments or not session.takes_input(name):
            return request.arguments
        return {**request.arguments, "input": given.data}

    async def _attempt(self, connected: _Connected) -> str:
        """Live through one connection; return why it is over."""
        scope = anyio.CancelScope()
        attempt = asyncio.create_task(self._live(scope, connected), name=self.name)
        try:
            await asyncio.wait((attempt,))
        finally:
            # by its scope, and not the task itself, whose own tidying up must not be cut short
            scope.cancel()
            await _settled(attempt)
        return self._reason(attempt.exception())

    async def _live(self, scope: anyio.CancelScope, connected: _Connected) -> None:
        with scope:
            scope.deadline = anyio.current_time() + self._settings.connect_timeout
            try:
                async with connected(self.name, self._settings, self._environ) as session:
                    scope.deadline = math.inf
                    self._session = session
                    self._tell(self._up(session))
                    await session.serve(lambda: self._tell(self._up(session)))
            finally:
                self._session = None

    def _reason(self, error: BaseException | None) -> str:
        if error is None:
            return f"it did not answer within {self._settings.connect_timeout:g} s"
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, RuntimeCoreError):
            return error.message
        logger.debug("MCP server %r", self.name, exc_info=error)
        return f"{type(error).__name__}: {error}"[:500]

    def _up(self, session: Session) -> HookInfo:
        return HookInfo(
            name=self.name,
            type="mcp",
            description=self._settings.description or session.description or self._unnamed,
            tools=session.tools,
        )

    @property
    def _unnamed(self) -> str:
        return f"The MCP server {self.name!r}."

    def _down(self, reason: str) -> HookInfo:
        description = self._settings.description or self._unnamed
        return HookInfo(name=self.name, type="mcp", description=description, error=reason)

    def _tell(self, info: HookInfo) -> None:
        if info != self.info:
            self.info = info
            self._changed.set()
            self._changed = asyncio.Event()


async def _settled(task: asyncio.Task[None]) -> None:
    """Wait for a task that has been told to end, whatever happens to the one that waits."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
