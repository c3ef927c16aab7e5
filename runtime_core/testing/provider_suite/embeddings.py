"""Texts to vectors, for providers that embed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime_core import errors
from runtime_core.protocols import EmbeddingProvider
from runtime_core.testing.wire import EmbeddingWire, Reply

if TYPE_CHECKING:
    from runtime_core.protocols import ChatProvider
    from runtime_core.testing.upstream import Upstream

__all__ = ("EmbeddingTests",)

_TEXTS = ["", "Zürich ✓", "b\nc"]
_VECTORS = [[0.0, 0.5], [-1.5, 2.25], [1.0, 1e-3]]


class EmbeddingTests:
    """One vector a text, in order, or an error."""

    @pytest.fixture
    def embedder(self, provider: ChatProvider, upstream: Upstream) -> EmbeddingProvider:
        """Return the provider, when it embeds; its wire must then do so too."""
        assert isinstance(provider, EmbeddingProvider), (
            'it does not embed: say so, class Test…(ProviderSuite, without=("embeddings",))'
        )
        assert isinstance(upstream.wire, EmbeddingWire), "the provider embeds, its wire does not"
        return provider

    async def test_embeds_in_order(self, embedder: EmbeddingProvider, upstream: Upstream) -> None:
        upstream.will_embed(_VECTORS)
        result = await embedder.embed(upstream.wire.model, _TEXTS)
        assert result.vectors == _VECTORS
        assert isinstance(upstream.wire, EmbeddingWire)
        asked = [upstream.wire.asked_texts(request) for request in upstream.requests]
        assert [text for texts in asked for text in texts] == _TEXTS

    @pytest.mark.parametrize("vectors", [_VECTORS[:2], [*_VECTORS, [1.0, 1.0]], []])
    async def test_as_many_embeddings_as_texts(
        self, embedder: EmbeddingProvider, upstream: Upstream, vectors: list[list[float]]
    ) -> None:
        upstream.will_embed(vectors)
        with pytest.raises(errors.UpstreamProtocolError):
            await embedder.embed(upstream.wire.model, _TEXTS)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, errors.UpstreamUnauthenticated),
            (404, errors.UpstreamModelNotFound),
            (429, errors.UpstreamRateLimited),
            (400, errors.UpstreamRejected),
            (500, errors.UpstreamUnavailable),
        ],
    )
    async def test_embedding_refusals(
        self,
        embedder: EmbeddingProvider,
        upstream: Upstream,
        status: int,
        error: type[errors.UpstreamError],
    ) -> None:
        upstream.will_fail(status, "the moon is full", {"retry-after": "3"})
        with pytest.raises(error, match="the moon is full") as caught:
            await embedder.embed(upstream.wire.model, _TEXTS)
        assert caught.value.retry_after == 3.0

    @pytest.mark.parametrize("body", [b"<html>", b"null", b"[]", b"{", b'{"data": 3}', b""])
    async def test_embeddings_that_make_no_sense(
        self, embedder: EmbeddingProvider, upstream: Upstream, body: bytes
    ) -> None:
        upstream.will_reply(Reply((body,), 200, {"content-type": "application/json"}))
        with pytest.raises(errors.UpstreamProtocolError):
            await embedder.embed(upstream.wire.model, _TEXTS)
