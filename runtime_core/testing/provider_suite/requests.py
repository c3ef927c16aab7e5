"""What the provider sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from runtime_core import errors
from runtime_core.protocols import ChatProvider
from runtime_core.testing.provider_suite.base import API_KEY, collect, config_for, said
from runtime_core.testing.wire import Reply
from runtime_core.types import Message

if TYPE_CHECKING:
    import httpx

    from runtime_core.protocols import ProviderFactory
    from runtime_core.testing.upstream import Upstream
    from runtime_core.types import ChatRequest

__all__ = ("RequestTests",)

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}

#: Values whose loss shows; zeros are the ones that careless code drops.
_OPTIONS: list[tuple[str, Any]] = [
    ("temperature", 0.25),
    ("temperature", 0.0),
    ("top_p", 0.5),
    ("max_tokens", 17),
    ("stop", ("END", "STOP")),
    ("seed", 42),
    ("seed", 0),
    ("presence_penalty", 0.75),
    ("frequency_penalty", -0.5),
    ("parallel_tool_calls", False),
    ("response_format", {"type": "json_object"}),
]


class RequestTests:
    """The request on the wire says what the caller asked for."""

    async def test_satisfies_the_protocol(self, provider: ChatProvider) -> None:
        assert isinstance(provider, ChatProvider)

    async def test_building_it_sends_nothing(
        self, provider: ChatProvider, upstream: Upstream
    ) -> None:
        assert (upstream.requests, upstream.listings) == ([], 0)

    async def test_lists_models(self, provider: ChatProvider, upstream: Upstream) -> None:
        models = await provider.models()
        assert upstream.wire.model in [model.name for model in models]
        assert all(model.can_chat or model.can_embed for model in models)

    @pytest.mark.parametrize(
        ("status", "error"),
        [(401, errors.UpstreamUnauthenticated), (500, errors.UpstreamUnavailable)],
    )
    async def test_listing_fails_clearly(
        self, provider: ChatProvider, upstream: Upstream, status: int, error: type[Exception]
    ) -> None:
        upstream.will_list(upstream.wire.failure(status, "no"))
        with pytest.raises(error):
            await provider.models()

    @pytest.mark.parametrize("body", [b"<html>", b"null", b"[1]", b"{}x", b""])
    async def test_listing_that_makes_no_sense(
        self, provider: ChatProvider, upstream: Upstream, body: bytes
    ) -> None:
        upstream.will_list(Reply((body,), 200, {"content-type": "application/json"}))
        with pytest.raises(errors.UpstreamProtocolError):
            await provider.models()

    async def test_sends_the_conversation(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        conversation = (
            Message(role="system", content="Be brief. 简短。"),
            Message(role="user", content="Hi"),
            Message(role="assistant", content=" Hello! "),
            Message(role="user", content='Say "wörld ✓ 🎉"\n\tagain.'),
        )
        await collect(provider, msgspec.structs.replace(question, messages=conversation))
        asked = upstream.wire.asked(upstream.requests[-1])
        assert asked.model == question.model
        assert said(asked.messages) == said(conversation)

    @pytest.mark.parametrize(("option", "value"), _OPTIONS)
    async def test_sends_options(
        self,
        provider: ChatProvider,
        upstream: Upstream,
        question: ChatRequest,
        option: str,
        value: Any,
    ) -> None:
        await collect(provider, msgspec.structs.replace(question, **{option: value}))
        asked = upstream.wire.asked(upstream.requests[-1])
        if option in upstream.wire.options:
            assert getattr(asked, option) == value

    async def test_sends_the_schema_of_the_answer(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        response_format = {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": _SCHEMA},
        }
        await collect(provider, msgspec.structs.replace(question, response_format=response_format))
        asked = upstream.wire.asked(upstream.requests[-1])
        if "response_format" in upstream.wire.options:
            assert asked.response_format is not None
            assert asked.response_format["type"] == "json_schema"
            assert asked.response_format["json_schema"]["schema"] == _SCHEMA

    async def test_leaves_unset_options_to_the_service(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        await collect(provider, question)
        asked = upstream.wire.asked(upstream.requests[-1])
        for option in sorted({name for name, _ in _OPTIONS}):
            assert getattr(asked, option) == getattr(question, option), option
        assert (asked.tools, asked.tool_choice) == ((), None)

    async def test_extra_fields_win(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        extra = {"x_vendor_field": [1, {"a": None}], "model": "another-model"}
        await collect(provider, msgspec.structs.replace(question, extra=extra))
        body = upstream.requests[-1].json()
        assert {name: body.get(name) for name in extra} == extra

    async def test_sends_its_credentials(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        await collect(provider, question)
        request = upstream.requests[-1]
        assert API_KEY in str(request.headers) + request.target

    async def test_sends_json(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        await collect(provider, question)
        request = upstream.requests[-1]
        assert request.method == "POST"
        assert request.headers["content-type"].partition(";")[0] == "application/json"

    async def test_a_slash_after_the_address_does_not_matter(
        self,
        provider_factory: ProviderFactory,
        upstream: Upstream,
        client: httpx.AsyncClient,
        question: ChatRequest,
    ) -> None:
        config = config_for(upstream)
        for address in (config.base_url, f"{config.base_url}/"):
            provider = provider_factory(msgspec.structs.replace(config, base_url=address), client)
            assert isinstance(provider, ChatProvider)
            await collect(provider, question)
        assert len({request.target for request in upstream.requests}) == 1
        assert len(upstream.requests) == 2

    async def test_works_without_a_key(
        self,
        provider_factory: ProviderFactory,
        upstream: Upstream,
        client: httpx.AsyncClient,
        question: ChatRequest,
    ) -> None:
        config = msgspec.structs.replace(config_for(upstream), api_key=None)
        provider = provider_factory(config, client)
        assert isinstance(provider, ChatProvider)
        await collect(provider, question)
        assert "None" not in str(upstream.requests[-1].headers)

    async def test_closes_twice_and_leaves_the_client_open(
        self, provider: ChatProvider, client: httpx.AsyncClient
    ) -> None:
        await provider.aclose()
        await provider.aclose()
        assert not client.is_closed
