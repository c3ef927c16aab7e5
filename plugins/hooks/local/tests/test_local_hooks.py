from __future__ import annotations

import pytest
from runtime_hooks_local import register_hook_sources, settings_model

from runtime_core.errors import NotFound, TaskFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    Message,
    PluginContext,
    ToolRequest,
    Value,
    text_of,
)


def history(*messages: tuple[str, str]) -> Value:
    return Value(
        ChatHistory(tuple(Message(role=role, content=text) for role, text in messages), "m1"),
        "chat_history",
    )


async def test_lists_its_hooks_with_their_parameters(source):
    listed = {hook.name: hook for hook in await source.hooks("default")}
    assert list(listed) == ["echo", "print", "webhook", "time", "http_get"]
    assert {hook.type for hook in listed.values()} == {"local"}
    assert [tool.name for tool in listed["echo"].tools] == ["echo"]
    assert listed["print"].tools[0].parameters["required"] == ["message"]
    assert listed["echo"].description


async def test_echo_returns_a_string_as_it_is(source, as_task):
    assert await source.call(as_task("echo", Value(" hi\n", "string"))) == Value(" hi\n", "string")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(5, "int"), "5"),
        (Value(True, "bool"), "true"),
        (Value(None, "any"), "null"),
        (Value({"a": [1, "é"]}, "json"), '{"a":[1,"é"]}'),
    ],
)
async def test_echo_returns_everything_else_as_json_text(source, value, text, as_task):
    assert await source.call(as_task("echo", value)) == Value(text, "string")


async def test_echo_writes_requests_and_completions_in_their_wire_shapes(source, as_task):
    asked = ChatRequest(model="m", messages=(Message(role="user", content="q"),))
    answered = ChatCompletion("id-1", 0, "m", Message(role="assistant", content="a"))
    request = await source.call(as_task("echo", Value(asked, "openai_chat")))
    answer = await source.call(as_task("echo", Value(answered, "openai_chat_response")))
    assert request.data.startswith('{"model":"m","messages":[{')
    assert '"object":"chat.completion"' in answer.data


async def test_echo_answers_a_conversation_with_the_users_last_message(source, as_task):
    value = history(("user", "first"), ("user", "last"), ("assistant", "ok"))
    result = await source.call(as_task("echo", value))
    assert result.type == "chat_history"
    assert len(result.data.messages) == 4
    assert result.data.messages[-1].role == "assistant"
    assert text_of(result.data.messages[-1]) == "Echo: last"
    assert result.data.model == "m1"


async def test_echo_says_when_there_is_nothing_to_echo(source, as_task):
    result = await source.call(as_task("echo", history(("system", "be brief"))))
    assert text_of(result.data.messages[-1]) == "Echo: nothing to echo"


async def test_echo_prefers_the_argument_over_the_tasks_input(source, as_task):
    result = await source.call(as_task("echo", Value("task", "string"), input="argument"))
    assert result == Value("argument", "string")


async def test_a_model_passes_parameters_by_name(source, as_model):
    assert await source.call(as_model("echo", input="q")) == Value("q", "string")
    assert await source.call(as_model("echo", input={"a": 1})) == Value('{"a":1}', "string")
    assert await source.call(as_model("print", message="m")) == Value("m", "string")


@pytest.mark.parametrize(("hook", "argument"), [("echo", "input"), ("print", "message")])
async def test_a_missing_argument_is_named(source, hook, argument, as_model):
    with pytest.raises(TaskFailed, match=f"{hook} needs the argument '{argument}'"):
        await source.call(as_model(hook))


async def test_print_returns_its_message(source, as_task):
    request = as_task("print", Value("ignored", "string"), message="done")
    assert await source.call(request) == Value("done", "string")


async def test_print_adds_a_system_message_to_a_conversation(source, as_task):
    result = await source.call(as_task("print", history(("user", "q")), message="note"))
    assert [message.role for message in result.data.messages] == ["user", "system"]
    assert text_of(result.data.messages[-1]) == "note"


async def test_unknown_hooks_and_tools_are_not_found(source, as_model):
    with pytest.raises(NotFound, match="there are: echo, print, webhook"):
        await source.call(as_model("ssh"))
    with pytest.raises(NotFound, match="no tool 'shout'"):
        await source.call(ToolRequest(hook="echo", tool="shout"))


async def test_a_hook_without_tool_name_calls_its_only_tool(source):
    request = ToolRequest(hook="echo", tool="", input=Value("x", "string"))
    assert await source.call(request) == Value("x", "string")


async def test_registers_a_source_with_its_settings():
    context = PluginContext("local-hooks", settings_model()())
    (name, source), *others = register_hook_sources(context).items()
    assert (name, others) == ("local", [])
    assert await source.hook("default", "time")


async def test_what_was_closed_calls_nobody(running, service, as_model):
    async with running() as source:
        await source.call(as_model("http_get", url=service.url))
    with pytest.raises(TaskFailed, match="not running"):
        await source.call(as_model("http_get", url=service.url))


async def test_what_is_not_running_calls_nobody(as_model):
    source = register_hook_sources(PluginContext("local-hooks", settings_model()()))["local"]
    for hook in ("webhook", "http_get"):
        with pytest.raises(TaskFailed, match="not running"):
            await source.call(as_model(hook, url="http://example.com"))
