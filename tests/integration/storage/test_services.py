"""What hook sources are given when a server starts, and when."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, text

from runtime_core import hookimpl
from runtime_core.app import compose, load_plugins
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.tables import Name, new_metadata
from runtime_core.types import Chain, TableSet, ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import Services


class Source:
    """Uses each of its services while it opens, and tells when."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.services: Any = None

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        self.services = services
        await services.secrets.put("default", "key", "value")
        self.log.append(await services.secrets.reveal("default", "opened with {{secret:key}}"))
        sealed = services.sealer.seal("text", "here")
        assert "text" not in sealed
        assert services.sealer.open(sealed, "here") == "text"
        # the plugin's own table is there
        assert await services.database.read(text("SELECT count(*) FROM acme")) == [(0,)]
        await services.chains.put("default", Chain(id="made"))
        assert services.runner.check(Chain(id="empty"))
        services.egress.untrusted.check("https://example.com")
        async with services.bus.subscribe("rings") as rings:
            await services.bus.publish("rings", b"ring")
            assert await anext(aiter(rings)) == b"ring"
        yield
        # what it was given is open until it is closed
        self.log.append(await services.secrets.reveal("default", "closed with {{secret:key}}"))

    async def hooks(self, tenant_id: str) -> list[Any]:
        return []

    async def call(self, request: ToolRequest) -> Value:
        raise NotImplementedError


def kernel_with(source: Source, database_url: str) -> Any:
    metadata = new_metadata()
    Table("acme", metadata, Column("tenant_id", Name, primary_key=True))
    tables = TableSet(metadata=metadata, migrations="acme.migrations")
    plugin = SimpleNamespace(
        register_hook_sources=hookimpl(lambda: {"acme": source}),
        register_tables=hookimpl(lambda: tables),
    )
    settings = Settings(
        database_url=database_url, tokenizer="estimate", secret_key="sixteen-characters"
    )
    plugins = Plugins.of({"acme": plugin}, task_handlers=load_plugins(settings).task_handlers)
    return compose(settings, plugins)


async def test_sources_open_after_the_database_and_close_before_it(database_url: str) -> None:
    log: list[str] = []
    source = Source(log)
    kernel = kernel_with(source, database_url)
    async with kernel.running():
        assert log == ["opened with value"]
        assert source.services.toolbox is kernel.toolbox
        assert kernel.toolbox.sources == {"acme": source}
        assert await kernel.secrets.get("default", "key")
    assert log == ["opened with value", "closed with value"]
