"""The loop of an agent: what is streamed, what is hidden, and what is remembered."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runtime_core.engine.handlers.backstage import Backstage
from runtime_core.errors import UpstreamUnavailable
from runtime_core.types import (
    ChatChunk,
    ChatRequest,
    FunctionCall,
    Message,
    StepStarted,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
    Value,
)

STOP = ChatChunk(finish_reason="stop")
CALLS = ChatChunk(finish_reason="tool_calls")
CLIENT = (Tool("mine", "the client's"),)


@pytest.fixture
def agent(bench):
    """Make an agent over the hook ``web``; keyword arguments replace parts of its tasks."""
    bench.hooks.add("web", "search", Value("found", "string"))

    def make(*, ask=None, tools=None, after=(), **chain):
        return bench.chain(
            {
                "id": "ask",
                "handler": "chat_completion",
                "execute_config": {"hooks": ["web"], "pass_clients_tools": True},
                "transition": {
                    "branches": [
                        {"when": "tool-call", "goto": "tools"},
                        {"operator": "default", "goto": "end"},
                    ]
                },
                **(ask or {}),
            },
            {
                "id": "tools",
                "handler": "execute_tool_calls",
                "transition": {
                    "branches": [
                        {"when": "tools_executed", "goto": "ask"},
                        {"operator": "default", "goto": "end"},
                    ]
                },
                **(tools or {}),
            },
            *after,
            **chain,
        )

    return make


def request(*messages: Message, tools=CLIENT) -> Value:
    messages = messages or (Message(role="user", content="hi"),)
    return Value(ChatRequest(model="", messages=messages, tools=tools), "openai_chat")


def piece(index: int, name: str | None = None, arguments: str = "") -> ToolCallDelta:
    return ToolCallDelta(index, name and f"id-{index}", name, arguments)


def shown(result) -> list[ChatChunk]:
    """What a chat client sees."""
    return [delta.chunk for delta in result.deltas if delta.final]


def said(result) -> str:
    return "".join(chunk.text for chunk in shown(result))


# -------------------------------------------------------------------------
# What is streamed
# -------------------------------------------------------------------------


async def test_all_that_an_agent_says_is_streamed_and_set_apart(bench, agent):
    bench.models.answers(
        ChatChunk("Let me "), ChatChunk("look."), ChatChunk("", (piece(0, "web_search"),)), CALLS
    )
    bench.models.answers(ChatChunk("It "), ChatChunk("is."), STOP)
    result = await bench.run(agent(), request(), live=True)
    assert said(result) == "Let me look.\n\nIt is."
    assert result.messages[-1].content == "It is."
    assert result.messages[1].content == "Let me look."


async def test_nothing_is_added_where_nobody_sees_it_live(bench, agent):
    bench.models.answers(ChatChunk("One."), ChatChunk("", (piece(0, "web_search"),)), CALLS)
    bench.models.answers("Two.")
    result = await bench.run(agent(), request())
    assert said(result) == "One.Two."


async def test_an_answer_without_text_before_is_not_set_apart(bench, agent):
    bench.models.calls(("web_search", "{}"))
    bench.models.answers("It is.")
    result = await bench.run(agent(), request(), live=True)
    assert said(result) == "It is."


async def test_the_hooks_calls_are_hidden_and_the_clients_shown_without_gaps(bench, agent):
    bench.models.answers(
        ChatChunk("Hm", (piece(0, "web_search"), piece(1, "mine"))),
        ChatChunk("", (piece(0, None, "{}"), piece(1, None, '{"a"'))),
        ChatChunk("", (piece(1, None, ": 1}"), piece(2, "web_search", "{}"), piece(3, "mine"))),
        CALLS,
    )
    result = await bench.run(agent(), request(), live=True)
    assert shown(result)[:-1] == [
        ChatChunk("Hm", (ToolCallDelta(0, "id-1", "mine"),)),
        ChatChunk("", (ToolCallDelta(0, arguments='{"a"'),)),
        ChatChunk("", (ToolCallDelta(0, arguments=": 1}"), ToolCallDelta(1, "id-3", "mine"))),
    ]
    hidden = [delta.chunk for delta in result.deltas if not delta.final]
    assert [one.name for chunk in hidden for one in chunk.tool_calls if one.name] == [
        "web.search",
        "web.search",
    ]
    last = result.messages[-1]
    assert [(one.id, one.function.arguments) for one in last.tool_calls] == [
        ("id-1", '{"a": 1}'),
        ("id-3", ""),
    ]
    assert last.content == "Hm"


async def test_a_chain_that_executes_nothing_shows_every_call(bench):
    bench.hooks.add("web", "search", Value("found", "string"))
    bench.models.calls(("web_search", "{}"))
    task = {"handler": "chat_completion", "execute_config": {"hooks": ["web"]}}
    result = await bench.one(task, request(), live=True)
    assert shown(result)[0].tool_calls[0].name == "web.search"


ELSEWHERE = [
    pytest.param(
        {"tools": {"transition": {"branches": [{"operator": "default", "goto": "end"}]}}},
        id="the tools' results are the answer",
    ),
    pytest.param(
        {"tools": {"transition": {"branches": [{"operator": "default", "goto": "ask"}]}}},
        id="a call that is left goes round again",
    ),
    pytest.param(
        {
            "tools": {
                "transition": {
                    "branches": [
                        {"when": "tools_executed", "goto": "last"},
                        {"operator": "default", "goto": "end"},
                    ]
                }
            },
            "after": ({"id": "last", "handler": "noop", "prompt_template": "other"},),
        },
        id="something else follows the tools",
    ),
    pytest.param(
        {
            "tools": {
                "transition": {
                    "branches": [
                        {
                            "when": "tools_executed",
                            "goto": "ask",
                            "compose": {
                                "with_var": "input",
                                "strategy": "override",
                            },
                        },
                        {"operator": "default", "goto": "end"},
                    ]
                }
            }
        },
        id="the results are joined with something",
    ),
    pytest.param(
        {
            "ask": {
                "transition": {
                    "branches": [
                        {"when": "tool-call", "goto": "tools"},
                        {"operator": "default", "goto": "last"},
                    ]
                }
            },
            "after": ({"id": "last", "handler": "noop", "prompt_template": "other"},),
        },
        id="the answer is worked on",
    ),
]


@pytest.mark.parametrize("parts", ELSEWHERE)
async def test_what_may_go_elsewhere_is_not_streamed(bench, agent, parts):
    bench.models.answers("It is.")
    result = await bench.run(agent(**parts), request(), live=True)
    assert result.error is None
    assert shown(result) == []


async def test_a_later_turn_that_nobody_saw_is_tried_again(bench, agent):
    bench.models.answers(ChatChunk("One."), ChatChunk("", (piece(0, "web_search"),)), CALLS)
    bench.models.answers(UpstreamUnavailable("refused"))
    bench.models.answers("Two.")
    result = await bench.run(agent(ask={"retry_on_failure": 1}), request(), live=True)
    assert result.path == ["ask", "tools", "ask", "ask"]
    assert said(result) == "One.\n\nTwo."


async def test_the_steps_of_an_agent_end(bench, agent):
    for _ in range(3):
        bench.models.calls(("web_search", "{}"))
    result = await bench.run(agent(max_steps=5), request(), live=True)
    assert result.error.code == "step_limit_exceeded"
    assert sum(isinstance(event, StepStarted) for event in result.events) == 5


# -------------------------------------------------------------------------
# What is remembered
# -------------------------------------------------------------------------


def answered(result) -> list[Message]:
    """What a chat client sends back of an answer: the message, and results of its tools."""
    last = result.messages[-1]
    bare = Message(role="assistant", content=last.content or "", tool_calls=last.tool_calls)
    results = [Message(role="tool", content="done", tool_call_id=one.id) for one in last.tool_calls]
    return [bare, *results]


def sent(bench) -> list[tuple[str, object]]:
    """What the model was sent last: roles, with the calls or results."""
    return [
        (one.role, [call.function.name for call in one.tool_calls] or one.content)
        for one in bench.models.requests[-1].messages
    ]


async def test_what_the_client_has_not_seen_is_put_back(bench, agent):
    user = Message(role="user", content="hi")
    chain = agent(ask={"system_instruction": "Be brief."})
    bench.models.calls(("web_search", "{}"))
    bench.models.calls(("web_search", "{}"), ("mine", "{}"))
    first = await bench.run(chain, request(user))
    conversation = [user, *answered(first)]
    bench.models.calls(("web_search", "{}"))
    bench.models.calls(("mine", "{}"))
    second = await bench.run(chain, request(*conversation))
    once = [("assistant", ["web_search"]), ("tool", "found")]
    own = [("assistant", ["mine"]), ("tool", "done")]
    before = [("system", "Be brief."), ("user", "hi"), *once, *once, *own]
    assert sent(bench) == [*before, *once]
    conversation += answered(second)
    bench.models.answers("Done.")
    last = await bench.run(chain, request(*conversation))
    assert sent(bench) == [*before, *once, *own]
    assert last.messages[-1].content == "Done."


async def test_results_that_look_like_the_clients_are_put_back_whole(bench, agent):
    conversation = [Message(role="user", content="hi")]
    for _ in range(2):
        bench.models.calls(("web_search", "{}"), ("web_search", "{}"))
        bench.models.calls(("mine", "{}"))
        turn = await bench.run(agent(), request(*conversation))
        asking, result = answered(turn)
        # ids come again: some services count calls anew in each answer
        assert result.tool_call_id == turn.messages[-3].tool_call_id == "call-0"
        conversation += [asking, replace(result, content="found")]
    bench.models.answers("Done.")
    await bench.run(agent(), request(*conversation))
    hidden = [("assistant", ["web_search", "web_search"]), ("tool", "found"), ("tool", "found")]
    own = [("assistant", ["mine"]), ("tool", "found")]
    assert sent(bench) == [("user", "hi"), *hidden, *own, *hidden, *own]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant_id": "other"},
        {"chain": "other"},
        {"content": "hello"},
        {"id": "other"},
    ],
)
async def test_nothing_is_put_into_another_conversation(bench, agent, other):
    bench.models.calls(("web_search", "{}"), ("mine", "{}"))
    first = await bench.run(agent(), request())
    bare, result = answered(first)
    if "id" in other:
        call = ToolCall(other["id"], FunctionCall("mine", "{}"))
        bare = Message(role="assistant", content="", tool_calls=(call,))
    user = Message(role="user", content=other.get("content", "hi"))
    bench.models.answers("x")
    tenant = {"tenant_id": other["tenant_id"]} if "tenant_id" in other else {}
    chain = agent(id=other["chain"]) if "chain" in other else agent()
    await bench.run(chain, request(user, bare, result), **tenant)
    assert [role for role, _ in sent(bench)] == ["user", "assistant", "tool"]


class Place:
    """As much of a task's call as is asked for."""

    def __init__(self, value, chain):
        self.request = type("Run", (), {"tenant_id": "t", "input": value})
        self.chain = chain


@pytest.mark.parametrize(("limits", "kept"), [({"size": 8}, 2), ({"largest": 3}, 0), ({}, 3)])
def test_little_is_remembered(bench, limits, kept):
    backstage = Backstage(**limits)
    chain = bench.chain({"id": "a", "handler": "noop"})
    conversations = []
    for number in range(3):
        user = Message(role="user", content=str(number))
        call = Message(role="assistant", tool_calls=(ToolCall("c", FunctionCall("mine")),))
        place = Place(request(user), chain)
        hidden = Message(role="tool", content="1234", tool_call_id="h")
        backstage.keep(place, (user, hidden, call))
        conversations.append((place, (user, call)))
    found = [len(backstage.restored(*one)) == 3 for one in conversations]
    assert found == [False] * (3 - kept) + [True] * kept


async def test_usage_is_the_sum_of_all_turns(bench, agent):
    bench.models.answers(
        ChatChunk("", (piece(0, "web_search"),)),
        ChatChunk(finish_reason="tool_calls", usage=Usage(10, 1)),
    )
    bench.models.answers(ChatChunk("x"), ChatChunk(finish_reason="stop", usage=Usage(20, 2)))
    result = await bench.run(agent(), request())
    assert (result.output.input_tokens, result.output.output_tokens) == (20, 2)
    assert result.output.earlier == Usage(10, 1)
