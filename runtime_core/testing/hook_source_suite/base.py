"""Fixtures and helpers of the suite."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from os.path import commonprefix
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from pydantic import SecretStr

from runtime_core import hookimpl
from runtime_core.protocols import HookSource, RunningHookSource
from runtime_core.testing.hook_source_suite.secrets import SuiteSecrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import Services
    from runtime_core.types import HookInfo, TableSet, Tool, ToolRequest, Value

__all__ = ("SuiteBase", "called_by_a_model", "find_tool", "opened_source", "with_argument")

_TENANT = "default"


class SuiteBase:
    """The fixtures; an author gives the first four, ``hangs`` where there is such a tool."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def source(self) -> HookSource:
        """Return what the plugin registers, not yet running."""
        raise NotImplementedError("give a fixture 'source'")

    @pytest.fixture
    def works(self) -> ToolRequest:
        """Return a call that works, with every argument the tool requires."""
        raise NotImplementedError("give a fixture 'works', a ToolRequest")

    @pytest.fixture
    def result(self) -> Value:
        """Return the result of that call."""
        raise NotImplementedError("give a fixture 'result', the Value that 'works' gives")

    @pytest.fixture
    def fails(self) -> ToolRequest:
        """Return a call that the tool refuses, or cannot do."""
        raise NotImplementedError("give a fixture 'fails', a ToolRequest")

    @pytest.fixture
    def hangs(self) -> ToolRequest:
        """Return a call that does not end within a minute unless it is cancelled."""
        raise NotImplementedError(
            "give a fixture 'hangs', a ToolRequest, or say that no tool waits for anything: "
            'class Test…(HookSourceSuite, without=("hanging",))'
        )

    @pytest.fixture
    def tables(self) -> TableSet | None:
        """Return what `register_tables` returns, for a source that keeps rows."""
        return None

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio, the loop the server runs on."""
        return "asyncio"

    @pytest.fixture
    def secrets(self) -> SuiteSecrets:
        """Return the operator's secrets; a source may be configured with ``{{secret:suite}}``."""
        return SuiteSecrets()

    @pytest.fixture
    async def services(
        self, source: HookSource, tables: TableSet | None, secrets: SuiteSecrets
    ) -> AsyncIterator[Services | None]:
        """Give the rooms of a server that has nothing installed but the source's tables.

        None for a source that does not ask for them.
        """
        if not isinstance(source, RunningHookSource):
            yield None
            return
        async with _server(tables) as services:
            yield replace(services, secrets=secrets)

    @pytest.fixture
    async def opened(
        self, source: HookSource, services: Services | None
    ) -> AsyncIterator[HookSource]:
        """Give the source, running."""
        async with opened_source(source, services):
            yield source


@asynccontextmanager
async def opened_source(source: HookSource, services: Services | None) -> AsyncIterator[None]:
    """Keep *source* running, where there is something to run."""
    assert isinstance(source, HookSource), (
        "a hook source has the methods `async hooks(tenant_id)` and `async call(request)`"
    )
    if services is not None and isinstance(source, RunningHookSource):
        async with source.running(services):
            yield
    else:
        yield


async def find_tool(source: HookSource, request: ToolRequest) -> Tool:
    """Return the tool that *request* calls, as it is listed."""
    hooks = {hook.name: hook for hook in await source.hooks(request.tenant_id)}
    assert request.hook in hooks, (
        f"hooks() must list {request.hook!r}, which an example calls; it lists {', '.join(hooks)}"
    )
    hook: HookInfo = hooks[request.hook]
    tools = {tool.name: tool for tool in hook.tools}
    assert request.tool in tools, (
        f"hooks() must list the tool {request.tool!r} of {request.hook!r}, which an example calls; "
        f"it lists {', '.join(tools)} {hook.error}"
    )
    return tools[request.tool]


def called_by_a_model(request: ToolRequest) -> ToolRequest:
    """Return the same call, as a model makes it."""
    return structs.replace(request, caller="model", input=None)


def with_argument(request: ToolRequest, name: str, value: Any) -> ToolRequest:
    """Return the same call with one argument replaced, as a model makes it."""
    arguments = {**request.arguments, name: value}
    return called_by_a_model(structs.replace(request, arguments=arguments))


@asynccontextmanager
async def _server(tables: TableSet | None) -> AsyncIterator[Services]:
    # the whole kernel: only a suite that is used pays for importing it
    from runtime_core.app import compose
    from runtime_core.engine.handlers import builtin_handlers
    from runtime_core.plugins import Plugins
    from runtime_core.settings import Settings

    plugin, name = SimpleNamespace(), "suite"
    if tables is not None:
        plugin.register_tables = hookimpl(lambda: tables)
        # the names of tables begin with that of their plugin
        name = commonprefix([*tables.metadata.tables]).rstrip("_") or name  # noqa: RUF071
    settings = Settings(
        database_url="sqlite:///:memory:",
        tokenizer="estimate",
        secret_key=SecretStr("conformance-suite"),
    )
    plugins = Plugins.of({name: plugin}, task_handlers=builtin_handlers())
    async with compose(settings, plugins).running() as kernel:
        yield kernel.services()
