"""A provider for any server that speaks the protocol, told how by a `Dialect`."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import msgspec
from msgspec import Struct, field

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import Embeddings, ModelInfo
from runtime_core.upstream import Endpoint, sse_data
from runtime_openai_wire.answers import WireModel, decode_embeddings, decode_models
from runtime_openai_wire.request import MaxTokensField, encode_chat, encode_embeddings
from runtime_openai_wire.stream import DONE, ChatDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from runtime_core.types import BackendConfig, ChatChunk, ChatRequest

__all__ = ("Dialect", "OpenAIWireProvider", "describe_model")


#: What the names of embedding models have in them: servers seldom tell what a model is for.
_EMBEDDERS = re.compile(r"embed|(?:^|[/_-])(?:bge|e5|gte|minilm)(?:$|[/_-])", re.IGNORECASE)

#: How long the end of a body may take after the answer's.
_END_SECONDS = 0.05


def describe_model(model: WireModel) -> ModelInfo:
    """Return what is known of a listed model: its name, or its type, tells an embedder.

    The type and the context length are what the server tells; most tell neither.
    """
    embeds = bool(_EMBEDDERS.search(model.id)) or "embed" in (model.type or "").lower()
    length = (
        model.context_length
        or model.context_window
        or model.max_model_len
        or model.max_context_length
    )
    return ModelInfo(
        model.id,
        length,
        can_chat=not embeds,
        can_embed=embeds,
        can_prompt=not embeds,
        can_stream=not embeds,
    )


class Dialect(Struct, frozen=True, kw_only=True):
    """What differs between servers that speak the protocol.

    Paths follow the backend's ``base_url``.  ``auth_scheme`` is the word before the key, "" for
    none.  ``include_usage`` asks for token counts at the end of streams; a few servers refuse the
    question.  ``describe`` tells what a listed model can do.
    """

    chat_path: str = "/chat/completions"
    embeddings_path: str = "/embeddings"
    models_path: str = "/models"
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    max_tokens_field: MaxTokensField = "max_tokens"
    include_usage: bool = True
    embeddings_extra: dict[str, Any] = field(default_factory=dict)
    describe: Callable[[WireModel], ModelInfo] = describe_model


class OpenAIWireProvider:
    """The models of one server.

    :param config: ``base_url`` is what goes before the dialect's paths, ``/v1`` included.
    :param client: the kernel's client.
    :param base_url: used instead of the configuration's, when not empty.
    :param dialect: how this server differs from the protocol's usual form.
    """

    def __init__(
        self,
        config: BackendConfig,
        client: httpx.AsyncClient,
        *,
        base_url: str = "",
        dialect: Dialect | None = None,
    ) -> None:
        self._name = config.name
        base_url = base_url or config.base_url
        self._dialect = dialect = dialect or Dialect()
        headers = dict(dialect.headers)
        if config.api_key:
            headers[dialect.auth_header] = f"{dialect.auth_scheme} {config.api_key}".lstrip()

        def endpoint(path: str) -> Endpoint:
            return Endpoint(config.name, client, _url(base_url, path, dialect), headers)

        self._chat = endpoint(dialect.chat_path)
        self._embeddings = endpoint(dialect.embeddings_path)
        self._models = endpoint(dialect.models_path)
        # errors in the bodies of answers may quote the key: it is recognised by this
        self._asked = httpx.Request("POST", "http://upstream", headers=headers)

    async def models(self) -> Sequence[ModelInfo]:
        """List the server's models."""
        listed = decode_models(self._name, await self._models.get(msgspec.Raw), request=self._asked)
        return [self._dialect.describe(model) for model in listed]

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Stream an answer.

        The last chunk is yielded when the connection has been given back, so that a caller who
        stops there costs nothing.
        """
        body = encode_chat(
            request,
            max_tokens_field=self._dialect.max_tokens_field,
            include_usage=self._dialect.include_usage,
        )
        async with self._chat.stream(body) as response:
            decoder = ChatDecoder(self._name, self._asked)
            media_type = _media_type(response)
            if media_type == "text/html":
                raise UpstreamProtocolError(
                    f"{self._name} answered with a web page; check the backend's base URL"
                )
            if media_type == "application/json":  # asked for, or all it can, or an error
                if (chunk := decoder.feed(await self._chat.read(response))) is not None:
                    yield chunk
            else:
                async with aclosing(sse_data(response)) as events:
                    async for data in events:
                        if data == DONE:
                            await _read_to_end(events)
                            break
                        if (chunk := decoder.feed(data)) is not None:
                            yield chunk
        yield decoder.end()

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Return one vector for each text, in order; no texts are no call."""
        if not texts:
            return Embeddings([], model)
        body = encode_embeddings(model, texts, extra=self._dialect.embeddings_extra)
        answer = await self._embeddings.post(body, msgspec.Raw)
        return decode_embeddings(self._name, answer, len(texts), request=self._asked)

    async def aclose(self) -> None:
        """Let go of nothing: the client is the kernel's."""


def _url(base_url: str, path: str, dialect: Dialect) -> str:
    url = base_url.rstrip("/") + path
    return f"{url}?{urlencode(dialect.query)}" if dialect.query else url


def _media_type(response: httpx.Response) -> str:
    media_type: str = response.headers.get("content-type", "")
    return media_type.partition(";")[0].strip().lower()


async def _read_to_end(events: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a body whose answer is over.

    It has mostly arrived; leaving it unread would close four generators by way of the event loop,
    which costs more than decoding thirty chunks.
    """
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in events:
                pass
