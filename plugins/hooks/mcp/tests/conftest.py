"""MCP servers as programs, and links to them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_mcp.backoff import Backoff
from runtime_hooks_mcp.link import Link
from runtime_hooks_mcp.settings import ServerSettings

from runtime_core.types import ToolRequest
from runtime_core.upstream import create_egress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from runtime_core.types import HookInfo

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 60

PROGRAMS = Path(__file__).with_name("programs")
TOOLSERVER = PROGRAMS / "toolserver.py"
LIGHTSERVER = PROGRAMS / "lightserver.py"


@pytest.fixture
def toolserver() -> Callable[..., ServerSettings]:
    """Return the settings of the test server as a program; words are its options."""

    def settings(*options: str, **fields: Any) -> ServerSettings:
        return ServerSettings(
            command=sys.executable, args=(str(TOOLSERVER), "stdio", *options), **fields
        )

    return settings


@pytest.fixture
def lightserver() -> Callable[..., ServerSettings]:
    """Return the settings of a program with few tools, which starts in no time."""

    def settings(**fields: Any) -> ServerSettings:
        # -S -E: nothing but the standard library
        return ServerSettings(command=sys.executable, args=("-S", "-E", str(LIGHTSERVER)), **fields)

    return settings


class Web:
    """The test server behind a URL, as a process."""

    def __init__(self, options: tuple[str, ...]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        """Start it, again on the same port; it takes connections a little later."""
        command = [sys.executable, str(TOOLSERVER), str(self.port), *self._options]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it as a crash does; may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def start_web() -> Iterator[Callable[..., Web]]:
    """Start the test server behind a URL; words are its options."""
    servers: list[Web] = []

    def start(*options: str) -> Web:
        servers.append(Web(options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    """Keep one test server behind a URL for all tests of a module."""
    server = Web(())
    yield server
    server.kill()


class Kept:
    """A link that is kept connected, and what it becomes."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def until(self, wanted: Callable[[HookInfo], object]) -> HookInfo:
        """Wait until the hook is as wanted."""
        async with asyncio.timeout(PATIENCE):
            info = self.link.info
            while not wanted(info):
                info = await self.link.changed()
        return info

    async def up(self) -> HookInfo:
        return await self.until(lambda info: not info.error)

    async def call(self, tool: str, **arguments: Any) -> Any:
        request = ToolRequest(hook=self.link.name, tool=tool, arguments=arguments, caller="model")
        async with asyncio.timeout(PATIENCE):
            return (await self.link.call(request)).data


@pytest.fixture
def keep() -> Callable[..., AbstractAsyncContextManager[Kept]]:
    """Keep a server connected inside a block."""

    @asynccontextmanager
    async def keeping(
        settings: ServerSettings, environ: dict[str, str] | None = None, **secrets: str
    ) -> AsyncIterator[Kept]:
        async def reveal(text: str) -> str:
            for name, value in secrets.items():
                text = text.replace(f"{{{{secret:{name}}}}}", value)
            return text

        link = Link("tools", settings, environ or {}, Backoff(first=0.01, longest=0.05))
        egress = create_egress()
        task = asyncio.create_task(link.run(egress.operator, reveal))
        try:
            yield Kept(link)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await egress.aclose()

    return keeping


@pytest.fixture
def appears() -> Callable[[Path], Any]:
    """Wait for a file that another process makes."""

    async def wait(path: Path) -> None:
        async with asyncio.timeout(PATIENCE):
            while not path.exists():  # noqa: ASYNC110, ASYNC240 - said by another process
                await asyncio.sleep(0.01)

    return wait
