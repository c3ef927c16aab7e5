"""Fixtures and helpers of the suite."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from runtime_core.protocols import ChatProvider
from runtime_core.testing.upstream import Upstream
from runtime_core.types import BackendConfig, ChatChunk, ChatRequest, Message
from runtime_core.upstream import create_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from runtime_core.protocols import ProviderFactory
    from runtime_core.testing.wire import ChatWire

__all__ = (
    "API_KEY",
    "READ_TIMEOUT",
    "SOON",
    "SuiteBase",
    "collect",
    "config_for",
    "connected",
    "overridden_tests",
    "said",
    "text_of_chunks",
)

#: Not of a shape that betrays a key: only who knows it can keep it out of messages.
API_KEY = "conformance-4b8f1e0c9a"

#: Seconds in which what must happen at once has to have happened.
SOON = 1.0

#: Seconds without a byte from the imitation after which an impatient client gives up.
READ_TIMEOUT = 0.5

_PATIENT = 30.0


class SuiteBase:
    """The fixtures; an author gives the first two."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def provider_factory(self) -> ProviderFactory:
        """Return what the plugin registers for its backend type."""
        raise NotImplementedError("give a fixture 'provider_factory'")

    @pytest.fixture
    def wire(self) -> ChatWire:
        """Return how the service speaks."""
        raise NotImplementedError("give a fixture 'wire'")

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio, the loop the server runs on."""
        return "asyncio"

    @pytest.fixture
    def upstream(self, wire: ChatWire) -> Upstream:
        """Return the scripted service."""
        return Upstream(wire)

    @pytest.fixture
    async def client(self, upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client whose every request goes to the scripted service, without sockets."""
        async with httpx.AsyncClient(transport=upstream.transport) as client:
            yield client

    @pytest.fixture
    async def provider(
        self, provider_factory: ProviderFactory, upstream: Upstream, client: httpx.AsyncClient
    ) -> AsyncIterator[ChatProvider]:
        """Give the provider, in front of the scripted service without sockets."""
        provider = provider_factory(config_for(upstream), client)
        assert isinstance(provider, ChatProvider)
        yield provider
        await provider.aclose()

    @pytest.fixture
    async def wired(
        self, provider_factory: ProviderFactory, upstream: Upstream
    ) -> AsyncIterator[ChatProvider]:
        """Give the provider, in front of the scripted service on a real socket."""
        async with upstream.serving(), connected(provider_factory, upstream, _PATIENT) as provider:
            yield provider

    @pytest.fixture
    async def impatient(
        self, provider_factory: ProviderFactory, upstream: Upstream
    ) -> AsyncIterator[ChatProvider]:
        """Give the same, with a client that gives up after `READ_TIMEOUT`."""
        async with (
            upstream.serving(),
            connected(provider_factory, upstream, READ_TIMEOUT) as provider,
        ):
            yield provider

    @pytest.fixture
    def question(self, wire: ChatWire) -> ChatRequest:
        """Return the simplest request there is."""
        return ChatRequest(model=wire.model, messages=(Message(role="user", content="Say hello."),))


@asynccontextmanager
async def connected(
    provider_factory: ProviderFactory, upstream: Upstream, read_timeout: float
) -> AsyncIterator[ChatProvider]:
    """Give a provider that uses the kernel's own client."""
    async with create_client(connect_timeout=2.0, read_timeout=read_timeout) as client:
        provider = provider_factory(config_for(upstream), client)
        assert isinstance(provider, ChatProvider)
        yield provider
        await provider.aclose()


def config_for(upstream: Upstream) -> BackendConfig:
    """Return the configuration of a backend at the imitation."""
    return BackendConfig(
        name="conformance",
        type="conformance",
        base_url=upstream.url + upstream.wire.base_path,
        api_key=API_KEY,
    )


async def collect(provider: ChatProvider, request: ChatRequest) -> list[ChatChunk]:
    """Return all chunks of an answer."""
    return [chunk async for chunk in provider.chat(request)]


def text_of_chunks(chunks: list[ChatChunk]) -> str:
    """Return the whole text of an answer."""
    return "".join(chunk.text for chunk in chunks)


def said(messages: tuple[Message, ...]) -> list[tuple[str, object]]:
    """Return roles and contents."""
    return [(message.role, message.content) for message in messages]


def overridden_tests(suite: type, base: type) -> list[str]:
    """Return the names of tests that *suite* replaces without an expected failure's reason."""
    return [
        name
        for name, test in inspect.getmembers(base, inspect.isfunction)
        if name.startswith("test_")
        and getattr(suite, name, None) is not test
        and not _excused(getattr(suite, name, None))
    ]


def tests_of(suites: Iterable[type]) -> set[str]:
    """Return the names of the tests in *suites*."""
    return {name for suite in suites for name in vars(suite) if name.startswith("test_")}


def _excused(test: object) -> bool:
    marks = getattr(test, "pytestmark", ())
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
