"""One connection to one MCP server, from its handshake to its end."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from mcp.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    REQUEST_TIMEOUT,
    Implementation,
    ToolListChangedNotification,
)
from pydantic import ValidationError

from runtime_core import __version__
from runtime_core.errors import (
    RuntimeCoreError,
    TaskFailed,
    TimedOut,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.types import Tool
from runtime_hooks_mcp.hops import passed_on
from runtime_hooks_mcp.names import fitted
from runtime_hooks_mcp.results import value_of
from runtime_hooks_mcp.stdio import stdio
from runtime_hooks_mcp.web import web
from runtime_hooks_mcp.wire import UNREACHABLE, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    import mcp_types
    from mcp.client import IncomingMessage, Transport

    from runtime_core.protocols import EgressClient
    from runtime_core.types import Value
    from runtime_hooks_mcp.settings import ServerSettings

__all__ = ("Session", "connected")

_MAX_TOOLS = 10_000
_MAX_PAGES = 1_000
#: How deep arguments may be nested; programs ignore a message beyond what their parser takes.
_MAX_DEPTH = 100
#: Seconds between two readings of the list of tools, however often it is said to change.
_PAUSE = 0.5


@asynccontextmanager
async def connected(
    name: str,
    settings: ServerSettings,
    environ: Mapping[str, str],
    egress: EgressClient,
    reveal: Callable[[str], Awaitable[str]],
) -> AsyncIterator[Session]:
    """Connect, shake hands and read the list of tools.

    :param reveal: replaces ``{{secret:NAME}}`` in a text.
    """
    wire = Wire(name)
    transport = await _transport(settings, wire, environ, egress, reveal)

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            wire.look.set()

    client = Client(
        transport,
        message_handler=heard,
        client_info=Implementation(name="runtime-api", version=__version__),
        read_timeout_seconds=settings.connect_timeout,
        cache=None,
    )
    try:
        async with client:
            session = Session(settings, wire, client)
            await session.read_tools()
            yield session
    except (MCPError, ExceptionGroup) as error:
        raise _cause(error, wire) from error


async def _transport(
    settings: ServerSettings,
    wire: Wire,
    environ: Mapping[str, str],
    egress: EgressClient,
    reveal: Callable[[str], Awaitable[str]],
) -> Transport:
    if settings.transport == "http":
        return web(settings, wire, egress, reveal)
    added = {name: await wire.revealed(value, reveal) for name, value in settings.env.items()}
    return stdio(settings, wire, environ, added)


class Session:
    """A server that answers: its tools, and calls of them.

    ``tools`` are as they are offered here, ``description`` is what the server says of itself.
    """

    def __init__(self, settings: ServerSettings, wire: Wire, client: Client) -> None:
        self._settings = settings
        self._wire = wire
        self._client = client
        self._names: dict[str, str] = {}
        self._with_input: frozenset[str] = frozenset()
        self._required: dict[str, tuple[str, ...]] = {}
        self.tools: tuple[Tool, ...] = ()

    @property
    def description(self) -> str:
        """What the server says it is for, in a line."""
        info = self._client.server_info
        said = (self._client.instructions or "").strip().partition("\n")[0]
        return said or (info and (info.title or info.name)) or ""

    async def read_tools(self) -> None:
        """Read the whole list of tools, page by page.

        :raises UpstreamError: the server does not tell, or its list has no end.
        """
        listed = {tool.name: tool for tool in await self._listed()}
        wanted = self._settings.tools or listed
        self._names = {our: their for our, their in fitted(listed).items() if their in wanted}
        self.tools = tuple(
            _tool(our, listed[their], self._wire.name) for our, their in self._names.items()
        )
        self._with_input = frozenset(tool.name for tool in self.tools if _has_input(tool))
        self._required = {tool.name: _required_by(tool) for tool in self.tools}

    def find(self, name: str) -> str | None:
        """Return a tool's name if there is one; "" stands for the only one."""
        if not name and len(self._names) == 1:
            [name] = self._names
        return name if name in self._names else None

    async def call(self, name: str, arguments: dict[str, Any]) -> Value:
        """Call a tool by its name here.

        :raises TaskFailed: the tool says that it failed, or what it was given or gave is wrong.
        :raises TimedOut: the server took longer than it may.
        :raises UpstreamError: the server is gone, or makes no sense.
        """
        _check(arguments, self._required[name])
        try:
            result = await self._client.call_tool(
                self._names[name],
                arguments,
                read_timeout_seconds=self._settings.timeout,
                meta=passed_on(),
            )
        except MCPError as error:
            raise self._call_failed(error) from error
        except (RuntimeError, ValueError) as error:
            # the SDK's words for a result that is not as announced, or no result at all
            text = self._wire.masked(f"its answer makes no sense: {error}")
            raise UpstreamProtocolError(text) from error
        return value_of(result, self._settings.max_result, self._wire)

    def takes_input(self, name: str) -> bool:
        """Tell whether the tool has a parameter ``input``."""
        return name in self._with_input

    async def serve(self, changed: Callable[[], None]) -> None:
        """Keep the list of tools up to date until the connection ends, then raise why.

        :param changed: called after each reading.
        :raises UpstreamError: the server is gone.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            await self._watch(changed)

    async def _watch(self, changed: Callable[[], None]) -> None:
        # a program that ends is noticed; whoever is behind a URL is asked now and then
        polled = self._settings.transport == "http"
        while True:
            with anyio.move_on_after(self._settings.refresh if polled else float("inf")):
                await self._wire.look.wait()
            self._wire.look.clear()
            if self._wire.ended.is_set():
                raise UpstreamUnavailable(self._wire.reason)
            await self.read_tools()
            changed()
            with anyio.move_on_after(_PAUSE):
                await self._wire.ended.wait()

    async def _listen(self) -> None:
        """Subscribe to changes, where that is how the server tells them."""
        capabilities = self._client.server_capabilities.tools
        if not (capabilities and capabilities.list_changed):
            return
        with suppress(ListenNotSupportedError, SubscriptionLost, MCPError):
            async with self._client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._wire.look.set()
        self._wire.look.set()

    async def _listed(self) -> list[mcp_types.Tool]:
        found: list[mcp_types.Tool] = []
        cursors: set[str] = set()
        page = await self._page(None)
        while True:
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                return found
            if cursor in cursors or len(cursors) == _MAX_PAGES or len(found) > _MAX_TOOLS:
                raise UpstreamProtocolError("its list of tools has no end")
            cursors.add(cursor)
            page = await self._page(cursor)

    async def _page(self, cursor: str | None) -> mcp_types.ListToolsResult:
        try:
            return await self._client.list_tools(cursor=cursor)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            text = self._wire.masked(f"{place}: {first['msg']}")
            raise UpstreamProtocolError(f"its list of tools makes no sense: {text}") from error

    def _call_failed(self, error: MCPError) -> RuntimeCoreError:
        if error.code == REQUEST_TIMEOUT:
            return TimedOut(f"no answer within {self._settings.timeout:g} s")
        if error.code == INVALID_PARAMS:
            return TaskFailed(self._wire.masked(f"it refused the arguments: {error.message}"))
        return _translated(error, self._wire)


def _cause(error: Exception, wire: Wire) -> Exception:
    """Return what is behind an error, which the task groups on its way have wrapped."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return _translated(error, wire) if isinstance(error, MCPError) else error


def _translated(error: MCPError, wire: Wire) -> RuntimeCoreError:
    """Return what an error of the protocol means."""
    if error.code == UNREACHABLE:
        return UpstreamUnavailable(error.message)
    if wire.ended.is_set() or error.code == CONNECTION_CLOSED:
        return UpstreamUnavailable(wire.reason or wire.masked(error.message))
    if error.code == REQUEST_TIMEOUT:
        return UpstreamUnavailable("it does not answer")
    if error.code == METHOD_NOT_FOUND:
        return UpstreamRejected(f"it does not speak MCP as it should: {wire.masked(error.message)}")
    return UpstreamRejected(wire.masked(error.message))


def _tool(name: str, tool: mcp_types.Tool, server: str) -> Tool:
    annotated = tool.annotations.title if tool.annotations else None
    said = (text for text in (tool.description, tool.title, annotated) if text and text.strip())
    return Tool(
        name=name,
        description=next(said, f"The tool {tool.name!r} of the MCP server {server!r}."),
        parameters=tool.input_schema,
    )


def _has_input(tool: Tool) -> bool:
    properties = (tool.parameters or {}).get("properties")
    return isinstance(properties, dict) and "input" in properties


def _required_by(tool: Tool) -> tuple[str, ...]:
    required = (tool.parameters or {}).get("required")
    if not isinstance(required, list):
        return ()
    return tuple(name for name in required if isinstance(name, str))


def _check(arguments: dict[str, Any], required: tuple[str, ...]) -> None:
    """Refuse what the tool cannot take, or what cannot be sent without harm to the connection.

    :raises TaskFailed: an argument is missing, a text holds half a surrogate pair, or a value is
        no JSON or nested too deeply.
    """
    missing = [name for name in required if name not in arguments]
    if missing:
        raise TaskFailed(f"the required arguments are missing: {', '.join(missing)}")
    if not _is_shallow(arguments):
        raise TaskFailed(f"the arguments are nested more than {_MAX_DEPTH} levels deep")
    try:
        msgspec.json.encode(arguments)
    except (TypeError, ValueError) as error:
        raise TaskFailed(f"the arguments cannot be sent as JSON: {error}") from error


def _is_shallow(arguments: dict[str, Any]) -> bool:
    """Whether nothing in *arguments* is nested too deeply; level by level, without recursion."""
    level: list[Any] = [arguments]
    for _ in range(_MAX_DEPTH):
        level = [one for each in level for one in _within(each) if isinstance(one, dict | list)]
        if not level:
            return True
    return False


def _within(node: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node
