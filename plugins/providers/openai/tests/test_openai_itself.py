"""What is special about OpenAI's own address, behind a transport that stands in for it."""

import httpx
import msgspec
import pytest
from runtime_provider_openai import openai_provider

from runtime_core.types import BackendConfig, ChatRequest, Message

MODELS = [
    "gpt-5",
    "text-embedding-3-small",
    "whisper-1",
    "omni-moderation-latest",
    "gpt-4o-mini-tts",
]
STREAM = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def seen():
    return []


@pytest.fixture
async def provider(seen):
    def handle(request):
        seen.append(request)
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": name} for name in MODELS]})
        return httpx.Response(200, content=STREAM, headers={"content-type": "text/event-stream"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        config = BackendConfig(name="openai", type="openai", base_url="", api_key="sk-1")
        yield openai_provider(config, client)


async def test_no_address_is_openai_and_its_newer_token_limit(provider, seen):
    request = ChatRequest(
        model="gpt-5", messages=(Message(role="user", content="hi"),), max_tokens=7
    )
    async for _ in provider.chat(request):
        pass
    (asked,) = seen
    assert str(asked.url) == "https://api.openai.com/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer sk-1"
    body = msgspec.json.decode(asked.content)
    assert body["max_completion_tokens"] == 7
    assert "max_tokens" not in body


async def test_models_that_neither_chat_nor_embed(provider):
    found = {model.name: (model.can_chat, model.can_embed) for model in await provider.models()}
    assert found == {
        "gpt-5": (True, False),
        "text-embedding-3-small": (False, True),
        "whisper-1": (False, False),
        "omni-moderation-latest": (False, False),
        "gpt-4o-mini-tts": (False, False),
    }
