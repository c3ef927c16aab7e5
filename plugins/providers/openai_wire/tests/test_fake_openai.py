"""The fake server, judged by OpenAI's own client."""

import asyncio

import openai
import pytest
from runtime_openai_wire.testing import CHAT_MODEL, EMBED_MODEL, FakeOpenAI

ASK = [{"role": "user", "content": "Say hello to  the\nworld ✓"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def fake():
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def client(fake):
    async with openai.AsyncOpenAI(
        base_url=fake.base_url, api_key=fake.api_key, max_retries=0
    ) as client:
        yield client


async def test_an_unscripted_chat_is_echoed(client):
    answer = await client.chat.completions.create(model=CHAT_MODEL, messages=ASK)
    assert answer.choices[0].message.content == ASK[0]["content"]
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 6)
    assert answer.usage.total_tokens == 12


async def test_a_stream_has_pieces_then_finish_then_usage(client, fake):
    fake.will_answer("Hel", "lo ✓", usage=(3, 2))
    stream = await client.chat.completions.create(
        model=CHAT_MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:3]] == ["Hel", "lo ✓"]
    assert chunks[3].choices[0].finish_reason == "stop"
    assert chunks[4].choices == []
    assert chunks[4].usage.total_tokens == 5
    assert len(chunks) == 5


async def test_usage_is_streamed_only_when_asked_for(client):
    stream = await client.chat.completions.create(model=CHAT_MODEL, messages=ASK, stream=True)
    assert all([chunk.usage is None and chunk.choices async for chunk in stream])


async def test_tool_calls_whole_and_streamed(client, fake):
    for _ in range(2):
        fake.will_answer(tool_calls=[("weather", '{"city": "Berlin"}'), ("weather", "{}")])
    whole = await client.chat.completions.create(model=CHAT_MODEL, messages=ASK, tools=[TOOL])
    assert whole.choices[0].finish_reason == "tool_calls"
    calls = whole.choices[0].message.tool_calls
    assert [(c.function.name, c.function.arguments) for c in calls] == [
        ("weather", '{"city": "Berlin"}'),
        ("weather", "{}"),
    ]
    async with client.chat.completions.stream(
        model=CHAT_MODEL, messages=ASK, tools=[TOOL]
    ) as stream:
        streamed = (await stream.get_final_completion()).choices[0].message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in streamed] == [
        (c.id, c.function.name, c.function.arguments) for c in calls
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in streamed]
    asked = {"role": "assistant", "tool_calls": [c.model_dump() for c in calls]}
    again = await client.chat.completions.create(
        model=CHAT_MODEL, messages=[*ASK, asked, *results], tools=[TOOL]
    )
    assert again.choices[0].finish_reason == "stop"


async def test_embeddings_as_floats_and_as_base64(client, fake):
    floats = await client.embeddings.create(
        model=EMBED_MODEL, input=["one", "two words"], encoding_format="float"
    )
    packed = await client.embeddings.create(model=EMBED_MODEL, input=["one", "two words"])
    assert fake.requests[-1].json["encoding_format"] == "base64"
    assert [row.embedding for row in packed.data] == [row.embedding for row in floats.data]
    assert [len(row.embedding) for row in floats.data] == [8, 8]
    assert floats.data[0].embedding != floats.data[1].embedding
    assert floats.usage.prompt_tokens == 3


async def test_models(client):
    assert [model.id async for model in client.models.list()] == [CHAT_MODEL, EMBED_MODEL]
    assert (await client.models.retrieve(CHAT_MODEL)).id == CHAT_MODEL
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": []}, "non-empty"),
        ({"messages": [{"role": "user", "content": None}]}, "null"),
        ({"messages": [{"role": "robot", "content": ""}]}, "robot"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}, "precedes"),
        ({"tool_choice": "auto"}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "name"),
    ],
)
async def test_what_openai_refuses_is_refused(client, changes, message):
    with pytest.raises(openai.BadRequestError, match=message):
        await client.chat.completions.create(**{"model": CHAT_MODEL, "messages": ASK} | changes)


async def test_failures(client, fake):
    fake.will_fail(429, code="rate_limit_exceeded", headers={"retry-after": "7"})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model=CHAT_MODEL, messages=ASK)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nobody", messages=ASK)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").models.list()


async def test_broken_connections(client, fake):
    fake.will_break("Hel")
    received = []

    async def read():
        stream = await client.chat.completions.create(model=CHAT_MODEL, messages=ASK, stream=True)
        async for chunk in stream:
            received.append(chunk.choices[0].delta.content)

    with pytest.raises(openai.APIConnectionError):
        await read()
    assert received == ["", "Hel"]
    fake.will_break()
    with pytest.raises(openai.APIConnectionError):
        await read()
    assert received == ["", "Hel"]


async def test_a_client_that_leaves_is_noticed(client, fake):
    fake.will_answer("a", "b", pause=30)
    stream = await client.chat.completions.create(model=CHAT_MODEL, messages=ASK, stream=True)
    await anext(aiter(stream))
    assert fake.open_streams == 1
    await stream.close()
    assert await asyncio.to_thread(fake.wait_until_idle)
    assert fake.open_streams == 0


def test_sync_clients_work_too(fake):
    with openai.OpenAI(base_url=fake.base_url, api_key=fake.api_key) as client:
        assert client.models.list().data[0].id == CHAT_MODEL
