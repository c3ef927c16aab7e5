"""The tools, as chains and as models call them."""

from __future__ import annotations

import acme_hooks
import pytest

from runtime_core.errors import NotFound, TaskFailed
from runtime_core.protocols import HookSource
from runtime_core.testing import HookSourceSuite
from runtime_core.types import PluginContext, ToolRequest, Value

# the coroutines below are run by anyio, which is there with the kernel
pytestmark = pytest.mark.anyio


@pytest.fixture
def source():
    context = PluginContext("acme-hooks", acme_hooks.settings_model()())
    (source,) = acme_hooks.register_hook_sources(context).values()
    assert isinstance(source, HookSource)
    return source


async def test_lists_a_hook_with_two_tools(source):
    (hook,) = await source.hooks("default")
    assert hook.name == "text"
    assert [tool.name for tool in hook.tools] == ["words", "characters"]
    assert all(tool.parameters["required"] == ["text"] for tool in hook.tools)


@pytest.mark.parametrize(("tool", "count"), [("words", 2), ("characters", 11)])
async def test_counts_the_argument(source, tool, count):
    arguments = {"text": "two  wörds!"}
    request = ToolRequest(hook="text", tool=tool, arguments=arguments, caller="model")
    assert await source.call(request) == Value(count, "int")


async def test_counts_the_input_of_a_task(source):
    request = ToolRequest(hook="text", tool="words", input=Value("one two three", "string"))
    assert await source.call(request) == Value(3, "int")


async def test_an_argument_wins_over_the_input(source):
    request = ToolRequest(
        hook="text", tool="words", arguments={"text": "one"}, input=Value("a b", "string")
    )
    assert await source.call(request) == Value(1, "int")


@pytest.mark.parametrize(("hook", "tool"), [("text", "lines"), ("other", "words")])
async def test_an_unknown_tool_is_named_with_those_there_are(source, hook, tool):
    with pytest.raises(NotFound, match=f"{tool}.*words, characters"):
        await source.call(ToolRequest(hook=hook, tool=tool))


@pytest.mark.parametrize("value", [None, 7, ["a"]])
async def test_needs_a_text(source, value):
    with pytest.raises(TaskFailed, match="'text'"):
        await source.call(ToolRequest(hook="text", tool="words", arguments={"text": value}))


@pytest.mark.parametrize(("length", "counted"), [(5, True), (6, False)])
async def test_the_longest_text_can_be_set(length, counted):
    source = acme_hooks.TextHooks(acme_hooks.TextSettings(longest=5))
    request = ToolRequest(hook="text", tool="characters", arguments={"text": "x" * length})
    if counted:
        assert await source.call(request) == Value(5, "int")
    else:
        with pytest.raises(TaskFailed, match="more than the 5 that longest"):
            await source.call(request)


class TestText(HookSourceSuite, without=("hanging",)):
    @pytest.fixture
    def source(self):
        return acme_hooks.TextHooks(acme_hooks.TextSettings())

    @pytest.fixture
    def works(self):
        return ToolRequest(hook="text", tool="words", arguments={"text": "one two"})

    @pytest.fixture
    def result(self):
        return Value(2, "int")

    @pytest.fixture
    def fails(self):
        return ToolRequest(hook="text", tool="words", arguments={"text": 7})
