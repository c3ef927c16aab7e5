"""Tools: offered, called, answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from runtime_core.testing.provider_suite.base import collect, text_of_chunks
from runtime_core.testing.wire import Answer
from runtime_core.types import FunctionCall, Message, Tool, ToolCall

if TYPE_CHECKING:
    from runtime_core.protocols import ChatProvider
    from runtime_core.testing.upstream import Upstream
    from runtime_core.types import ChatChunk, ChatRequest

__all__ = ("ToolTests",)

_TOOLS = (
    Tool(
        name="get_weather",
        description="Weather of a city, by “name”.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    ),
    Tool(name="now", description="The time.", parameters={"type": "object", "properties": {}}),
)
_CALLS = (
    ToolCall("call_a", FunctionCall("get_weather", '{"city": "Zürich \\"HB\\"", "days": 2}')),
    ToolCall("call_b", FunctionCall("now", "{}")),
    ToolCall("call_c", FunctionCall("get_weather", '{"city": "Oslo"}')),
)


class ToolTests:
    """Calls arrive whole and apart from one another; results go back to where they belong."""

    @pytest.fixture
    def with_tools(self, upstream: Upstream, question: ChatRequest) -> ChatRequest:
        """Return a request that offers tools."""
        assert "tools" in upstream.wire.options, (
            'its protocol has no tools: say so, class Test…(ProviderSuite, without=("tools",))'
        )
        return msgspec.structs.replace(question, tools=_TOOLS)

    async def test_tools_are_offered(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest
    ) -> None:
        await collect(provider, with_tools)
        asked = upstream.wire.asked(upstream.requests[-1])
        assert asked.tools == _TOOLS

    async def test_tool_without_parameters(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest
    ) -> None:
        await collect(provider, msgspec.structs.replace(with_tools, tools=(Tool("ping"),)))
        (tool,) = upstream.wire.asked(upstream.requests[-1]).tools
        assert tool.name == "ping"
        assert (tool.parameters or {}).get("type", "object") == "object"

    @pytest.mark.parametrize("count", [1, 2, 3])
    async def test_tool_calls_arrive_whole(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest, count: int
    ) -> None:
        upstream.will_answer(Answer(tool_calls=_CALLS[:count], finish_reason="tool_calls"))
        chunks = await collect(provider, with_tools)
        assert _called(chunks) == [
            (call.function.name, json.loads(call.function.arguments)) for call in _CALLS[:count]
        ]
        assert chunks[-1].finish_reason == "tool_calls"

    async def test_tool_calls_have_ids_of_their_own(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(tool_calls=_CALLS, finish_reason="tool_calls"))
        ids: list[str] = []
        for _ in range(2):
            deltas = [
                delta for chunk in await collect(provider, with_tools) for delta in chunk.tool_calls
            ]
            first = {delta.index: delta for delta in reversed(deltas)}
            ids = [delta.id or "" for delta in first.values()]
            assert len(set(ids)) == len(_CALLS)
            assert all(ids)
            assert all(delta.name for delta in first.values())

    async def test_tool_calls_may_follow_text(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest
    ) -> None:
        answer = Answer(
            text=("Let me ", "look."), tool_calls=_CALLS[:1], finish_reason="tool_calls"
        )
        upstream.will_answer(answer, piece_size=3)
        chunks = await collect(provider, with_tools)
        assert text_of_chunks(chunks) == "Let me look."
        assert [name for name, _ in _called(chunks)] == ["get_weather"]

    async def test_tool_results_go_back(
        self, provider: ChatProvider, upstream: Upstream, with_tools: ChatRequest
    ) -> None:
        conversation = (
            Message(role="user", content="Weather and time?"),
            Message(role="assistant", content=None, tool_calls=_CALLS[:2]),
            Message(role="tool", content='{"sky": "grey"}', tool_call_id="call_a"),
            Message(role="tool", content="12:00", tool_call_id="call_b"),
        )
        await collect(provider, msgspec.structs.replace(with_tools, messages=conversation))
        user, calls, *results = upstream.wire.asked(upstream.requests[-1]).messages
        assert (user.role, user.content) == ("user", "Weather and time?")
        assert [
            (call.function.name, json.loads(call.function.arguments)) for call in calls.tool_calls
        ] == [("get_weather", {"city": 'Zürich "HB"', "days": 2}), ("now", {})]
        assert [(result.role, result.content) for result in results] == [
            ("tool", '{"sky": "grey"}'),
            ("tool", "12:00"),
        ]
        assert [result.tool_call_id or result.name for result in results] in (
            ["call_a", "call_b"],
            ["get_weather", "now"],
        )


def _called(chunks: list[ChatChunk]) -> list[tuple[str, object]]:
    """Put the calls together as every consumer does: by index."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
        names[delta.index] = delta.name or names[delta.index]
        arguments[delta.index] = arguments.get(delta.index, "") + delta.arguments
    return [(names[index], json.loads(arguments[index] or "{}")) for index in sorted(names)]
