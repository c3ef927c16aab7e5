"""What every source of hooks must be like, with a program and with a URL behind it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_mcp.settings import MCPSettings, ServerSettings
from runtime_hooks_mcp.source import MCPHooks

from runtime_core.testing import HookSourceSuite
from runtime_core.types import ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import HookSource, Services

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 60


class ConnectedHooks(MCPHooks):
    """The source with one server, which is connected as soon as it runs."""

    def __init__(self, server: ServerSettings) -> None:
        super().__init__(MCPSettings(servers={"tools": server}), {})

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        link = self.links["tools"]
        async with super().running(services):
            async with asyncio.timeout(PATIENCE):
                while link.info.error:
                    await link.changed()
            yield


class Calls:
    """What the test server is asked, however it is reached."""

    @pytest.fixture
    def works(self) -> ToolRequest:
        return ToolRequest(hook="tools", tool="add", arguments={"a": 1, "b": 2})

    @pytest.fixture
    def result(self) -> Value:
        return Value("3", "string")

    @pytest.fixture
    def fails(self) -> ToolRequest:
        return ToolRequest(hook="tools", tool="betray")

    @pytest.fixture
    def hangs(self, tmp_path: Any) -> ToolRequest:
        return ToolRequest(hook="tools", tool="wait", arguments={"folder": str(tmp_path)})


class TestProgram(Calls, HookSourceSuite):
    @pytest.fixture
    def source(self, lightserver: Any) -> HookSource:
        return ConnectedHooks(lightserver(env={"KEY": "Bearer {{secret:suite}}"}))


class TestUrl(Calls, HookSourceSuite):
    @pytest.fixture
    def source(self, web: Any) -> HookSource:
        headers = {"Authorization": "Bearer {{secret:suite}}"}
        return ConnectedHooks(ServerSettings(url=web.url, headers=headers))
