"""What comes back whole: vectors and lists of models."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import Embeddings, Usage
from runtime_core.upstream import upstream_errors
from runtime_openai_wire.failures import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

__all__ = ("WireModel", "decode_embeddings", "decode_models")

_T = TypeVar("_T")


class WireModel(Struct, frozen=True):
    """One entry of a model list, with the fields that some servers add."""

    id: str
    type: str | None = None
    created: int | float | None = None
    owned_by: str | None = None
    context_length: int | None = None
    context_window: int | None = None
    max_context_length: int | None = None
    max_model_len: int | None = None


class _Models(Struct):
    data: list[WireModel] | None = None
    error: Any = None


class _Vector(Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = 0


class _Vectors(Struct):
    data: list[_Vector] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


_decode_models: msgspec.json.Decoder[_Models | list[WireModel]] = msgspec.json.Decoder(
    _Models | list[WireModel]
)
_decode_vectors = msgspec.json.Decoder(_Vectors)


def decode_models(
    name: str, body: bytes | msgspec.Raw, *, request: httpx.Request | None = None
) -> Sequence[WireModel]:
    """Return the models in the answer *body* of the server called *name*; a bare list is read too.

    :param request: what was asked; its credentials are kept out of messages.
    :raises UpstreamError: the answer is an error.
    :raises UpstreamProtocolError: the answer is no list of models.
    """
    answer = _decoded(_decode_models, name, body)
    if isinstance(answer, list):
        return answer
    if answer.error is not None:
        raise failure(name, answer.error, request)
    if answer.data is None:
        raise UpstreamProtocolError(f"{name} sent a list of models without 'data'")
    return answer.data


def decode_embeddings(
    name: str, body: bytes | msgspec.Raw, count: int, *, request: httpx.Request | None = None
) -> Embeddings:
    """Return the *count* vectors in the answer *body* of the server called *name*.

    Vectors may be lists of numbers or base64 of little-endian 32-bit floats, in any order.

    :param request: what was asked; its credentials are kept out of messages.
    :raises UpstreamError: the answer is an error.
    :raises UpstreamProtocolError: the answer is not one vector for each text.
    """
    answer = _decoded(_decode_vectors, name, body)
    if answer.error is not None:
        raise failure(name, answer.error, request)
    rows = answer.data or []
    if len(rows) != count or not _numbered(rows):
        raise UpstreamProtocolError(f"{name} sent {len(rows)} vectors for {count} texts")
    rows.sort(key=lambda row: row.index or 0)
    usage = Usage(answer.usage.prompt_tokens or 0) if answer.usage is not None else None
    return Embeddings([_vector(name, row.embedding) for row in rows], answer.model or "", usage)


def _decoded(decoder: msgspec.json.Decoder[_T], name: str, body: bytes | msgspec.Raw) -> _T:
    with upstream_errors(name):
        return decoder.decode(body)


def _numbered(rows: list[_Vector]) -> bool:
    """Tell whether the rows are numbered from 0 up in any order, or not at all."""
    indices = [row.index for row in rows]
    return set(indices) == set(range(len(rows))) or not any(index is not None for index in indices)


def _vector(name: str, embedding: list[float] | str) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    try:
        floats = array("f", b64decode(embedding, validate=True))
    except (NotBase64, ValueError) as exc:
        raise UpstreamProtocolError(f"{name} sent a vector that is not base64: {exc}") from exc
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
