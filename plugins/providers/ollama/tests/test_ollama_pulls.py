"""Models fetched to an Ollama server, and deleted there."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from runtime_provider_ollama import OllamaProvider

from runtime_core.errors import (
    UpstreamModelNotFound,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamUnauthenticated,
    UpstreamUnavailable,
)
from runtime_core.protocols import PullingProvider
from runtime_core.testing import Reply, Upstream
from runtime_core.types import BackendConfig, PullProgress
from runtime_core.upstream import create_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def upstream(ollama_wire: Any) -> Upstream:
    return Upstream(ollama_wire)


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[OllamaProvider]:
    async with httpx.AsyncClient(transport=upstream.transport) as client:
        yield provider_at(upstream.url, client)


def provider_at(url: str, client: httpx.AsyncClient) -> OllamaProvider:
    config = BackendConfig(name="box", type="ollama", base_url=url, api_key="sesame")
    return OllamaProvider(config, client)


async def pull(provider: OllamaProvider, model: str = "phi3:3.8b") -> list[PullProgress]:
    return [progress async for progress in provider.pull(model)]


async def test_it_is_one_that_pulls(provider: OllamaProvider) -> None:
    assert isinstance(provider, PullingProvider)


async def test_bytes_of_layers_are_added_up(provider: OllamaProvider, ollama_wire: Any) -> None:
    a, b = (digest for digest, _ in ollama_wire.pull_layers)
    assert await pull(provider) == [
        PullProgress("pulling manifest"),
        PullProgress("pulling aaaaaaaaaaaa", 0, 1000, a),
        PullProgress("pulling aaaaaaaaaaaa", 500, 1000, a),
        PullProgress("pulling aaaaaaaaaaaa", 1000, 1000, a),
        PullProgress("pulling bbbbbbbbbbbb", 1000, 1024, b),
        PullProgress("pulling bbbbbbbbbbbb", 1012, 1024, b),
        PullProgress("pulling bbbbbbbbbbbb", 1024, 1024, b),
        PullProgress("verifying sha256 digest", 1024, 1024),
        PullProgress("writing manifest", 1024, 1024),
    ]
    assert "phi3:3.8b" in [model.name for model in await provider.models()]


@pytest.mark.parametrize(
    ("text", "kind", "retryable"),
    [
        ("write /root/.ollama/blobs/sha256-1: no space left on device", UpstreamRejected, False),
        ("There is not enough space on the disk.", UpstreamRejected, False),
        ("open /models: permission denied", UpstreamRejected, False),
        ("The model requires a newer version of Ollama.", UpstreamRejected, False),
        ("pull model manifest: file does not exist", UpstreamModelNotFound, False),
        ("max retries exceeded: unexpected EOF", UpstreamUnavailable, True),
        ("dial tcp: lookup registry.ollama.ai: no such host", UpstreamUnavailable, True),
        ("", UpstreamUnavailable, True),
    ],
)
async def test_errors_in_the_stream(
    provider: OllamaProvider,
    ollama_wire: Any,
    text: str,
    kind: type[UpstreamUnavailable],
    retryable: bool,
) -> None:
    for error in (text, {"message": text}):
        ollama_wire.pull_ends = (json.dumps({"error": error}).encode(),)
        with pytest.raises(kind, match=r"^box:") as caught:
            await pull(provider)
        assert type(caught.value) is kind
        assert caught.value.retryable is retryable
        assert text in caught.value.message


@pytest.mark.parametrize("end", [b"", b'{"status": "verifying"}\n'])
async def test_a_stream_that_ends_early_is_no_success(
    provider: OllamaProvider, ollama_wire: Any, end: bytes
) -> None:
    ollama_wire.pull_ends = (end,)
    with pytest.raises(UpstreamProtocolError, match="before it was there"):
        await pull(provider)


async def test_another_service_at_the_address(provider: OllamaProvider, ollama_wire: Any) -> None:
    ollama_wire.pull_ends = (b"<html>",)
    with pytest.raises(UpstreamProtocolError):
        await pull(provider)


async def test_refusals_before_the_stream(provider: OllamaProvider, ollama_wire: Any) -> None:
    with pytest.raises(UpstreamRejected, match="invalid model name"):
        await pull(provider, "")
    ollama_wire.pull = lambda body: ollama_wire.failure(401, "who are you")
    with pytest.raises(UpstreamUnauthenticated):
        await pull(provider)


async def test_models_are_deleted(provider: OllamaProvider, ollama_wire: Any) -> None:
    ollama_wire.pulled.append("org/m:1")
    await provider.delete_model("org/m:1")
    assert ollama_wire.pulled == []
    with pytest.raises(UpstreamModelNotFound, match="'org/m:1' not found"):
        await provider.delete_model("org/m:1")


async def test_on_a_real_socket(upstream: Upstream, ollama_wire: Any) -> None:
    seen: list[Any] = []
    answer = ollama_wire.other

    def spying(request: Any) -> Reply:
        seen.append((request.method, request.path, request.headers["authorization"]))
        return answer(request)

    ollama_wire.other = spying
    async with upstream.serving() as url, create_client() as client:
        provider = provider_at(url, client)
        assert len(await pull(provider)) == 9
        await provider.delete_model("phi3:3.8b")
    assert seen == [
        ("POST", "/api/pull", "Bearer sesame"),
        ("DELETE", "/api/delete", "Bearer sesame"),
    ]


async def test_a_pull_that_is_left_lets_go_of_its_connection(
    provider: OllamaProvider, upstream: Upstream
) -> None:
    async with aclosing(provider.pull("phi3")) as reports:  # type: ignore[type-var]
        await anext(reports)
        assert upstream.open_streams == 1
    assert upstream.open_streams == 0


async def test_a_pull_may_be_silent_for_long(upstream: Upstream) -> None:
    limits: list[dict[str, float | None]] = []
    answer = upstream.transport

    async def spying(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"])
        return await answer.handle_async_request(request)

    timeout = httpx.Timeout(2.0, connect=1.0)
    transport = httpx.MockTransport(spying)
    async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
        provider = provider_at(upstream.url, client)
        await pull(provider)
        await provider.models()
    assert limits[0] == {"connect": 1.0, "read": 1800.0, "write": 2.0, "pool": 2.0}
    assert {one["read"] for one in limits[1:]} == {2.0}
