"""Gemini's API, or a server that speaks it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote, urlencode

import httpx
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import Embeddings, Usage
from runtime_core.upstream import Endpoint, sse_data
from runtime_provider_gemini.answers import AnswerReader
from runtime_provider_gemini.catalogue import MAX_PAGES, ModelPage, describe, next_token
from runtime_provider_gemini.failures import failure, refine
from runtime_provider_gemini.options import GeminiOptions
from runtime_provider_gemini.request import encode_chat, encode_embeddings
from runtime_provider_gemini.signatures import Signatures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from runtime_core.types import BackendConfig, ChatChunk, ChatRequest, ModelInfo

__all__ = ("GEMINI_URL", "GeminiProvider")

GEMINI_URL = "https://generativelanguage.googleapis.com"

#: As many models, and as many texts, as the API takes at once.
_PAGE_SIZE: Final = 1000
_BATCH_SIZE: Final = 100

#: How many prepared addresses are kept; names of models come from clients.
_ENDPOINTS: Final = 256


class _Vector(Struct):
    values: list[float]


class _EmbeddingUsage(Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Embedded(Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: _EmbeddingUsage | None = None


class GeminiProvider:
    """The models behind one key.

    :param config: without a ``base_url`` that is Google itself; with one, ``/v1beta`` may follow.
    :param client: the kernel's client.
    :raises SettingsError: an option is unknown or has a wrong value.
    :raises UpstreamUnavailable: the ``base_url`` is no URL.
    """

    default_url: ClassVar[str] = GEMINI_URL

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        self._name = config.name
        self._client = client
        self._options = GeminiOptions.of(config.name, config.options)
        base_url = (config.base_url or GEMINI_URL).rstrip("/").removesuffix("/v1beta")
        self._base_url = f"{base_url}/v1beta"
        self._headers = dict(self._options.headers)
        if config.api_key:
            self._headers["x-goog-api-key"] = config.api_key
        self._signatures = Signatures()
        self._endpoints: dict[str, Endpoint] = {}
        self._listing = self._new_endpoint(f"models?pageSize={_PAGE_SIZE}")
        # errors in the bodies of answers may quote the key: it is recognised by this
        self._asked = httpx.Request("POST", "http://upstream", headers=self._headers)

    async def models(self) -> Sequence[ModelInfo]:
        """List the models of all pages."""
        found: list[ModelInfo] = []
        tokens: set[str] = set()
        endpoint = self._listing
        for _ in range(MAX_PAGES):
            page = await endpoint.get(ModelPage)
            if page.error is not None:
                raise failure(self._name, page.error, self._asked)
            found.extend(describe(model) for model in page.models)
            token = next_token(self._name, page, tokens)
            if token is None:
                return found
            tokens.add(token)
            query = urlencode({"pageSize": _PAGE_SIZE, "pageToken": token})
            endpoint = self._new_endpoint(f"models?{query}")
        raise UpstreamProtocolError(f"{self._name} lists more than {MAX_PAGES} pages of models")

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Stream an answer.

        The last chunk is yielded when the connection has been given back, so that a caller who
        stops there costs nothing.
        """
        body = encode_chat(request, self._options, self._signatures)
        endpoint = self._endpoint(f"{_path(request.model)}:streamGenerateContent?alt=sse")
        reader = AnswerReader(self._name, self._asked, self._signatures)
        async with endpoint.stream(body) as response:
            self._check_media_type(response)
            async with aclosing(sse_data(response)) as events:
                async for data in events:
                    if (chunk := reader.feed(data)) is not None:
                        yield chunk
        yield reader.end()

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Return one vector for each text, in order; no texts are no call."""
        vectors: list[list[float]] = []
        tokens: int | None = None
        for start in range(0, len(texts), _BATCH_SIZE):
            answer = await self._embed(model, texts[start : start + _BATCH_SIZE])
            vectors.extend(vector.values for vector in answer.embeddings)
            if answer.usage_metadata is not None:
                tokens = (tokens or 0) + (answer.usage_metadata.prompt_token_count or 0)
        return Embeddings(vectors, model, Usage(tokens) if tokens is not None else None)

    async def aclose(self) -> None:
        """Let go of nothing: the client is the kernel's."""

    async def _embed(self, model: str, texts: Sequence[str]) -> _Embedded:
        endpoint = self._endpoint(f"{_path(model)}:batchEmbedContents")
        body = encode_embeddings(_resource(model), texts, self._options)
        answer = await endpoint.post(body, _Embedded)
        if len(answer.embeddings) != len(texts):
            raise UpstreamProtocolError(
                f"{self._name} sent {len(answer.embeddings)} vectors for {len(texts)} texts"
            )
        return answer

    def _endpoint(self, path: str) -> Endpoint:
        known = self._endpoints.get(path)
        if known is None:
            if len(self._endpoints) >= _ENDPOINTS:
                self._endpoints.clear()
            known = self._endpoints[path] = self._new_endpoint(path)
        return known

    def _new_endpoint(self, path: str) -> Endpoint:
        url = f"{self._base_url}/{path}"
        return Endpoint(self._name, self._client, url, self._headers, refine=refine)

    def _check_media_type(self, response: httpx.Response) -> None:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in ("", "text/event-stream"):
            raise UpstreamProtocolError(
                f"{self._name} answered with {media_type} where events were due; check the "
                "backend's base URL"
            )


def _resource(model: str) -> str:
    """Return the full name of a model; names are shown and taken without ``models/``."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _path(model: str) -> str:
    collection, _, name = _resource(model).partition("/")
    return f"{collection}/{quote(name, safe='')}"
