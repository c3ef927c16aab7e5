"""The shapes of requests, answers and errors."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from runtime_core.errors import InvalidRequest, Unprocessable

if TYPE_CHECKING:
    from runtime_core.errors import RuntimeCoreError
    from runtime_core.types import Embeddings

__all__ = (
    "Embedding",
    "EmbeddingList",
    "EmbeddingRequest",
    "Model",
    "ModelList",
    "embeddings_to_wire",
    "error_to_wire",
    "texts_of",
)


class Model(Struct, frozen=True, kw_only=True):
    """A model, or a task chain, that requests can name; ``created`` in unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "system"


class ModelList(Struct, frozen=True, kw_only=True):
    """Everything that requests can name."""

    object: Literal["list"] = "list"
    data: list[Model]


class EmbeddingRequest(Struct, frozen=True):
    """Texts to embed; ``model`` is the server's default when left out."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """One vector: numbers, or little-endian 32-bit floats in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, frozen=True):
    """Tokens, as the backend counted them."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingList(Struct, frozen=True, kw_only=True):
    """One vector a text, in order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def texts_of(request: EmbeddingRequest) -> list[str]:
    """Return the texts to embed.

    :raises InvalidRequest: there are none, or one is empty.
    :raises Unprocessable: tokens in place of texts, or a dimension: backends do not take them.
    """
    if request.dimensions is not None:
        raise Unprocessable(
            "dimensions: vectors have the size the model gives them; leave it out",
            param="dimensions",
        )
    texts = [request.input] if isinstance(request.input, str) else list(request.input)
    if not texts or "" in texts:
        raise InvalidRequest("input: give at least one text, none of them empty", param="input")
    found = [text for text in texts if isinstance(text, str)]
    if len(found) != len(texts):
        raise Unprocessable("input: give texts, not tokens", param="input")
    return found


def embeddings_to_wire(answer: Embeddings, model: str, *, packed: bool) -> EmbeddingList:
    """Return the answer with its vectors as numbers, or *packed* into base64."""
    tokens = answer.usage.prompt_tokens if answer.usage else 0
    return EmbeddingList(
        data=[
            Embedding(index=index, embedding=_pack(vector) if packed else vector)
            for index, vector in enumerate(answer.vectors)
        ],
        model=model,
        usage=EmbeddingUsage(tokens, tokens),
    )


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def error_to_wire(error: RuntimeCoreError) -> bytes:
    """Return the error in the shape that OpenAI's clients read."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return msgspec.json.encode({"error": body})
