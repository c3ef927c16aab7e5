"""A service on a real socket, and local hooks that may call it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_local.settings import LocalHooksSettings
from runtime_hooks_local.source import LocalHooks

from runtime_core.testing.hook_source_suite.secrets import SuiteSecrets
from runtime_core.testing.loopback import serve
from runtime_core.upstream import create_egress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from runtime_core.testing import WireRequest
    from runtime_core.testing.loopback import Exchange
    from runtime_core.types import ToolRequest

JSON = {"content-type": "application/json"}


class Service:
    """Answers what it is told to, and keeps what it is sent.

    ``/wait`` never answers, ``/echo`` answers with what it was sent, headers included;
    ``/copy`` does so as well, and always with 200; ``/pour`` sends a little and never ends.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[WireRequest] = []
        self.will_answer(200, b'{"ok": true}', JSON)

    def will_answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.answer = (status, body, headers or {})

    @property
    def last(self) -> WireRequest:
        return self.requests[-1]

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    async def respond(self, request: WireRequest, exchange: Exchange) -> None:
        self.requests.append(request)
        if request.path == "/wait":
            await asyncio.Event().wait()
        status, body, headers = self.answer
        if request.path in ("/echo", "/copy"):
            sent = {"headers": request.headers, "body": request.body.decode()}
            body, headers = json.dumps(sent).encode(), JSON
        if request.path == "/copy":
            status = 200
        exchange.begin(status, headers)
        await exchange.send(body)
        if request.path == "/pour":
            await asyncio.Event().wait()
        exchange.end()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with serve(service.respond, lambda: None) as service.url:
        yield service


@pytest.fixture
def secrets() -> SuiteSecrets:
    return SuiteSecrets()


@pytest.fixture
def running(
    service: Service, secrets: SuiteSecrets
) -> Callable[..., AbstractAsyncContextManager[LocalHooks]]:
    """Open local hooks that trust the service unless told otherwise; words are settings."""

    @asynccontextmanager
    async def open_hooks(
        *, untrusted_private: bool = False, **settings: Any
    ) -> AsyncIterator[LocalHooks]:
        settings = {"private_hosts": (service.host,), **settings}
        source = LocalHooks(LocalHooksSettings(**settings))
        egress = create_egress(untrusted_private=untrusted_private)
        try:
            async with source.running(SimpleNamespace(egress=egress, secrets=secrets)):
                yield source
        finally:
            await egress.aclose()

    return open_hooks


@pytest.fixture
async def source(running: Any) -> AsyncIterator[LocalHooks]:
    async with running() as source:
        yield source


@pytest.fixture
def as_task() -> Callable[..., ToolRequest]:
    from runtime_core.types import ToolRequest

    def request(hook: str, value: Any = None, **arguments: Any) -> ToolRequest:
        return ToolRequest(hook=hook, tool=hook, arguments=arguments, input=value)

    return request


@pytest.fixture
def as_model() -> Callable[..., ToolRequest]:
    from runtime_core.types import ToolRequest

    def request(hook: str, **arguments: Any) -> ToolRequest:
        return ToolRequest(hook=hook, tool=hook, arguments=arguments, caller="model")

    return request
