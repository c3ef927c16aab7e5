"""The provider against an imitation of Acme, made from Acme's documentation."""

from __future__ import annotations

import json

import acme_models
import pytest

from runtime_core.testing import Answer, ProviderSuite, Reply, WireRequest
from runtime_core.types import ChatRequest, Message, PluginContext

JSON = {"content-type": "application/json"}


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


class AcmeWire:
    model = "acme-large"
    base_path = "/v2"
    options = frozenset({"temperature", "max_tokens"})
    finish_reasons = frozenset({"stop", "length"})

    def operation(self, request: WireRequest):
        return {"/v2/talk": "chat", "/v2/catalogue": "list"}.get(request.path, "other")

    def other(self, request: WireRequest) -> Reply:
        if self.operation(request) != "list":
            return self.failure(404, "no such page")
        return Reply((line({"models": [{"name": self.model, "window": 8192}]}),), 200, JSON)

    def asked(self, request: WireRequest) -> ChatRequest:
        body = request.json()
        turns = [Message(role=turn["by"], content=turn["text"]) for turn in body["turns"]]
        return ChatRequest(
            model=body["model"],
            messages=tuple(turns),
            temperature=body.get("heat"),
            max_tokens=body.get("room"),
        )

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        end = {"end": "full" if answer.finish_reason == "length" else "done"}
        if answer.usage:
            usage = answer.usage
            end["tokens"] = {"in": usage.prompt_tokens, "out": usage.completion_tokens}
        return Reply((*(line({"say": piece}) for piece in answer.text), line(end)), 200, JSON)

    def frame(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def failure(self, status: int, message: str) -> Reply:
        return Reply((line({"problem": message}),), status, JSON)

    def failure_midway(self, message: str) -> bytes:
        return line({"problem": message})


class TestAcme(ProviderSuite, without=("tools", "embeddings")):
    @pytest.fixture
    def provider_factory(self):
        return acme_models.AcmeProvider

    @pytest.fixture
    def wire(self):
        return AcmeWire()


def test_there_is_no_backend_until_it_is_set():
    context = PluginContext("acme", acme_models.AcmeSettings())
    assert list(acme_models.register_backends(context)) == []


def test_the_key_in_the_environment_wins():
    settings = acme_models.AcmeSettings(base_url="https://acme.test/v2", api_key="old")
    context = PluginContext("acme", settings, {"ACME_API_KEY": "new"})
    (backend,) = acme_models.register_backends(context)
    assert (backend.type, backend.base_url) == ("acme", "https://acme.test/v2")
    assert backend.api_key == "new"


def test_what_it_registers_is_what_it_configures():
    settings = acme_models.AcmeSettings(base_url="https://acme.test/v2")
    (backend,) = acme_models.register_backends(PluginContext("acme", settings))
    assert backend.type in acme_models.register_providers()
    assert acme_models.settings_model() is acme_models.AcmeSettings
