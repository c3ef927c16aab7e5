"""One Ollama server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import Embeddings, Usage
from runtime_core.upstream import Endpoint, ndjson, reported_error
from runtime_provider_ollama.address import address_of
from runtime_provider_ollama.catalogue import Catalogue
from runtime_provider_ollama.pulls import Pulls
from runtime_provider_ollama.wire import AnswerReader, ChatLine, chat_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx

    from runtime_core.types import (
        BackendConfig,
        ChatChunk,
        ChatRequest,
        ModelInfo,
        PullProgress,
    )

__all__ = ("OllamaProvider",)


class _Embedded(Struct):
    embeddings: list[list[float]]
    model: str = ""
    prompt_eval_count: int | None = None


class OllamaProvider:
    """Speaks Ollama's own API: conversations, embeddings, and the models on the server."""

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        self._name = config.name
        self._defaults = dict(config.options)
        base = address_of(config.base_url)
        headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}

        def endpoint(path: str) -> Endpoint:
            return Endpoint(config.name, client, f"{base}/api/{path}", headers)

        self._chat = endpoint("chat")
        self._embed = endpoint("embed")
        self._catalogue = Catalogue(endpoint("tags"), endpoint("show"), endpoint("ps"))
        self._pulls = Pulls(config.name, endpoint("pull"), endpoint("delete"))
        self._decode = msgspec.json.Decoder(ChatLine).decode

    async def models(self) -> Sequence[ModelInfo]:
        """List what is pulled, with context lengths and abilities."""
        return await self._catalogue.models()

    async def loaded(self) -> Sequence[str]:
        """List the models that are in memory."""
        return await self._catalogue.loaded()

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Stream an answer."""
        reader = AnswerReader(self._name)
        body = chat_body(request, self._defaults)
        async with self._chat.stream(body) as response:
            async for raw in ndjson(response):
                line = self._decode(raw)
                if line.error is not None:
                    raise reported_error(self._name, line.error_text, request=response.request)
                yield reader.chunk(line)
                if line.done:
                    return
        raise UpstreamProtocolError(f"{self._name} ended its answer half-way.")

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Return one vector for each text."""
        body = {"model": model, "input": list(texts)}
        if "keep_alive" in self._defaults:
            body["keep_alive"] = self._defaults["keep_alive"]
        answer = await self._embed.post(body, _Embedded)
        if len(answer.embeddings) != len(texts):
            raise UpstreamProtocolError(
                f"{self._name} returned {len(answer.embeddings)} vectors for {len(texts)} texts."
            )
        tokens = answer.prompt_eval_count
        usage = Usage(prompt_tokens=tokens) if tokens is not None else None
        return Embeddings(answer.embeddings, answer.model or model, usage)

    def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Have the server fetch a model; layers it has already are not fetched again."""
        return self._pulls.pull(model)

    async def delete_model(self, model: str) -> None:
        """Have the server delete a model."""
        await self._pulls.delete(model)

    async def aclose(self) -> None:
        """Hold nothing, let go of nothing: the client belongs to the kernel."""
