"""Listings, refusals and streams as vLLM sends them, behind a transport that stands in for it."""

import httpx
import pytest
from runtime_provider_vllm import VLLMProvider

from runtime_core import errors
from runtime_core.types import BackendConfig, ChatRequest, Message, Usage

HI = ChatRequest(model="m", messages=(Message(role="user", content="hi"),))


def listed(name, **more):
    return {
        "id": name,
        "object": "model",
        "created": 1752345678,
        "owned_by": "vllm",
        "root": name,
        "parent": None,
        "max_model_len": 40960,
        "permission": [{"id": "modelperm-1", "object": "model_permission", "group": None}],
    } | more


@pytest.fixture
def answers():
    return []


@pytest.fixture
async def provider_of(answers):
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: answers.pop(0))
    ) as client:

        def build(**options):
            config = BackendConfig(name="gpu", type="vllm", base_url="http://gpu", options=options)
            return VLLMProvider(config, client)

        yield build


def listing(*models):
    return httpx.Response(200, json={"object": "list", "data": list(models)})


def stream(*events):
    body = "".join(f"data: {event}\n\n" for event in events)
    return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})


async def test_the_context_length_is_the_servers(provider_of, answers):
    adapter = listed("sql-lora", parent="Qwen/Qwen3-8B", max_model_len=None)
    answers.append(listing(listed("Qwen/Qwen3-8B"), adapter))
    base, lora = await provider_of().models()
    assert (base.name, base.context_length) == ("Qwen/Qwen3-8B", 40960)
    assert (lora.name, lora.context_length, lora.can_chat) == ("sql-lora", None, True)


@pytest.mark.parametrize(
    ("name", "task", "embeds"),
    [
        ("Qwen/Qwen3-8B", "auto", False),
        ("Qwen/Qwen3-Embedding-8B", "auto", True),
        ("BAAI/bge-m3", "auto", True),
        ("intfloat/e5-mistral-7b-instruct", "auto", True),
        ("sentence-transformers/all-MiniLM-L6-v2", "auto", True),
        ("mistralai/Gte5-not-an-e55-model", "auto", False),
        ("house-model", "embed", True),
        ("BAAI/bge-m3", "generate", False),
    ],
)
async def test_what_models_do(provider_of, answers, name, task, embeds):
    answers.append(listing(listed(name)))
    (model,) = await provider_of(task=task).models()
    assert (model.can_embed, model.can_chat, model.can_prompt, model.can_stream) == (
        embeds,
        not embeds,
        not embeds,
        not embeds,
    )


async def test_reasoning_apart_from_the_answer(provider_of, answers):
    chunk = '{"id":"c","object":"chat.completion.chunk","model":"m","choices":[%s],"usage":%s}'
    choice = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
    answers.append(
        stream(
            chunk % (choice % ('{"role":"assistant","content":""}', "null"), "null"),
            chunk % (choice % ('{"reasoning_content":"hm"}', "null"), "null"),
            chunk % (choice % ('{"content":"42"}', "null"), "null"),
            chunk % (choice % ('{"content":""}', '"stop"'), "null"),
            chunk % ("", '{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}'),
            "[DONE]",
        )
    )
    chunks = [chunk async for chunk in provider_of().chat(HI)]
    assert [(chunk.text, chunk.reasoning) for chunk in chunks] == [("", "hm"), ("42", ""), ("", "")]
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", Usage(9, 3))


def new_error(text):
    return {"error": old_error(text) | {"object": None}}


def old_error(text):
    return {
        "object": "error",
        "message": text,
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }


@pytest.mark.parametrize("shape", [new_error, old_error])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000.",
            errors.UpstreamContextExceeded,
        ),
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be '
            "set",
            errors.UpstreamRejected,
        ),
    ],
)
async def test_refusals_of_old_and_new_servers(provider_of, answers, shape, text, error):
    answers.append(httpx.Response(400, json=shape(text)))
    with pytest.raises(error) as caught:
        async for _ in provider_of().chat(HI):
            pass
    assert text.split(".")[0] in str(caught.value)
    assert type(caught.value) is error


async def test_a_failure_in_mid_stream(provider_of, answers):
    answers.append(
        stream('{"error":{"message":"EngineCore died","type":"InternalServerError","code":500}}')
    )
    with pytest.raises(errors.UpstreamUnavailable, match="EngineCore died"):
        async for _ in provider_of().chat(HI):
            pass
