"""A task of three tools, finished by OpenAI's client: its own tools, the server's, and both."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

USER = {"role": "user", "content": "Order two chairs, and tell me what they cost."}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "find": lambda name: {"id": f"{name}-1"},
    "price": lambda id: 42.5,
    "order": lambda id, amount: f"ordered {amount} of {id}",
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in FUNCTIONS
]
FIND, PRICE, ORDER = (
    ("find", '{"name": "chair"}'),
    ("price", '{"id": "chair-1"}'),
    ("order", '{"id": "chair-1", "amount": 2}'),
)


@pytest.fixture
async def client(place: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=place.agent, api_key="none", max_retries=0, timeout=20
    ) as client:
        yield client


def will_use(place: Any, *turns: list[tuple[str, str]], prefix: str = "") -> None:
    """Script the model: turns of tool calls, then an answer."""
    for calls in turns:
        named = [(prefix + name, arguments) for name, arguments in calls]
        place.upstream.will_answer("Working. ", tool_calls=named, usage=(10, 5))
    place.upstream.will_answer("85 ", "in all.", usage=(20, 7))


def results(calls: Any) -> list[dict[str, str]]:
    """Do what a client does with the calls of its own tools."""
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": json.dumps(
                FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
            ),
        }
        for call in calls
    ]


async def use_own_tools(client: openai.AsyncOpenAI, **options: Any) -> tuple[str, list[str]]:
    """Go on until there is an answer; return it and the names of the tools used."""
    messages: list[Any] = [USER]
    used: list[str] = []
    while True:
        answer = await client.chat.completions.create(
            model="agent", messages=messages, tools=TOOLS, **options
        )
        [choice] = answer.choices
        if choice.finish_reason != "tool_calls":
            return choice.message.content or "", used
        messages.append(choice.message.model_dump(exclude_none=True))
        messages += results(choice.message.tool_calls)
        used += [call.function.name for call in choice.message.tool_calls or ()]


async def use_own_tools_streaming(client: openai.AsyncOpenAI) -> tuple[str, list[str]]:
    messages: list[Any] = [USER]
    used: list[str] = []
    while True:
        async with client.chat.completions.stream(
            model="agent", messages=messages, tools=TOOLS
        ) as stream:
            [choice] = (await stream.get_final_completion()).choices
        if choice.finish_reason != "tool_calls":
            return choice.message.content or "", used
        messages.append(choice.message.model_dump(exclude_none=True))
        messages += results(choice.message.tool_calls)
        used += [call.function.name for call in choice.message.tool_calls or ()]


async def frames(client: openai.AsyncOpenAI, **options: Any) -> list[Any]:
    stream = await client.chat.completions.create(
        model="agent", messages=[USER], stream=True, **options
    )
    return [chunk async for chunk in stream]


def text(chunks: list[Any]) -> str:
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


# -------------------------------------------------------------------------
# The client's tools
# -------------------------------------------------------------------------


@pytest.mark.parametrize("use", [use_own_tools, use_own_tools_streaming])
@pytest.mark.parametrize("turns", [[[FIND], [PRICE], [ORDER]], [[FIND, PRICE, ORDER]]])
async def test_a_client_uses_its_own_three_tools(
    place: Any, client: openai.AsyncOpenAI, use: Any, turns: Any
) -> None:
    will_use(place, *turns)
    answer, used = await use(client)
    assert (answer, used) == ("85 in all.", ["find", "price", "order"])
    assert place.shop.calls == []
    contents = [content for role, content in place.asked() if role == "tool"]
    assert contents == ['{"id": "chair-1"}', "42.5", '"ordered 2 of chair-1"']


# -------------------------------------------------------------------------
# The server's tools
# -------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [[[FIND], [PRICE], [ORDER]], [[FIND, PRICE, ORDER]]])
async def test_the_server_uses_its_own_three_tools(
    place: Any, client: openai.AsyncOpenAI, turns: Any
) -> None:
    will_use(place, *turns, prefix="shop_")
    answer = await client.chat.completions.create(model="agent", messages=[USER])
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("85 in all.", "stop")
    assert choice.message.tool_calls is None
    assert [name for name, _ in place.shop.calls] == ["find", "price", "order"]
    assert answer.usage.prompt_tokens == 10 * len(turns) + 20
    assert answer.usage.completion_tokens == 5 * len(turns) + 7
    names = [tool["function"]["name"] for tool in place.upstream.requests[-1].json["tools"]]
    assert names == ["shop_find", "shop_price", "shop_order"]


async def test_a_stream_shows_one_answer_and_no_tools(
    place: Any, client: openai.AsyncOpenAI
) -> None:
    will_use(place, [FIND], [PRICE, ORDER], prefix="shop_")
    chunks = await frames(client, stream_options={"include_usage": True})
    assert text(chunks) == "Working. \n\nWorking. \n\n85 in all."
    *answer, last = chunks
    assert [one.choices[0].delta.role for one in answer if one.choices[0].delta.role] == [
        "assistant"
    ]
    reasons = [one.choices[0].finish_reason for one in answer]
    assert reasons == [None] * (len(answer) - 1) + ["stop"]
    assert all(one.choices[0].delta.tool_calls is None for one in answer)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (40, 17)
    assert len({one.id for one in chunks}) == 1


async def test_a_quiet_stream_is_kept_open_while_a_tool_runs(start: Any) -> None:
    place = await start(RUNTIME_SSE_HEARTBEAT="0.02")
    gate = asyncio.Event()

    async def slow(**arguments: Any) -> str:
        await gate.wait()
        return "found"

    place.shop.tools["find"] = slow
    place.upstream.will_answer(tool_calls=[("shop_find", "{}")])
    place.upstream.will_answer("Done.")
    seen: list[str] = []
    async with (
        openai.AsyncOpenAI(base_url=place.agent, api_key="none", timeout=20) as client,
        client.chat.completions.with_streaming_response.create(
            model="agent", messages=[USER], stream=True
        ) as stream,
    ):
        async for line in stream.iter_lines():
            seen.append(line)
            if line.startswith(":"):
                gate.set()
    assert '"role":"assistant"' in seen[0]
    assert any(line.startswith(":") for line in seen)
    assert any('"content":"Done."' in line for line in seen)
    assert seen[-2:] == ["data: [DONE]", ""] or seen[-1] == "data: [DONE]"


async def test_text_arrives_before_the_tools_have_run(
    place: Any, client: openai.AsyncOpenAI
) -> None:
    gate = asyncio.Event()

    async def slow(**arguments: Any) -> str:
        await gate.wait()
        return "found"

    place.shop.tools["find"] = slow
    place.upstream.will_answer("Let me look.", tool_calls=[("shop_find", "{}")])
    place.upstream.will_answer("Done.")
    stream = await client.chat.completions.create(model="agent", messages=[USER], stream=True)
    seen = ""
    async with asyncio.timeout(10):
        async for chunk in stream:
            seen += chunk.choices[0].delta.content or ""
            if seen == "Let me look.":
                gate.set()
    assert seen == "Let me look.\n\nDone."


async def test_leaving_a_stream_stops_the_tool(place: Any, client: openai.AsyncOpenAI) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow(**arguments: Any) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    place.shop.tools["find"] = slow
    place.upstream.will_answer("Let me look.", tool_calls=[("shop_find", "{}")])
    stream = await client.chat.completions.create(model="agent", messages=[USER], stream=True)
    async with asyncio.timeout(10):
        await started.wait()
        await stream.close()
        await stopped.wait()


async def test_tools_that_fail_are_the_models_business(
    place: Any, client: openai.AsyncOpenAI
) -> None:
    def broken(**arguments: Any) -> None:
        raise KeyError("insides")

    place.shop.tools["find"] = broken
    calls = [("shop_find", "{}"), ("shop_price", "not JSON"), ("shop_order", ORDER[1])]
    place.upstream.will_answer(tool_calls=[*calls, ("shop_steal", "{}")])
    place.upstream.will_answer("Sorry.")
    answer = await client.chat.completions.create(model="agent", messages=[USER])
    assert answer.choices[0].message.content == "Sorry."
    broke, refused, ordered, unknown = [
        content for role, content in place.asked() if role == "tool"
    ]
    assert broke == '"tool shop.find execution failed: it failed unexpectedly"'
    assert refused.startswith('"tool shop.price execution failed: its arguments are not JSON')
    assert ordered == "ordered 2 of chair-1"
    assert "there is no such tool; there are: shop.find, shop.price, shop.order" in unknown


@pytest.mark.parametrize("streams", [False, True])
async def test_a_hook_that_vanishes_is_not_made_the_clients_business(
    place: Any, client: openai.AsyncOpenAI, streams: bool
) -> None:
    listed = place.shop.hooks

    async def once(tenant_id: str) -> Any:
        place.shop.hooks = gone
        return await listed(tenant_id)

    async def gone(tenant_id: str) -> Any:
        return []

    place.shop.hooks = once
    will_use(place, [FIND], prefix="shop_")
    options: Any = {"model": "agent", "messages": [USER], "tools": [TOOLS[2]]}
    if streams:
        async with client.chat.completions.stream(**options) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(**options)
    [choice] = answer.choices
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert choice.message.content.endswith("85 in all.")
    assert "hook 'shop' is left out" in place.asked()[-1][1]


async def test_the_answer_after_tools_has_the_format_that_was_asked_for(
    place: Any, client: openai.AsyncOpenAI
) -> None:
    as_json: Any = {"type": "json_object"}
    will_use(place, [FIND], prefix="shop_")
    await client.chat.completions.create(model="agent", messages=[USER], response_format=as_json)
    formats = [one.json.get("response_format") for one in place.upstream.requests[-2:]]
    assert formats == [as_json, as_json]


async def test_a_model_that_fails_after_its_tools_is_an_error_of_the_stream(
    place: Any, client: openai.AsyncOpenAI
) -> None:
    place.upstream.will_answer("Let me look.", tool_calls=[("shop_find", FIND[1])])
    place.upstream.will_fail(400, "The model is out of order.")
    stream = await client.chat.completions.create(model="agent", messages=[USER], stream=True)
    seen: list[Any] = []

    async def read() -> None:
        async for chunk in stream:
            seen.append(chunk)

    with pytest.raises(openai.APIError, match="out of order"):
        await read()
    assert text(seen) == "Let me look."


# -------------------------------------------------------------------------
# Both
# -------------------------------------------------------------------------

MINE: Any = [TOOLS[2]]


def will_use_both(place: Any) -> None:
    place.upstream.will_answer(tool_calls=[("shop_find", FIND[1])])
    place.upstream.will_answer("Now. ", tool_calls=[("shop_price", PRICE[1]), ORDER])
    place.upstream.will_answer("85 in all.")


async def test_both_kinds_of_tools_in_one_turn(place: Any, client: openai.AsyncOpenAI) -> None:
    will_use_both(place)
    first = await client.chat.completions.create(model="agent", messages=[USER], tools=MINE)
    [choice] = first.choices
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls] == ["order"]
    assert choice.message.content == "Now. "
    assert [name for name, _ in place.shop.calls] == ["find", "price"]
    messages = [USER, choice.message.model_dump(exclude_none=True)]
    messages += results(choice.message.tool_calls)
    last = await client.chat.completions.create(model="agent", messages=messages, tools=MINE)
    assert last.choices[0].message.content == "85 in all."
    assert place.asked() == [
        ("user", USER["content"]),
        ("assistant", ["shop_find"]),
        ("tool", '{"id":"chair-1"}'),
        ("assistant", ["shop_price"]),
        ("tool", "42.5"),
        ("assistant", ["order"]),
        ("tool", '"ordered 2 of chair-1"'),
    ]
    assert [name for name, _ in place.shop.calls] == ["find", "price"]


async def test_both_kinds_of_tools_in_a_stream(place: Any, client: openai.AsyncOpenAI) -> None:
    will_use_both(place)
    async with client.chat.completions.stream(model="agent", messages=[USER], tools=MINE) as stream:
        [choice] = (await stream.get_final_completion()).choices
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls or ()
    assert (call.function.name, call.function.arguments) == ORDER
    assert choice.message.content == "Now. "
    messages = [USER, choice.message.model_dump(exclude_none=True)]
    messages += results(choice.message.tool_calls)
    chunks = await client.chat.completions.create(
        model="agent", messages=messages, tools=MINE, stream=True
    )
    assert text([one async for one in chunks]) == "85 in all."
    assert [role for role, _ in place.asked()].count("tool") == 3
