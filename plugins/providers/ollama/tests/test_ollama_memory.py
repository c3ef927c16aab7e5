"""Which models an Ollama server has in memory."""

from __future__ import annotations

import httpx
import pytest
from runtime_provider_ollama import OllamaProvider

from runtime_core.errors import UpstreamError
from runtime_core.protocols import LoadingProvider
from runtime_core.types import BackendConfig


def provider(status: int, body: object, paths: list[str]) -> OllamaProvider:
    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(f"{request.method} {request.url.path}")
        return httpx.Response(status, json=body)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return OllamaProvider(BackendConfig(name="o", type="ollama", base_url="http://o:1"), client)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ([{"name": "a:latest", "size_vram": 5}, {"name": "b:7b"}], ["a:latest", "b:7b"]),
        ([], []),
        (None, []),
    ],
)
async def test_the_models_in_memory(models: object, names: list[str]) -> None:
    paths: list[str] = []
    asked = provider(200, {"models": models}, paths)
    assert isinstance(asked, LoadingProvider)
    assert await asked.loaded() == names
    assert paths == ["GET /api/ps"]


async def test_a_server_too_old_to_say_is_an_error_of_its_own() -> None:
    with pytest.raises(UpstreamError):
        await provider(404, {"error": "404 page not found"}, []).loaded()
