"""MCP servers as programs, and links to them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_mcp.backoff import Backoff
from runtime_hooks_mcp.link import Link
from runtime_hooks_mcp.settings import ServerSettings

from runtime_core.types import ToolRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from runtime_core.types import HookInfo

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 60

TOOLSERVER = Path(__file__).with_name("programs") / "toolserver.py"


@pytest.fixture
def toolserver() -> Callable[..., ServerSettings]:
    """Return the settings of the test server as a program; words are its options."""

    def settings(*options: str, **fields: Any) -> ServerSettings:
        return ServerSettings(
            command=sys.executable, args=(str(TOOLSERVER), "stdio", *options), **fields
        )

    return settings


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
        task = asyncio.create_task(link.run(reveal))
        try:
            yield Kept(link)
        finally:
            task.cancel()
            await asyncio.wait((task,))

    return keeping


@pytest.fixture
def appears() -> Callable[[Path], Any]:
    """Wait for a file that another process makes."""

    async def wait(path: Path) -> None:
        async with asyncio.timeout(PATIENCE):
            while not path.exists():  # noqa: ASYNC110, ASYNC240 - said by another process
                await asyncio.sleep(0.01)

    return wait
