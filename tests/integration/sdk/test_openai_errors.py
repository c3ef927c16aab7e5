"""What goes wrong is raised by OpenAI's client as the exception its users catch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_openai_wire.testing import FakeOpenAI

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def failure(call: Callable[[], Any], kind: type[openai.APIStatusError]) -> Any:
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    assert error.body.keys() == {"message", "type", "param", "code"}
    assert error.response.headers["x-request-id"] == error.request_id
    return error


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("told", "kind", "status", "code"),
    [
        (400, openai.InternalServerError, 502, "upstream_error"),
        (401, openai.InternalServerError, 502, "upstream_error"),
        (429, openai.RateLimitError, 429, "rate_limit_exceeded"),
        (500, openai.InternalServerError, 502, "upstream_error"),
        (503, openai.InternalServerError, 502, "upstream_error"),
    ],
)
def test_a_backend_that_refuses(
    client: openai.OpenAI,
    place: Any,
    upstream: FakeOpenAI,
    told: int,
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
    stream: bool,
) -> None:
    upstream.will_fail(told, "no, thank you", headers={"retry-after": "7"})
    error = failure(
        lambda: client.chat.completions.create(model=place.model, messages=HELLO, stream=stream),
        kind,
    )
    assert (error.status_code, error.code) == (status, code)
    assert upstream.api_key not in error.message
    if told == 429:
        assert error.response.headers["retry-after"] == "7"


def test_a_prompt_that_is_too_long(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_fail(400, "too long", code="context_length_exceeded")
    error = failure(
        lambda: client.chat.completions.create(model=place.model, messages=HELLO),
        openai.BadRequestError,
    )
    assert (error.code, error.type) == ("context_length_exceeded", "invalid_request_error")


def test_a_stream_that_breaks_says_so(
    client: openai.OpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    upstream.will_break("so", " far")
    stream = client.chat.completions.create(model=place.model, messages=HELLO, stream=True)
    heard: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        heard.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(heard) == "so far"
    assert caught.value.code == "upstream_error"
    assert type(caught.value) is openai.APIError


def test_an_unknown_model(client_of: Callable[..., openai.OpenAI]) -> None:
    for model in ("gpt-none", "chain:none"):
        error = failure(
            lambda model=model: client_of().chat.completions.create(model=model, messages=HELLO),
            openai.NotFoundError,
        )
        assert (error.code, error.param) == ("model_not_found", "model")
    error = failure(
        lambda: client_of().embeddings.create(model="gpt-none", input="x"), openai.NotFoundError
    )
    assert (error.code, error.param) == ("model_not_found", "model")


def test_a_model_that_only_embeds(client_of: Callable[..., openai.OpenAI]) -> None:
    error = failure(
        lambda: client_of().chat.completions.create(model="text-embedding-fake", messages=HELLO),
        openai.BadRequestError,
    )
    assert error.param == "model"
    assert "/v1/embeddings" in error.message
    assert client_of().models.retrieve("text-embedding-fake").id == "text-embedding-fake"


def test_an_unknown_chain(client_of: Callable[..., openai.OpenAI]) -> None:
    client = client_of("/openai/none/v1")
    error = failure(
        lambda: client.chat.completions.create(model="m", messages=HELLO), openai.NotFoundError
    )
    assert error.code == "not_found"


def test_a_chain_that_cannot_run(client_of: Callable[..., openai.OpenAI]) -> None:
    client = client_of("/openai/broken/v1")
    for stream in (False, True):
        error = failure(
            lambda stream=stream: client.chat.completions.create(
                model="m", messages=HELLO, stream=stream
            ),
            openai.BadRequestError,
        )
        assert error.code == "invalid_chain"
        assert "no_such_handler" in error.message


@pytest.mark.parametrize("path", ["/v1", "/openai/ask/v1"])
def test_a_key_is_needed(client_of: Callable[..., openai.OpenAI], path: str) -> None:
    client = client_of(path, api_key="not-the-key")
    for call in (
        lambda: client.chat.completions.create(model="gpt-fake", messages=HELLO),
        lambda: client.chat.completions.create(model="gpt-fake", messages=HELLO, stream=True),
        lambda: list(client.models.list()),
        lambda: client.embeddings.create(model="text-embedding-fake", input="x"),
    ):
        with pytest.raises(openai.AuthenticationError) as caught:
            call()
        assert (caught.value.status_code, caught.value.code) == (401, "unauthorized")
        assert caught.value.type == "authentication_error"
        assert caught.value.body.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "emperor", "content": "x"}]}, "messages.0.role"),
        ({"messages": HELLO, "temperature": "hot"}, "temperature"),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, "tools.0.function"),
    ],
)
def test_a_body_of_the_wrong_form(
    client: openai.OpenAI, place: Any, body: dict[str, Any], param: str
) -> None:
    error = failure(
        lambda: client.post(
            "/chat/completions", body={"model": place.model, **body}, cast_to=object
        ),
        openai.UnprocessableEntityError,
    )
    assert (error.code, error.param) == ("unprocessable_entity", param)


@pytest.mark.parametrize("given", ["", []])
def test_nothing_to_embed(client: openai.OpenAI, given: Any) -> None:
    error = failure(
        lambda: client.embeddings.create(model="text-embedding-fake", input=given),
        openai.BadRequestError,
    )
    assert error.param == "input"
