"""Conversations: chat_completion, execute_tool_calls, and the names of tools."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from runtime_core.engine.chain import encode_chain
from runtime_core.engine.handlers import ToolLimits, builtin_handlers
from runtime_core.engine.handlers.names import ToolNames
from runtime_core.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    TaskFailed,
    UpstreamUnavailable,
)
from runtime_core.types import (
    ChatChunk,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCalled,
    Usage,
    Value,
)

STOP = ChatChunk(finish_reason="stop")
SENDABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def request(*messages: Message, **fields) -> Value:
    messages = messages or (Message(role="user", content="hi"),)
    fields = {"model": "asked", **fields}
    return Value(ChatRequest(messages=messages, **fields), "openai_chat")


def history(*messages: Message, **fields) -> Value:
    messages = messages or (Message(role="user", content="hi"),)
    return Value(ChatHistory(messages=messages, **fields), "chat_history")


def chat(**task):
    return {"handler": "chat_completion", **task}


def called(*calls: tuple[str, str]) -> Message:
    """A model's message that calls tools."""
    return Message(
        role="assistant",
        tool_calls=tuple(
            ToolCall(f"id-{index}", FunctionCall(name, arguments))
            for index, (name, arguments) in enumerate(calls)
        ),
    )


# -------------------------------------------------------------------------
# Answers
# -------------------------------------------------------------------------


async def test_the_answer_is_appended(bench):
    bench.models.answers(ChatChunk("Hel"), ChatChunk("lo\n"), STOP)
    result = await bench.one(chat(), request())
    assert result.output_type == "chat_history"
    assert [message.role for message in result.messages] == ["user", "assistant"]
    assert result.messages[-1].content == "Hello\n"
    assert result.steps[0].transition == "executed"
    assert result.output.finish_reason == "stop"
    assert bench.models.asked[0][0].role == "chat"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_other_reasons_to_finish_are_results(bench, reason):
    bench.models.answers(ChatChunk("Hel"), ChatChunk(finish_reason=reason))
    result = await bench.one(chat(), request())
    assert (result.output.finish_reason, result.messages[-1].content) == (reason, "Hel")


async def test_usage_is_what_the_provider_reported(bench):
    bench.models.answers(ChatChunk("x"), ChatChunk(finish_reason="stop", usage=Usage(31, 7)))
    result = await bench.one(chat(), request())
    assert (result.output.input_tokens, result.output.output_tokens) == (31, 7)


async def test_usage_is_estimated_where_none_is_reported(bench):
    bench.models.answers("x" * 40)
    result = await bench.one(chat(), request(Message(role="user", content="y" * 20)))
    assert (result.output.input_tokens, result.output.output_tokens) == (5, 10)


async def test_the_history_keeps_the_requests_model(bench):
    bench.models.answers("x")
    result = await bench.one(chat(execute_config={"model": "chains"}), request())
    assert result.output.model == "asked"
    bench.models.answers("x")
    assert (await bench.one(chat(), request(model=""))).output.model == "routed-model"


async def test_messages_of_a_request_get_the_time_and_keep_one_they_have(bench):
    bench.models.answers("x")
    old = Message(role="user", content="a", timestamp="2020-01-01T00:00:00Z")
    result = await bench.one(chat(), request(old, Message(role="user", content="b")))
    times = [message.timestamp for message in result.messages]
    assert times[0] == "2020-01-01T00:00:00Z"
    assert all(re.fullmatch(r"20\d\d-.*T.*\.\d{6}Z", time) for time in times[1:])


async def test_no_messages_are_refused(bench):
    result = await bench.one(chat(), Value(ChatHistory(), "chat_history"))
    assert isinstance(result.error, InvalidRequest)
    assert bench.models.asked == []


# -------------------------------------------------------------------------
# Requests
# -------------------------------------------------------------------------


async def test_messages_are_sent_with_everything_they_came_with(bench):
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = (
        Message(role="user", content=parts, name="bo"),
        called(("get", "{}")),
        Message(role="tool", content="5", tool_call_id="id-0"),
    )
    bench.models.answers("x")
    result = await bench.one(chat(), request(*messages))
    sent = bench.models.requests[0].messages
    assert sent[0].content is parts
    assert (sent[0].name, sent[1].tool_calls, sent[2].tool_call_id) == (
        "bo",
        messages[1].tool_calls,
        "id-0",
    )
    assert result.messages[:3] == sent


async def test_the_chains_fields_win_over_the_requests(bench):
    asked = request(
        temperature=1.0,
        top_p=0.1,
        max_tokens=1,
        stop=("a",),
        seed=1,
        presence_penalty=0.5,
        response_format={"type": "text"},
        extra={"user": "u"},
    )
    config = {"model": "chains", "temperature": 0.0, "max_tokens": 9, "stop": ["b"], "seed": 0}
    bench.models.answers("x")
    await bench.one(chat(execute_config=config), asked)
    [(wanted, sent)] = bench.models.asked
    assert wanted.models == ("chains",)
    assert (sent.temperature, sent.max_tokens, sent.stop, sent.seed) == (0.0, 9, ("b",), 0)
    assert (sent.top_p, sent.presence_penalty, sent.extra) == (0.1, 0.5, {"user": "u"})
    assert sent.response_format == {"type": "text"}


async def test_the_chains_list_of_models_wins_in_its_order(bench):
    config = {"models": ["first", "second"], "provider": "p"}
    bench.models.answers("x")
    await bench.one(chat(execute_config=config), request())
    wanted = bench.models.asked[0][0]
    assert (wanted.models, wanted.providers) == (("first", "second"), ("p",))


async def test_without_a_model_in_the_chain_the_requests_is_wanted(bench):
    bench.models.answers("x")
    await bench.one(chat(), request())
    bench.models.answers("x")
    await bench.one(chat(), request(model=""))
    assert [wanted.models for wanted, _ in bench.models.asked] == [("asked",), ()]


async def test_a_historys_model_is_not_wanted(bench):
    bench.models.answers("x")
    result = await bench.one(chat(), history(model="old"))
    assert bench.models.asked[0][0].models == ()
    assert result.output.model == "old"


async def test_a_later_turn_keeps_the_clients_model_sampling_and_format(bench):
    chain = bench.chain({"id": "a", **chat()}, {"id": "b", **chat()})
    bench.models.answers("x")
    bench.models.answers("y")
    as_json = {"type": "json_object"}
    asked = request(temperature=0.3, max_tokens=5, tool_choice="required", response_format=as_json)
    await bench.run(chain, asked)
    wanted, second = bench.models.asked[1]
    assert wanted.models == ("asked",)
    assert (second.temperature, second.max_tokens) == (0.3, 5)
    assert (second.tool_choice, second.response_format) == (None, as_json)
    assert [message.content for message in second.messages] == ["hi", "x"]


async def test_a_system_instruction_comes_first_once(bench):
    task = chat(system_instruction="be brief")
    bench.models.answers("x")
    result = await bench.one(task, request())
    assert [message.content for message in result.messages] == ["be brief", "hi", "x"]
    bench.models.answers("y")
    again = await bench.one(task, Value(result.output, "chat_history"))
    assert [message.role for message in again.messages] == [
        "system",
        "user",
        "assistant",
        "assistant",
    ]


async def test_another_system_message_does_not_count_as_the_instruction(bench):
    bench.models.answers("x")
    other = Message(role="system", content="be long")
    result = await bench.one(chat(system_instruction="be brief"), history(other))
    assert [message.content for message in result.messages] == ["be brief", "be long", "x"]


# -------------------------------------------------------------------------
# Tokens
# -------------------------------------------------------------------------


async def test_a_conversation_over_the_token_limit_is_refused(bench):
    chain = bench.chain({"id": "a", **chat()}, token_limit=10)
    bench.models.answers("x")
    assert (await bench.run(chain, request(Message(role="user", content="x" * 40)))).error is None
    result = await bench.run(chain, request(Message(role="user", content="x" * 41)))
    assert isinstance(result.error, ContextLengthExceeded)
    assert "token_limit is 10" in str(result.error)
    counted = await bench.run(chain, history(input_tokens=6, output_tokens=5))
    assert isinstance(counted.error, ContextLengthExceeded)
    assert len(bench.models.asked) == 1


async def test_no_limit_is_no_limit(bench):
    for limit in (0, -1):
        bench.models.answers("x")
        chain = bench.chain({"id": "a", **chat()}, token_limit=limit)
        assert (await bench.run(chain, request())).error is None


async def test_the_router_is_told_how_long_the_prompt_is(bench):
    bench.models.answers("x")
    await bench.one(chat(), request(Message(role="user", content="x" * 40)))
    assert bench.models.asked[0][0].context_tokens == 10


# -------------------------------------------------------------------------
# Tool calls of the model
# -------------------------------------------------------------------------


async def test_tool_calls_are_put_together_from_their_pieces(bench):
    bench.models.answers(
        ChatChunk("let me see", (ToolCallDelta(0, "c0", "get", '{"q":'),)),
        ChatChunk(
            tool_calls=(ToolCallDelta(1, "c1", "put", "{}"), ToolCallDelta(0, arguments="1}"))
        ),
        ChatChunk(finish_reason="tool_calls"),
    )
    result = await bench.one(chat(), request())
    message = result.messages[-1]
    assert message.content == "let me see"
    assert message.tool_calls == (
        ToolCall("c0", FunctionCall("get", '{"q":1}')),
        ToolCall("c1", FunctionCall("put", "{}")),
    )
    assert result.steps[0].transition == "tool-call"
    assert result.output.finish_reason == "tool_calls"


async def test_a_call_without_text_has_no_content_and_gets_an_id(bench):
    bench.models.answers(ChatChunk(tool_calls=(ToolCallDelta(0, None, "get", "{}"),)), STOP)
    result = await bench.one(chat(), request())
    [call] = result.messages[-1].tool_calls
    assert result.messages[-1].content is None
    assert call.id.startswith("call_")
    assert result.output.finish_reason == "tool_calls"


# -------------------------------------------------------------------------
# Offering tools
# -------------------------------------------------------------------------

CLIENT = (Tool("get_time", "client's"), Tool("odd name", "client's"))


async def test_hook_tools_are_offered_under_names_providers_take(bench):
    bench.hooks.add("web", "search", Value("r", "string"))
    bench.models.calls(("web_search", '{"q":1}'))
    result = await bench.one(chat(execute_config={"hooks": ["web", "unknown"]}), request())
    [tool] = bench.models.requests[0].tools
    assert (tool.name, tool.description) == ("web_search", "does search")
    assert result.messages[-1].tool_calls[0].function.name == "web.search"
    [delta] = [delta for delta in result.deltas if delta.chunk.tool_calls]
    assert delta.chunk.tool_calls[0].name == "web.search"


async def test_client_tools_are_offered_where_the_chain_passes_them(bench):
    bench.models.answers("x")
    await bench.one(chat(), request(tools=CLIENT, tool_choice="auto", parallel_tool_calls=False))
    assert bench.models.requests[0].tools == ()
    assert bench.models.requests[0].tool_choice is None
    assert bench.models.requests[0].parallel_tool_calls is None
    bench.models.answers("x")
    passing = chat(execute_config={"pass_clients_tools": True})
    await bench.one(passing, request(tools=CLIENT, tool_choice="auto", parallel_tool_calls=False))
    sent = bench.models.requests[1]
    assert [tool.name for tool in sent.tools] == ["get_time", "odd_name"]
    assert (sent.tool_choice, sent.parallel_tool_calls) == ("auto", False)


async def test_client_tools_are_there_on_later_turns_too(bench):
    passing = chat(execute_config={"pass_clients_tools": True})
    bench.models.answers("x")
    bench.models.answers("y")
    await bench.run(
        bench.chain({"id": "a", **chat()}, {"id": "b", **passing}), request(tools=CLIENT)
    )
    assert [tool.name for tool in bench.models.requests[1].tools] == ["get_time", "odd_name"]


async def test_hide_tools_hides_client_and_hook_tools(bench):
    bench.hooks.add("web", "search", Value("r", "string"))
    bench.hooks.add("web", "fetch", Value("r", "string"))
    config = {
        "hooks": ["web"],
        "pass_clients_tools": True,
        "hide_tools": ["web.search", "get_time"],
    }
    bench.models.answers("x")
    await bench.one(chat(execute_config=config), request(tools=CLIENT))
    assert [tool.name for tool in bench.models.requests[0].tools] == ["odd_name", "web_fetch"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", "required"),
        (
            {"type": "function", "function": {"name": "web.search"}},
            {"type": "function", "function": {"name": "web_search"}},
        ),
        ({"type": "function", "function": {"name": "other"}}, None),
        ({"type": "strange"}, {"type": "strange"}),
    ],
)
async def test_a_tool_choice_is_translated(bench, choice, sent):
    bench.hooks.add("web", "search", Value("r", "string"))
    bench.models.answers("x")
    config = {"hooks": ["web"], "tool_choice": choice}
    await bench.one(chat(execute_config=config), request(tool_choice="none"))
    assert bench.models.requests[0].tool_choice == sent


async def test_what_works_is_offered_and_what_does_not_is_told(bench, caplog):
    bench.hooks.add("web", "search", Value("r", "string"))
    bench.hooks.errors["dead"] = "connection refused"
    bench.models.answers("x")
    config = {"hooks": ["dead", "web", "nowhere"]}
    result = await bench.one(chat(execute_config=config), request())
    assert [tool.name for tool in bench.models.requests[0].tools] == ["web_search"]
    assert result.steps[0].warnings == (
        "hook 'dead' is left out, it cannot be used now: connection refused",
        "hook 'nowhere' is left out: it was not found, and these sources of hooks cannot be asked "
        "now: dead (connection refused)",
    )
    assert "run run-1: task 'a': hook 'dead' is left out" in caplog.text


async def test_a_hook_that_does_not_exist_is_told(bench):
    bench.models.answers("x")
    result = await bench.one(chat(execute_config={"hooks": ["nowhere"]}), request())
    assert result.steps[0].warnings == ("hook 'nowhere' is left out: there is no such hook",)
    assert bench.models.requests[0].tools == ()


async def test_only_the_hooks_named_are_asked_for_and_once(bench):
    bench.hooks.add("web", "search", Value("r", "string"))
    asked = []

    class Counting:
        async def hooks(self, tenant_id, names=None):
            asked.append((tenant_id, list(names)))
            return await bench.hooks.hooks(tenant_id)

    bench.machine = type(bench.machine)(bench.handlers, bench.models, Counting())
    bench.models.answers("x")
    await bench.one(chat(execute_config={"hooks": ["web"]}), request(), tenant_id="t")
    await bench.one(
        {"handler": "execute_tool_calls", "execute_config": {"hooks": ["web"]}},
        history(called(("nothing", "{}"), ("else", "{}"))),
        tenant_id="t",
    )
    assert asked == [("t", ["web"]), ("t", ["web"])]


@pytest.mark.parametrize(
    ("hidden", "left"),
    [
        (["web"], []),
        (["search"], ["web_fetch"]),
        (["web.search"], ["web_fetch"]),
        (["fetch", "web.search"], []),
        (["other"], ["web_search", "web_fetch"]),
    ],
)
async def test_hidden_tools_are_named_in_three_ways_and_cannot_be_called(bench, hidden, left):
    bench.hooks.add("web", "search", Value("r", "string"))
    bench.hooks.add("web", "fetch", Value("r", "string"))
    config = {"hooks": ["web"], "hide_tools": hidden}
    bench.models.calls(("web_search", "{}"), ("web_fetch", "{}"))
    chain = bench.chain(
        {"id": "a", **chat(execute_config=config)}, {"id": "t", "handler": "execute_tool_calls"}
    )
    await bench.run(chain, history())
    assert [tool.name for tool in bench.models.requests[0].tools] == left
    assert [f"{asked.hook}_{asked.tool}" for asked in bench.hooks.asked] == left


async def test_usage_is_the_sum_of_a_runs_answers(bench):
    bench.models.answers(ChatChunk("x"), ChatChunk(finish_reason="stop", usage=Usage(10, 2)))
    bench.models.answers(ChatChunk("y"), ChatChunk(finish_reason="stop", usage=Usage(20, 3)))
    bench.models.answers(ChatChunk("z"), ChatChunk(finish_reason="stop", usage=Usage(40, 4)))
    tasks = [{"id": name, **chat()} for name in "abc"]
    convert = {"id": "d", "handler": "convert_to_openai_chat_response"}
    result = await bench.run(bench.chain(*tasks, convert), history(input_tokens=7))
    assert result.output.usage == Usage(70, 9)


async def test_a_chains_tool_choice_is_for_answers_to_the_client(bench):
    bench.hooks.add("web", "search", Value("r", "string"))
    config = {"hooks": ["web"], "tool_choice": "required"}
    ask = {"id": "a", **chat(execute_config=config)}
    bench.models.calls(("web_search", "{}"))
    bench.models.answers("done")
    chain = bench.chain(
        ask,
        {"id": "t", "handler": "execute_tool_calls"},
        {"id": "b", **chat(execute_config=config)},
    )
    client = request(parallel_tool_calls=False)
    await bench.run(chain, client)
    assert [asked.tool_choice for asked in bench.models.requests] == ["required", "auto"]
    assert [asked.parallel_tool_calls for asked in bench.models.requests] == [False, False]


async def test_calls_in_the_history_are_sent_under_the_same_names(bench):
    bench.hooks.add("web", "search", Value("r", "string"))
    before = (called(("web.search", "{}"), ("get_time", "{}")),)
    bench.models.answers("x")
    result = await bench.one(chat(execute_config={"hooks": ["web"]}), history(*before))
    sent = bench.models.requests[0].messages[0].tool_calls
    assert [call.function.name for call in sent] == ["web_search", "get_time"]
    assert result.messages[0] == before[0]


def test_names_never_collide_and_always_come_back():
    ours = ["a.b", "a_b", "a/b", "x" * 70 + ".1", "x" * 70 + ".2", "", "日本", "ok-Name_1"]
    names = ToolNames(ours)
    sent = [names.sent(name) for name in ours]
    assert len(set(sent)) == len(ours)
    assert all(SENDABLE.fullmatch(name) for name in sent)
    assert [names.ours(name) for name in sent] == ours
    assert names.sent("a_b") == "a_b"
    assert names.sent("ok-Name_1") == "ok-Name_1"


def test_names_are_the_same_in_any_order():
    ours = ["b.x", "a.b", "a_b"]
    one, other = ToolNames(ours), ToolNames(reversed(ours))
    assert [one.sent(name) for name in ours] == [other.sent(name) for name in ours]


# -------------------------------------------------------------------------
# execute_tool_calls
# -------------------------------------------------------------------------


@pytest.fixture
def execute(bench):
    """Run execute_tool_calls over a conversation, in a chain that offers hook ``web``."""

    async def run(*messages, hooks=("web",), data=None, **task):
        chain = bench.chain(
            {"id": "t", "handler": "execute_tool_calls", **task},
            {"id": "n", "handler": "noop", "execute_config": {"hooks": list(hooks)}},
        )
        return await bench.run(chain, data or history(*messages, model="m"))

    return run


async def test_a_tool_is_called_with_the_models_arguments_by_name(bench, execute):
    bench.hooks.add("web", "search", Value("found", "string"))
    result = await execute(called(("web.search", '{"q": "cats", "n": 2}')))
    [asked] = bench.hooks.asked
    assert (asked.hook, asked.tool, asked.caller, asked.input) == ("web", "search", "model", None)
    assert asked.arguments == {"q": "cats", "n": 2}
    assert result.steps[0].transition == "tools_executed"
    assert result.messages[-1] == Message(role="tool", content="found", tool_call_id="id-0")
    assert result.output.model == "m"
    [event] = [event for event in result.events if isinstance(event, ToolCalled)]
    assert (event.task_id, event.call.function.name, event.result) == ("t", "web.search", "found")
    assert not event.failed


@pytest.mark.parametrize("name", ["web.search", "search", "web"])
async def test_a_tool_is_known_by_three_names(bench, execute, name):
    bench.hooks.add("web", "search", Value("found", "string"))
    bench.hooks.add("web", "other", Value("other", "string"))
    result = await execute(called((name, "{}")))
    assert result.messages[-1].content == "found"


async def test_a_full_name_wins_over_a_tools_and_a_tools_over_a_hooks(bench, execute):
    bench.hooks.add("search", "web", Value("of hook search", "string"))
    bench.hooks.add("web", "search", Value("of hook web", "string"))
    result = await execute(
        called(("search", "{}"), ("web", "{}"), ("web.search", "{}")), hooks=("web", "search")
    )
    assert [message.content for message in result.messages[1:]] == [
        "of hook web",
        "of hook search",
        "of hook web",
    ]


async def test_hooks_no_task_offers_cannot_be_called(bench, execute):
    bench.hooks.add("web", "search", Value("found", "string"))
    bench.hooks.add("admin", "wipe", Value("gone", "string"))
    result = await execute(called(("admin.wipe", "{}")))
    assert result.steps[0].transition == "no_calls_found"
    assert bench.hooks.asked == []


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (Value(None, "any"), "null"),
        (Value({"a": 1}, "json"), '{"a":1}'),
        (Value("text", "string"), "text"),
        (Value(5, "int"), "5"),
    ],
)
async def test_results_are_texts(bench, execute, value, content):
    bench.hooks.add("web", "search", value)
    assert (await execute(called(("search", "{}")))).messages[-1].content == content


@pytest.mark.parametrize(
    ("failure", "arguments", "reason"),
    [
        (TaskFailed("no such page"), "{}", "no such page"),
        (UpstreamUnavailable("refused"), "{}", "refused"),
        (Value("x", "string"), "[1]", "must be a JSON object"),
        (Value("x", "string"), "{not json", "not JSON"),
        (Value("x", "string"), "[" * 100_000, "nested too deeply"),
    ],
)
async def test_a_failing_tool_is_told_to_the_model(bench, execute, failure, arguments, reason):
    bench.hooks.add("web", "search", failure)
    result = await execute(called(("web.search", arguments)))
    content = result.messages[-1].content
    assert content.startswith('"tool web.search execution failed: ')
    assert reason in content
    [event] = [event for event in result.events if isinstance(event, ToolCalled)]
    assert event.failed
    assert result.error is None


async def test_no_arguments_are_an_empty_object(bench, execute):
    bench.hooks.add("web", "search", Value("found", "string"))
    await execute(called(("search", "")))
    assert bench.hooks.asked[0].arguments == {}


async def test_fixed_arguments_win_and_are_templates(bench, execute):
    bench.hooks.add("web", "search", Value("found", "string"))
    fixed = {"args": {"site": "{{.input.model}}", "q": "fixed"}}
    await execute(called(("search", '{"q": "models", "n": 1}')), hook=fixed)
    assert bench.hooks.asked[0].arguments == {"q": "fixed", "n": 1, "site": "m"}


async def test_tools_run_side_by_side_and_answer_in_order(bench, execute):
    both = asyncio.Barrier(2)

    async def meet(request):
        async with asyncio.timeout(5):
            await both.wait()
        return Value(request.arguments["n"], "int")

    bench.hooks.add("web", "search", meet)
    result = await execute(called(("search", '{"n": 1}'), ("search", '{"n": 2}')))
    assert [message.content for message in result.messages[1:]] == ["1", "2"]
    assert [message.tool_call_id for message in result.messages[1:]] == ["id-0", "id-1"]


async def test_cancelling_stops_every_tool(bench, execute):
    before = asyncio.all_tasks()
    started, stopped = asyncio.Barrier(3), []

    async def stay(request):
        try:
            await started.wait()
            await asyncio.Event().wait()
        finally:
            stopped.append(request.tool)

    bench.hooks.add("web", "search", stay)
    run = asyncio.create_task(execute(called(("search", "{}"), ("search", "{}"))))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert stopped == ["search", "search"]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("fault", [KeyError("insides"), asyncio.CancelledError()])
async def test_a_tools_own_fault_is_its_own(bench, execute, caplog, fault):
    before = asyncio.all_tasks()
    broke = asyncio.Event()

    async def broken(request):
        broke.set()
        raise fault

    async def other(request):
        await broke.wait()
        await asyncio.sleep(0)
        return Value("fine", "string")

    bench.hooks.add("web", "broken", broken)
    bench.hooks.add("web", "other", other)
    result = await execute(called(("other", "{}"), ("broken", "{}")))
    assert [message.content for message in result.messages[1:]] == [
        "fine",
        '"tool broken execution failed: it failed unexpectedly"',
    ]
    assert "tool web.broken broke" in caplog.text
    assert asyncio.all_tasks() == before


async def test_a_tool_that_takes_too_long_is_stopped_and_told(bench, execute):
    stopped = asyncio.Event()

    async def stay(request):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    bench.hooks.add("web", "stay", stay)
    bench.hooks.add("web", "quick", Value("fine", "string"))
    result = await execute(
        called(("stay", "{}"), ("quick", "{}")), execute_config={"tool_timeout": "10ms"}
    )
    assert [message.content for message in result.messages[1:]] == [
        '"tool stay execution failed: no answer within 0.01 s"',
        "fine",
    ]
    assert stopped.is_set()


async def test_the_limits_of_tools_can_be_set(bench, execute):
    async def stay(request):
        await asyncio.Event().wait()

    bench.hooks.add("web", "stay", stay)
    bench.hooks.add("web", "long", Value("0123456789", "string"))
    bench.hooks.add("web", "fits", Value("01234567", "string"))
    bench.hooks.add("web", "fails", TaskFailed("0123456789"))
    bench.handlers |= builtin_handlers(ToolLimits(seconds=0.01, characters=8))
    bench.machine = bench.new_machine()
    names = ("stay", "long", "fits", "fails")
    result = await execute(called(*((name, "{}") for name in names)))
    cut = "01234567\n[cut: these are the first 8 of 10 characters]"
    stayed, *others = [message.content for message in result.messages[1:]]
    assert stayed.startswith('"tool stay execution failed: no answe')
    assert others == [cut, "01234567", json.dumps(f"tool fails execution failed: {cut}")]


@pytest.mark.parametrize("answer", [Value("h\ud800i", "string"), TaskFailed("h\ud800i")])
async def test_half_characters_of_tools_are_replaced(bench, execute, answer):
    bench.hooks.add("web", "odd", answer)
    result = await execute(called(("odd", "{}")))
    assert result.steps[0].transition == "tools_executed"
    assert "h?i" in result.messages[-1].content


async def test_a_result_that_is_no_json_is_told(bench, execute):
    bench.hooks.add("web", "odd", Value({"a": object()}, "json"))
    result = await execute(called(("odd", "{}")))
    assert "its result cannot be written as JSON" in result.messages[-1].content


async def test_a_wrong_time_limit_is_a_problem_of_the_chain(bench):
    chain = bench.chain(
        {
            "id": "t",
            "handler": "execute_tool_calls",
            "execute_config": {"tool_timeout": "soon"},
        }
    )
    [problem] = bench.machine.check(chain)
    assert "execute_config.tool_timeout: 'soon' is not a duration" in problem
    assert encode_chain(chain)["tasks"][0]["execute_config"]["tool_timeout"] == "soon"


async def test_client_tools_are_left_alone(bench):
    bench.hooks.add("web", "get_time", Value("12", "string"))
    bench.hooks.add("web", "search", Value("found", "string"))
    config = {"hooks": ["web"], "pass_clients_tools": True}
    chain = bench.chain(
        {"id": "a", **chat(execute_config=config)}, {"id": "t", "handler": "execute_tool_calls"}
    )
    bench.models.calls(("get_time", "{}"), ("web_search", "{}"))
    result = await bench.run(chain, request(tools=CLIENT))
    assert [asked.tool for asked in bench.hooks.asked] == ["search"]
    assert result.steps[1].transition == "no_calls_found"
    _, executed, result_of_hook, asking = result.messages
    assert [call.function.name for call in executed.tool_calls] == ["web.search"]
    assert (executed.content, result_of_hook.content) == (None, "found")
    assert result_of_hook.tool_call_id == executed.tool_calls[0].id
    assert [call.function.name for call in asking.tool_calls] == ["get_time"]


async def test_a_tool_that_does_not_exist_is_told_to_the_model(bench):
    bench.hooks.add("web", "search", Value("found", "string"))
    bench.hooks.errors["dead"] = "refused"
    chain = bench.chain(
        {"id": "a", **chat(execute_config={"hooks": ["web", "dead"]})},
        {"id": "t", "handler": "execute_tool_calls"},
    )
    bench.models.calls(("dead.look", "{}"))
    result = await bench.run(chain, request(tools=CLIENT))
    assert result.steps[1].transition == "tools_executed"
    content = result.messages[-1].content
    assert (
        "tool dead.look execution failed: there is no such tool; there are: web.search" in content
    )
    assert "hook 'dead' is left out, it cannot be used now: refused" in content


@pytest.mark.parametrize("hook", ["gone", "web"])
async def test_a_tool_that_is_gone_is_told_to_the_model(bench, hook):
    bench.hooks.add("web", "search", Value("found", "string"))
    config = {"hooks": [hook], "hide_tools": ["search"]}
    chain = bench.chain(
        {"id": "a", **chat(execute_config=config)}, {"id": "t", "handler": "execute_tool_calls"}
    )
    bench.models.calls(("web.search", "{}"))
    result = await bench.run(chain, request(tools=CLIENT))
    assert result.steps[1].transition == "tools_executed"
    assert "there is no such tool; there are none" in result.messages[-1].content


async def test_the_clients_tools_are_among_those_there_are(bench):
    bench.hooks.add("web", "search", Value("found", "string"))
    config = {"hooks": ["web"], "pass_clients_tools": True, "hide_tools": ["hidden"]}
    chain = bench.chain(
        {"id": "a", **chat(execute_config=config)}, {"id": "t", "handler": "execute_tool_calls"}
    )
    bench.models.calls(("get_tmie", "{}"))
    result = await bench.run(chain, request(tools=(*CLIENT, Tool("hidden", "of the client"))))
    assert "no such tool; there are: web.search, get_time" in result.messages[-1].content
    assert "hidden" not in result.messages[-1].content


@pytest.mark.parametrize("config", [{}, {"pass_clients_tools": True, "hide_tools": ["get_time"]}])
async def test_a_clients_tool_that_is_not_offered_cannot_be_called(bench, config):
    bench.hooks.add("web", "search", Value("found", "string"))
    chain = bench.chain(
        {"id": "a", **chat(execute_config={"hooks": ["web"], **config})},
        {"id": "t", "handler": "execute_tool_calls"},
    )
    bench.models.calls(("get_time", "{}"), ("search", "{}"))
    tools = (*CLIENT, Tool("search", "the client's"))
    result = await bench.run(chain, request(tools=tools if not config else CLIENT))
    assert result.steps[1].transition == "tools_executed"
    refused, found = result.messages[-2:]
    assert "there is no such tool; there are: web.search" in refused.content
    assert found.content == "found"


async def test_calls_of_the_same_id_are_kept_apart(bench):
    bench.hooks.add("web", "search", Value("found", "string"))
    config = {"hooks": ["web"], "pass_clients_tools": True}
    chain = bench.chain(
        {"id": "a", **chat(execute_config=config)}, {"id": "t", "handler": "execute_tool_calls"}
    )
    pieces = (ToolCallDelta(0, "same", "web_search", "{}"), ToolCallDelta(1, "same", "get_time"))
    bench.models.answers(ChatChunk(tool_calls=pieces), ChatChunk(finish_reason="tool_calls"))
    result = await bench.run(chain, request(tools=CLIENT))
    assert [call.function.name for call in result.messages[-1].tool_calls] == ["get_time"]


@pytest.mark.parametrize(
    ("messages", "transition"),
    [
        ((), "no_op"),
        ((Message(role="user", content="q"),), "no_calls_found"),
        ((called(("nobody", "{}")),), "no_calls_found"),
        ((called(("search", "{}")), Message(role="user", content="late")), "no_calls_found"),
    ],
)
async def test_nothing_to_execute(bench, execute, messages, transition):
    bench.hooks.add("web", "search", Value("found", "string"))
    value = Value(ChatHistory(messages, "m"), "chat_history")
    result = await execute(data=value)
    assert result.steps[0].transition == transition
    assert result.output == value.data


async def test_a_whole_tool_loop(bench):
    bench.hooks.add("calc", "add", Value(5, "int"))
    chain = bench.chain(
        {
            "id": "ask",
            **chat(execute_config={"hooks": ["calc"]}),
            "transition": {
                "branches": [
                    {"operator": "equals", "when": "tool-call", "goto": "do"},
                    {"operator": "default", "goto": "end"},
                ]
            },
        },
        {
            "id": "do",
            "handler": "execute_tool_calls",
            "transition": {"branches": [{"operator": "default", "goto": "ask"}]},
        },
    )
    bench.models.calls(("calc_add", '{"a":2,"b":3}'))
    bench.models.answers("It is 5.")
    result = await bench.run(chain, request())
    assert result.path == ["ask", "do", "ask"]
    assert [message.role for message in result.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    sent = bench.models.requests[1].messages
    assert sent[1].tool_calls[0].function.name == "calc_add"
    assert sent[2].content == "5"
