"""``/mcp`` behind the route: started by the first request, ended with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runtime_core.errors import Forbidden, UpstreamUnavailable
from runtime_hooks_mcp.offer import Offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from runtime_core.protocols import Services
    from runtime_hooks_mcp.settings import MCPSettings

__all__ = ("TENANT", "ASGIApp", "Endpoint", "check_caller")

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

#: Scope key: whose chains and tools a request is about.
TENANT = "runtime.mcp.tenant"


class Endpoint:
    """Imports and starts the MCP server when somebody asks for it: most never do."""

    def __init__(self, settings: MCPSettings) -> None:
        self.settings = settings
        self._offer: Offer | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[ASGIApp] | None = None
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Answer requests while the context is open."""
        self._offer = Offer(self.settings, services)
        self._stop = asyncio.Event()
        try:
            yield
        finally:
            self._offer = None
            self._stop.set()
            task, self._task, self._ready = self._task, None, None
            if task is not None:
                await asyncio.wait((task,))

    async def app(self) -> ASGIApp:
        """Return what answers, when it is ready.

        :raises UpstreamUnavailable: this server is about to stop, or has not begun.
        """
        if self._offer is None:
            raise UpstreamUnavailable("the MCP server is not running: this server is stopping")
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._serve(self._offer, self._ready), name="mcp")
        return await asyncio.shield(self._ready)

    async def _serve(self, offer: Offer, ready: asyncio.Future[ASGIApp]) -> None:
        try:
            server = await asyncio.to_thread(import_module, "runtime_hooks_mcp.server")
            async with server.serving(offer) as app:
                ready.set_result(app)
                await self._stop.wait()
        finally:
            if not ready.done():
                ready.set_exception(UpstreamUnavailable("the MCP server cannot be started"))


def check_caller(
    headers: Mapping[str, str],
    settings: MCPSettings,
    *,
    origins: Collection[str],
    open_to_all: bool,
    address: str,
) -> None:
    """Refuse pages of other sites, which a browser on this machine might be made to load.

    :param origins: the origins that may read any answer of this server; ``*`` for all.
    :param open_to_all: no key is needed, so that the name this server was addressed by counts too.
    :param address: where this server listens.
    :raises Forbidden: the page's origin, or that name, is not allowed.
    """
    origin = headers.get("origin")
    if origin is not None and not _is_allowed(origin, {*origins, *settings.allowed_origins}):
        raise Forbidden(
            f"pages of {origin[:200]!r} may not use this MCP server; allow them with "
            "allowed_origins of [plugins.mcp-hooks]"
        )
    host = _host(f"//{headers.get('host', '')}")
    if open_to_all and not _is_own(host, {address, *settings.allowed_hosts}):
        raise Forbidden(
            f"this MCP server is not known as {host[:200]!r}; set TOKEN so that a key is needed, "
            "or allow the name with allowed_hosts of [plugins.mcp-hooks]"
        )


def _is_allowed(origin: str, allowed: Collection[str]) -> bool:
    return "*" in allowed or origin in allowed or _is_loopback(_host(origin))


def _is_own(host: str, names: Collection[str]) -> bool:
    """Tell whether no foreign name can have led here: an address cannot be bound anew."""
    return host in names or _is_loopback(host) or _address(host) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost"


def _address(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
