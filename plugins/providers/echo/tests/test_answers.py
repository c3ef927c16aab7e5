"""What the model says when nobody scripts it, and how."""

import asyncio
import math

import pytest
from runtime_provider_echo import EchoProvider, EchoSettings, register_backends, register_providers

from runtime_core import errors
from runtime_core.protocols import ChatProvider, EmbeddingProvider
from runtime_core.types import BackendConfig, Message, PluginContext, Usage

TEXTS = ["", " ", "hello", "  two\n\nwords \t", "ünïcödé ✓ 👩🏽‍💻", "\n", "a" * 5000, "x  y\r\nz  "]


async def test_it_is_a_provider_of_both_kinds(echo):
    provider = echo()
    assert isinstance(provider, ChatProvider)
    assert isinstance(provider, EmbeddingProvider)
    await provider.aclose()
    await provider.aclose()


@pytest.mark.parametrize("said", TEXTS)
@pytest.mark.parametrize("chunk_size", [1, 3])
async def test_the_last_user_message_comes_back_to_the_byte(echo, ask, text, said, chunk_size):
    chunks = await ask(echo(chunk_size=chunk_size), "earlier", said)
    assert text(chunks) == said
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


async def test_chunks_are_words_with_the_white_space_before_them(echo, ask):
    chunks = await ask(echo(), " one two\nthree ")
    assert [chunk.text for chunk in chunks] == [" one", " two", "\nthree ", ""]
    chunks = await ask(echo(chunk_size=2), "one two three")
    assert [chunk.text for chunk in chunks] == ["one two", " three", ""]


async def test_usage_counts_words(echo, ask):
    chunks = await ask(echo(), Message(role="system", content="be kind"), "one two  three ")
    assert [chunk.usage for chunk in chunks][-1] == Usage(5, 3)
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_usage_can_be_given_or_left_out(echo, ask):
    given = await ask(echo(usage={"prompt_tokens": 7, "completion_tokens": 9}), "hi")
    assert given[-1].usage == Usage(7, 9)
    assert (await ask(echo(usage=False), "hi"))[-1].usage is None


async def test_max_tokens_and_stop_cut_the_answer(echo, ask, text):
    chunks = await ask(echo(), "one two three", max_tokens=2)
    assert (text(chunks), chunks[-1].finish_reason) == ("one two", "length")
    assert chunks[-1].usage == Usage(3, 2)
    whole = await ask(echo(), "one two", max_tokens=2)
    assert whole[-1].finish_reason == "stop"
    stopped = await ask(echo(), "one two END three", stop=("END", "nowhere"))
    assert (text(stopped), stopped[-1].finish_reason) == ("one two ", "stop")


async def test_tool_results_come_back_where_they_are_last(echo, ask, text):
    results = [Message(role="tool", content=word, tool_call_id="x") for word in ("grey", "cold")]
    assert text(await ask(echo(), "weather?", *results)) == "grey\ncold"


async def test_content_parts_and_other_conversations(echo, ask, text):
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert text(await ask(echo(), Message(role="user", content=parts))) == "look"
    assert text(await ask(echo(), Message(role="system", content="alone"))) == "alone"
    assert text(await ask(echo())) == ""
    prefilled = Message(role="assistant", content="well")
    assert text(await ask(echo(), "ask", prefilled)) == "ask"


async def test_json_is_given_where_json_is_wanted(echo, ask, text):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 3},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "child": {"$ref": "#/$defs/child"},
            "maybe": {"type": ["null", "string"]},
        },
        "$defs": {"child": {"properties": {"ok": {"type": "boolean"}}}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert text(await ask(echo(), "hi", response_format=wanted)) == (
        '{"name": "hi", "age": 3, "kind": "a", "tags": ["hi"], "child": {"ok": true}, '
        '"maybe": null}'
    )
    assert text(await ask(echo(), '{"a": 1}', response_format=wanted)) == '{"a": 1}'
    anything = {"type": "json_object"}
    assert text(await ask(echo(), "hi", response_format=anything)) == '{"text": "hi"}'
    assert text(await ask(echo(), "hi", response_format={"type": "text"})) == "hi"
    endless = {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}
    assert text(await ask(echo(), "hi", response_format=endless)) == "null"


async def test_models(echo):
    chat, embed = await echo().models()
    assert (chat.name, chat.can_chat, chat.can_prompt, chat.can_embed) == (
        "echo",
        True,
        True,
        False,
    )
    assert (embed.name, embed.can_chat, embed.can_prompt, embed.can_embed) == (
        "echo-embed",
        False,
        False,
        True,
    )
    other = echo(chat_models=["a", "b"], embed_models=[], context_length=8)
    assert [(m.name, m.context_length) for m in await other.models()] == [("a", 8), ("b", 8)]


async def test_unknown_models_are_refused(echo, ask):
    with pytest.raises(errors.UpstreamModelNotFound, match=r"'echo-embed'.*it has: echo"):
        await ask(echo(), "hi", model="echo-embed")
    with pytest.raises(errors.UpstreamModelNotFound):
        await echo().embed("echo", ["hi"])


async def test_the_context_length_is_kept(echo, ask):
    provider = echo(context_length=3)
    await ask(provider, "one two three")
    with pytest.raises(errors.UpstreamContextExceeded, match=r"4 tokens.* 3"):
        await ask(provider, "one two three four")


async def test_vectors_are_unit_deterministic_and_similar_where_words_are(echo):
    texts = ["", "the cat sat", "the cat lay", "stock market news", "sat cat the", "the cat sat"]
    result = await echo().embed("echo-embed", texts)
    again = await echo(dimensions=64).embed("echo-embed", texts)
    assert result == again
    assert result.usage == Usage(15, 0)
    assert all(len(vector) == 64 for vector in result.vectors)
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in result.vectors)
    _, sat, lay, stock, turned, same = result.vectors
    assert sat == same
    assert sat != turned
    near = sum(a * b for a, b in zip(sat, lay, strict=True))
    far = sum(a * b for a, b in zip(sat, stock, strict=True))
    assert near > 0.4 > far
    assert (await echo().embed("echo-embed", [])).vectors == []


@pytest.mark.parametrize("dimensions", [1, 2, 1536])
async def test_dimensions(echo, dimensions):
    (vector,) = (await echo(dimensions=dimensions).embed("echo-embed", ["hi"])).vectors
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1.0)


async def test_known_vectors_do_not_change(echo):
    """Stored vectors must stay comparable after an update."""
    (vector,) = (await echo(dimensions=4).embed("echo-embed", ["hello world"])).vectors
    assert [round(x, 4) for x in vector] == [0.383, 0.0703, 0.0316, -0.9205]


def test_the_fallback_backend():
    context = PluginContext(name="echo", settings=EchoSettings(delay_ms=5, priority=7))
    (backend,) = register_backends(context)
    assert (backend.name, backend.type, backend.implicit, backend.priority) == (
        "echo",
        "echo",
        True,
        7,
    )
    assert backend.options == {"delay_ms": 5}
    (plain,) = register_backends(PluginContext(name="echo"))
    assert (plain.priority, plain.options) == (1000, {})
    off = PluginContext(name="echo", settings=EchoSettings(backend=False))
    assert register_backends(off) == ()


async def test_the_backend_is_built_from_settings(ask, text):
    settings = EchoSettings(script=["one", {"text": "two", "then": ["three"]}])
    context = PluginContext(name="echo", settings=settings)
    (backend,) = register_backends(context)
    provider = register_providers(context)["echo"](backend, None)
    assert [text(await ask(provider, "hi")) for _ in range(3)] == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 5}, "delay: "),
        ({"tokens_per_second": 0}, "tokens_per_second: "),
        ({"script": [{"txt": "a"}]}, "script.0.txt: "),
        ({"fail": "418"}, "fail: "),
    ],
)
def test_wrong_options_are_named(echo, options, message):
    with pytest.raises(errors.SettingsError, match=f"'echo'.*{message}"):
        echo(**options)


async def test_options_in_the_address(ask, text):
    def at(url):
        return EchoProvider(BackendConfig(name="e", type="echo", base_url=url))

    provider = at("echo://local?chunk_size=2&chat_models=a&chat_models=b&text=yes%20no%20yes")
    assert [m.name for m in await provider.models()] == ["a", "b", "echo-embed"]
    assert [c.text for c in await ask(provider, "hi", model="b")] == ["yes no", " yes", ""]
    with pytest.raises(errors.SettingsError, match="chunk_size"):
        at("echo://local?chunk_size=many")


async def test_pace_and_delay(echo, ask):
    loop = asyncio.get_running_loop()
    start = loop.time()
    await ask(echo(delay_ms=30, tokens_per_second=100), "one two three four five six")
    assert 0.03 + 0.05 - 0.002 <= loop.time() - start < 2


async def test_pace_counts_tokens_not_chunks(echo, ask):
    loop = asyncio.get_running_loop()
    start = loop.time()
    await ask(echo(tokens_per_second=100, chunk_size=3), "one two three four five six")
    assert 0.03 - 0.002 <= loop.time() - start < 2
