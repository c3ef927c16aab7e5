"""Vectors and lists of models."""

import json
from base64 import b64encode
from struct import pack

import pytest
from runtime_openai_wire import WireModel, decode_embeddings, decode_models, describe_model

from runtime_core import errors
from runtime_core.types import Usage


def vectors(*rows, **rest):
    return json.dumps({"data": list(rows), **rest}).encode()


def test_vectors_in_the_order_of_the_texts():
    body = vectors(
        {"index": 1, "embedding": [3, 4.5]},
        {"index": 0, "embedding": [1.0, 2.0]},
        model="m-2",
        usage={"prompt_tokens": 5, "total_tokens": 5},
    )
    result = decode_embeddings("acme", body, 2)
    assert result.vectors == [[1.0, 2.0], [3.0, 4.5]]
    assert (result.model, result.usage) == ("m-2", Usage(5))


def test_vectors_as_base64():
    packed = b64encode(pack("<3f", 0.5, -2.0, 1e-3)).decode()
    (vector,) = decode_embeddings("acme", vectors({"embedding": packed}), 1).vectors
    assert vector == pytest.approx([0.5, -2.0, 1e-3], rel=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        vectors({"embedding": [1.0]}),
        vectors(*[{"embedding": [1.0]}] * 3),
        vectors({"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}),
        vectors({"index": 0, "embedding": [1.0]}, {"embedding": [2.0]}),
        vectors({"embedding": "%%%"}, {"embedding": "AAAA"}),
        vectors({"embedding": "AAAAAA=="}, {"embedding": "AAAAAAA="}),
        vectors({"embedding": [1.0]}, {"embedding": ["x"]}),
        vectors({"index": 1, "embedding": [1.0]}, {"index": 2, "embedding": [2.0]}),
        b"{}",
        b"null",
        b"",
    ],
)
def test_what_is_not_one_vector_a_text(body):
    with pytest.raises(errors.UpstreamProtocolError, match="acme"):
        decode_embeddings("acme", body, 2)


def test_errors_in_place_of_answers():
    body = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    with pytest.raises(errors.UpstreamRateLimited, match="slow down"):
        decode_embeddings("acme", body, 1)
    with pytest.raises(errors.UpstreamRateLimited, match="slow down"):
        decode_models("acme", body)


@pytest.mark.parametrize("body", [b'{"data": [{"id": "a"}]}', b' [{"id": "a", "x": 1}]'])
def test_lists_of_models(body):
    assert [model.id for model in decode_models("acme", body)] == ["a"]


@pytest.mark.parametrize("body", [b"{}", b'{"data": [{}]}', b"[3]", b"null", b"<html>"])
def test_what_is_no_list_of_models(body):
    with pytest.raises(errors.UpstreamProtocolError, match="acme"):
        decode_models("acme", body)


def test_what_models_can_do():
    chat = describe_model(WireModel("gpt-9"))
    assert (chat.can_chat, chat.can_prompt, chat.can_stream, chat.can_embed) == (
        True,
        True,
        True,
        False,
    )
    for model in (WireModel("Text-Embedding-3"), WireModel("bge-m3", type="embedding")):
        embedder = describe_model(model)
        assert (embedder.can_chat, embedder.can_prompt, embedder.can_embed) == (
            False,
            False,
            True,
        )


@pytest.mark.parametrize(
    "field", ["context_length", "context_window", "max_model_len", "max_context_length"]
)
def test_context_lengths_that_servers_tell(field):
    (model,) = decode_models("acme", json.dumps({"data": [{"id": "a", field: 4096}]}).encode())
    assert describe_model(model).context_length == 4096
    assert describe_model(WireModel("a")).context_length is None
