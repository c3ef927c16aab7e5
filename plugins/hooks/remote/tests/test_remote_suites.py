"""What every source of hooks, and every plugin's tables, must be like."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import runtime_hooks_remote
from runtime_hooks_remote import RemoteHooks, RemoteHooksSettings
from runtime_hooks_remote.hook import Draft
from runtime_hooks_remote.injection import Injection

from runtime_core.testing import HookSourceSuite, TableSuite
from runtime_core.types import ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import HookSource, Services
    from runtime_core.types import TableSet


class RegisteredHooks(RemoteHooks):
    """The source with one hook, registered as soon as it runs."""

    def __init__(self, url: str) -> None:
        super().__init__(RemoteHooksSettings())
        self._url = url

    @contextlib.asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        draft = Draft(
            id="pets",
            name="pets",
            endpoint_url=self._url,
            timeout_ms=600_000,
            injection=Injection(
                headers={"Authorization": "Bearer {{secret:suite}}"},
                name="api_key",
                value="{{secret:suite}}",
                place="query",
            ),
        )
        async with super().running(services):
            if await self.rooms.store.find("default", "pets") is None:
                await self.rooms.store.create("default", draft)
            yield


class TestRemoteHooks(HookSourceSuite):
    @pytest.fixture
    def source(self, service: Any, reply: Any) -> HookSource:
        async def refuse(request: Any, connection: Any) -> bytes:
            return bytes(reply(400, {"target": request.target, "headers": request.headers}))

        async def hang(request: Any, connection: Any) -> None:
            await asyncio.Event().wait()

        service.handlers["/pets/refused"] = refuse
        service.handlers["/pets/hanging"] = hang
        service.handlers["/pets/7"] = reply(200, {"id": 7})
        return RegisteredHooks(service.url)

    @pytest.fixture
    def tables(self) -> TableSet:
        return runtime_hooks_remote.register_tables()

    @pytest.fixture
    def works(self) -> ToolRequest:
        return ToolRequest(hook="pets", tool="getPet", arguments={"id": "7"})

    @pytest.fixture
    def result(self) -> Value:
        return Value({"id": 7}, "json")

    @pytest.fixture
    def fails(self) -> ToolRequest:
        return ToolRequest(hook="pets", tool="getPet", arguments={"id": "refused"})

    @pytest.fixture
    def hangs(self) -> ToolRequest:
        return ToolRequest(hook="pets", tool="getPet", arguments={"id": "hanging"})


class TestTables(TableSuite):
    @pytest.fixture
    def tables(self) -> TableSet:
        return runtime_hooks_remote.register_tables()


async def test_credentials_are_sealed_in_the_database(start: Any, tmp_path: Any) -> None:
    from pydantic import SecretStr

    server = await start(secret_key=SecretStr("the-first-secret-key"))
    await server.register(
        "http://127.0.0.1:9",
        headers={"Authorization": "Bearer in-the-clear"},
        properties={"name": "k", "value": "in-the-clear-too", "in": "query"},
    )
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("runtime.db*"))
    assert b"127.0.0.1:9" in kept
    assert b"in-the-clear" not in kept
    assert json.dumps("fernet1:")[1:-1].encode() in kept


async def test_hooks_sealed_with_another_key_are_rows_of_an_error(start: Any, caplog: Any) -> None:
    from pydantic import SecretStr

    first = await start(secret_key=SecretStr("the-first-secret-key"))
    await first.register("http://127.0.0.1:9")
    second = await start(secret_key=SecretStr("quite-another-secret-key"))
    assert (await second.send("GET", "/hooks/remote")).json() == []
    assert "RUNTIME_SECRET_KEY" in caplog.text
    answer = await second.send("GET", "/hooks/remote/by-name/pets")
    assert answer.status_code == 500
    hook = await second.source.hook("default", "pets")
    assert "RUNTIME_SECRET_KEY" in hook.error
    assert await second.source.hooks("default") == [hook]
