from __future__ import annotations

import asyncio
import logging

import pytest

from runtime_core.errors import (
    InvalidChain,
    NoBackendAvailable,
    RuntimeCoreError,
    StepLimitExceeded,
    TaskFailed,
    TimedOut,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.types import (
    DATA_TYPES,
    ChatChunk,
    ChatHistory,
    ChatRequest,
    Delta,
    Message,
    ModelRouted,
    Outcome,
    RunFinished,
    StepFinished,
    StepStarted,
    ToolCallDelta,
    Value,
)


class Scripted:
    """A handler that does what its function says."""

    accepts = DATA_TYPES
    returns = None
    transitions = None

    def __init__(self, function):
        self.run = function


def chat(text: str = "hi") -> Value:
    return Value(
        ChatRequest(model="m", messages=(Message(role="user", content=text),)), "openai_chat"
    )


def names(events) -> list[str]:
    return [type(event).__name__ for event in events]


# -------------------------------------------------------------------------
# The way through a chain
# -------------------------------------------------------------------------


async def test_one_task_yields_its_step_and_the_end(bench):
    result = await bench.one({"handler": "noop"}, "hello")
    assert names(result.events) == ["StepStarted", "StepFinished", "RunFinished"]
    assert result.events[0] == StepStarted("a", "noop", 1)
    assert (result.output, result.output_type) == ("hello", "string")
    [step] = result.steps
    assert (step.task_id, step.task_handler, step.transition) == ("a", "noop", "noop")
    assert (step.input_type, step.output_type, step.error) == ("string", "string", "")
    assert step.duration > 0


async def test_tasks_hand_their_output_on(bench):
    chain = bench.chain({"id": "a", "handler": "parse_key_value"}, {"id": "b", "handler": "noop"})
    result = await bench.run(chain, "k=1")
    assert result.path == ["a", "b"]
    assert (result.output, result.output_type) == ({"k": 1}, "json")


async def test_branches_choose_the_way(bench):
    chain = bench.chain(
        {
            "id": "a",
            "handler": "parse_command",
            "transition": {
                "branches": [
                    {"operator": "default", "goto": "end"},
                    {"operator": "equals", "when": "help", "goto": "c"},
                    {"operator": "equals", "when": "pass", "goto": "b"},
                ]
            },
        },
        {"id": "b", "handler": "noop"},
        {"id": "c", "handler": "noop"},
    )
    assert (await bench.run(chain, "/help me")).path == ["a", "c"]
    assert (await bench.run(chain, "hello")).path == ["a", "b", "c"]
    assert (await bench.run(chain, "/other")).path == ["a"]


async def test_an_empty_goto_ends_the_chain(bench, goto):
    assert (await bench.one({"handler": "noop", "transition": goto("")})).output == "hello"


async def test_no_branch_that_matches_fails_the_run_and_says_what_there_is(bench):
    transition = {
        "on_failure": "a",
        "branches": [{"operator": "equals", "when": "help", "goto": "end"}],
    }
    result = await bench.one({"handler": "parse_command", "transition": transition}, "hello")
    assert isinstance(result.error, TaskFailed)
    assert "'pass'" in str(result.error)
    assert "equals 'help'" in str(result.error)
    assert result.steps[0].error == str(result.error)
    assert result.path == ["a"]


async def test_input_var_brings_back_an_earlier_value(bench):
    chain = bench.chain(
        {"id": "a", "handler": "parse_key_value"},
        {"id": "b", "handler": "noop", "input_var": "input"},
        {"id": "c", "handler": "noop", "input_var": "a"},
    )
    result = await bench.run(chain, "k=1")
    assert [step.output_type for step in result.steps] == ["json", "string", "json"]
    assert result.steps[1].input_var == "input"
    assert result.output == {"k": 1}


async def test_a_variable_that_does_not_exist_yet_fails_the_task(bench):
    chain = bench.chain(
        {"id": "a", "handler": "noop", "input_var": "b"}, {"id": "b", "handler": "noop"}
    )
    result = await bench.run(chain)
    assert "no variable 'b' yet" in str(result.error)
    assert "input, previous_output" in result.steps[0].error


async def test_prompt_template_replaces_the_input(bench):
    chain = bench.chain(
        {"id": "a", "handler": "parse_key_value"},
        {"id": "b", "handler": "noop", "prompt_template": "{{.input}} / {{.previous_output}}"},
    )
    result = await bench.run(chain, "k=1")
    assert (result.output, result.output_type) == ('k=1 / {"k":1}', "string")


async def test_print_cannot_see_its_own_output(bench):
    chain = bench.chain(
        {"id": "a", "handler": "noop", "prompt_template": "one"},
        {"id": "b", "handler": "noop", "prompt_template": "two", "print": "{{.previous_output}}"},
    )
    await bench.run(chain)
    assert bench.printed == ["one"]


async def test_print_goes_to_standard_output(bench, capsys):
    bench.machine = bench.new_machine(printer=None)
    await bench.one({"handler": "noop", "print": "seen {{.input}}"})
    assert capsys.readouterr().out == "seen hello\n"


async def test_a_print_that_cannot_be_rendered_fails_the_run(bench):
    result = await bench.one({"handler": "noop", "print": "{{.a}}"})
    assert "'a'" in str(result.error) or " a" in str(result.error)
    assert result.steps[0].error


async def test_forked_values_are_joined(bench, goto):
    join = {"compose": {"with_var": "a", "strategy": "override"}}
    chain = bench.chain(
        {"id": "a", "handler": "parse_key_value", "prompt_template": "x=1,y=1"},
        {
            "id": "b",
            "handler": "parse_key_value",
            "prompt_template": "y=2",
            "transition": {"branches": [{"when": "parsed", "goto": "c", **join}]},
        },
        {"id": "c", "handler": "noop", "input_var": "b_parsed_composed"},
        {"id": "d", "handler": "noop", "input_var": "b"},
    )
    result = await bench.run(chain)
    assert result.output == {"x": 1, "y": 2}
    assert result.steps[2].output_type == "json"


async def test_values_that_cannot_be_joined_fail_the_run(bench, goto):
    compose = {"with_var": "input", "strategy": "merge_chat_histories"}
    result = await bench.one({"handler": "noop", "transition": goto("end", compose=compose)})
    assert "merge_chat_histories" in str(result.error)
    assert result.steps[0].error == str(result.error)


async def test_debug_fills_input_and_output(bench):
    task = {"id": "a", "handler": "parse_key_value"}
    quiet = await bench.run(bench.chain(task), "k=1")
    loud = await bench.run(bench.chain(task, debug=True), "k=1")
    text = await bench.run(bench.chain({"id": "a", "handler": "noop"}, debug=True), "Paris")
    assert (quiet.steps[0].input, quiet.steps[0].output) == ("", "")
    assert (loud.steps[0].input, loud.steps[0].output) == ("k=1", '{"k":1}')
    assert text.steps[0].output == '"Paris"'


async def test_macros_are_expanded_once_and_are_data(bench):
    chain = bench.chain(
        {
            "id": "a",
            "handler": "prompt_to_string",
            "system_instruction": "for {{var:who}}",
            "prompt_template": "{{var:who}} asks in {{chain:id}}",
            "execute_config": {"model": "{{var:model}}"},
        }
    )
    bench.models.answers("ok")
    variables = {"who": "{{.input}}", "model": "m7"}
    result = await bench.run(chain, template_vars=variables)
    assert result.error is None
    wanted, request = bench.models.asked[0]
    assert wanted.models == ("m7",)
    assert [message.content for message in request.messages] == [
        "for {{.input}}",
        "{{.input}} asks in test",
    ]


async def test_a_macro_that_cannot_be_expanded_fails_the_run(bench):
    task = {"handler": "noop", "prompt_template": "{{hookservice:tools nope}}"}
    assert "nope" in str((await bench.one(task)).error)


# -------------------------------------------------------------------------
# Refusing
# -------------------------------------------------------------------------


async def test_an_invalid_chain_is_refused_before_the_first_event_with_every_problem(bench):
    chain = bench.chain(
        {"id": "a", "handler": "nope", "timeout": "soon"}, {"id": "a", "handler": "noop"}
    )
    result = await bench.run(chain)
    assert isinstance(result.error, InvalidChain)
    assert result.events == []
    assert len(result.error.problems) >= 3
    assert result.error.status == 400


async def test_an_input_the_chain_does_not_take_is_refused(bench):
    result = await bench.one({"handler": "chat_completion"}, "text")
    assert isinstance(result.error, InvalidChain)
    assert result.events == []
    [problem] = result.error.problems
    assert "chat_completion is handed string" in problem


async def test_a_chain_that_takes_one_input_type_still_refuses_another(bench):
    chain = bench.chain({"id": "a", "handler": "chat_completion"})
    bench.models.answers("ok")
    assert (await bench.run(chain, chat())).error is None
    assert isinstance((await bench.run(chain, "text")).error, InvalidChain)
    bench.models.answers("ok")
    assert (await bench.run(chain, chat())).error is None


async def test_a_type_known_only_at_run_time_is_checked_then(bench):
    bench.hooks.add("h", "t", Value({"a": 1}, "json"))
    chain = bench.chain(
        {"id": "a", "handler": "hook", "hook": {"name": "h", "tool_name": "t"}},
        {"id": "b", "handler": "prompt_to_string"},
    )
    result = await bench.run(chain)
    assert "task 'b': prompt_to_string is handed json" in str(result.error)
    assert result.path == ["a", "b"]


# -------------------------------------------------------------------------
# Failing and trying again
# -------------------------------------------------------------------------


async def test_a_failing_step_is_yielded_before_the_error_is_raised(bench):
    result = await bench.one({"handler": "raise_error"}, "went wrong")
    assert str(result.error) == "went wrong"
    assert names(result.events) == ["StepStarted", "StepFinished"]
    assert result.steps[0].error == "went wrong"
    assert result.steps[0].output_type == "any"


async def test_a_failure_that_may_pass_is_tried_again_each_attempt_a_step(bench):
    bench.models.answers(UpstreamUnavailable("down"))
    bench.models.answers(UpstreamUnavailable("down"))
    bench.models.answers("fine")
    result = await bench.one({"handler": "prompt_to_string", "retry_on_failure": 2})
    assert result.output == "fine"
    assert [step.error for step in result.steps] == ["down", "down", ""]
    started = [event.attempt for event in result.events if isinstance(event, StepStarted)]
    assert started == [1, 2, 3]


async def test_a_final_failure_is_not_tried_again(bench):
    bench.models.answers(UpstreamRejected("no"))
    result = await bench.one({"handler": "prompt_to_string", "retry_on_failure": 5})
    assert isinstance(result.error, UpstreamRejected)
    assert len(result.steps) == 1
    assert bench.slept == []


async def test_negative_retries_are_none(bench):
    bench.models.answers(UpstreamUnavailable("down"))
    result = await bench.one({"handler": "prompt_to_string", "retry_on_failure": -3})
    assert len(result.steps) == 1


async def test_waits_longer_before_each_attempt_and_never_without_jitter(bench):
    for _ in range(4):
        bench.models.answers(UpstreamUnavailable("down"))
    task = {"handler": "prompt_to_string", "retry_on_failure": 3}
    await bench.one(task)
    full = bench.slept[:]
    assert full == sorted(full)
    assert full[1] == 2 * full[0]
    assert full[2] == 4 * full[0]
    bench.slept.clear()
    bench.machine = bench.new_machine(jitter=lambda: 0.0)
    for _ in range(4):
        bench.models.answers(UpstreamUnavailable("down"))
    await bench.one(task)
    assert bench.slept == [delay / 2 for delay in full]


async def test_waits_as_long_as_the_upstream_asks_for(bench):
    bench.models.answers(NoBackendAvailable("busy", retry_after=7.0))
    bench.models.answers("fine")
    await bench.one({"handler": "prompt_to_string", "retry_on_failure": 1})
    assert bench.slept == [7.0]


async def test_on_failure_takes_over_with_nothing(bench):
    chain = bench.chain(
        {
            "id": "a",
            "handler": "raise_error",
            "transition": {"on_failure": "b"},
        },
        {"id": "b", "handler": "noop"},
    )
    result = await bench.run(chain)
    assert result.path == ["a", "b"]
    assert (result.output, result.output_type) == (None, "any")
    assert result.steps[0].error == "hello"


async def test_on_failure_can_use_what_came_before(bench):
    chain = bench.chain(
        {"id": "a", "handler": "raise_error", "transition": {"on_failure": "b"}},
        {"id": "b", "handler": "noop", "prompt_template": "sorry about {{.input}}"},
    )
    assert (await bench.run(chain)).output == "sorry about hello"


async def test_on_failure_comes_after_the_last_attempt(bench, goto):
    chain = bench.chain(
        {
            "id": "a",
            "handler": "prompt_to_string",
            "retry_on_failure": 1,
            "transition": {**goto("end"), "on_failure": "b"},
        },
        {"id": "b", "handler": "noop", "input_var": "input"},
    )
    bench.models.answers(UpstreamUnavailable("down"))
    bench.models.answers(UpstreamUnavailable("down"))
    assert (await bench.run(chain)).path == ["a", "a", "b"]


async def test_a_handlers_fault_shows_no_insides_but_is_logged(bench, caplog):
    async def broken(call):
        raise KeyError("secret insides")
        yield

    bench.handlers["broken"] = Scripted(broken)
    bench.machine = bench.new_machine()
    with caplog.at_level(logging.ERROR):
        result = await bench.one({"handler": "broken", "retry_on_failure": 3})
    assert type(result.error) is RuntimeCoreError
    assert result.error.status == 500
    assert "secret" not in str(result.error)
    assert "secret" not in result.steps[0].error
    assert len(result.steps) == 1
    assert "run-1" in caplog.text
    assert "secret insides" in caplog.text


async def test_a_handler_without_outcome_is_at_fault(bench, caplog):
    async def silent(call):
        return
        yield

    bench.handlers["silent"] = Scripted(silent)
    bench.machine = bench.new_machine()
    result = await bench.one({"handler": "silent"})
    assert result.error.status == 500
    assert "without an outcome" in caplog.text


async def test_a_handlers_own_time_out_is_not_the_tasks(bench, caplog):
    async def slow(call):
        raise TimeoutError
        yield

    bench.handlers["slow"] = Scripted(slow)
    bench.machine = bench.new_machine()
    result = await bench.one({"handler": "slow", "timeout": "10s"})
    assert type(result.error) is RuntimeCoreError


# -------------------------------------------------------------------------
# Limits
# -------------------------------------------------------------------------


LOOP = {
    "branches": [
        {"operator": "equals", "when": "stop", "goto": "end"},
        {"operator": "default", "goto": "a"},
    ]
}


async def test_an_endless_loop_stops_at_the_default_limit(bench):
    result = await bench.one({"handler": "parse_command", "transition": LOOP})
    assert isinstance(result.error, StepLimitExceeded)
    assert result.error.status == 400
    assert len(result.steps) == 200


@pytest.mark.parametrize("limit", [1, 7])
async def test_the_chain_sets_its_own_limit(bench, limit):
    chain = bench.chain(
        {"id": "a", "handler": "parse_command", "transition": LOOP}, max_steps=limit
    )
    assert len((await bench.run(chain)).steps) == limit


async def test_exactly_as_many_steps_as_allowed_are_no_error(bench):
    tasks = [{"id": f"t{number}", "handler": "noop"} for number in range(5)]
    bench.machine = bench.new_machine(max_steps=5)
    assert (await bench.run(bench.chain(*tasks))).error is None


async def test_attempts_count_as_steps(bench):
    for _ in range(3):
        bench.models.answers(UpstreamUnavailable("down"))
    chain = bench.chain(
        {"id": "a", "handler": "prompt_to_string", "retry_on_failure": 5}, max_steps=3
    )
    assert isinstance((await bench.run(chain)).error, StepLimitExceeded)


async def test_a_thousand_steps(bench):
    tasks = [{"id": f"t{number}", "handler": "noop"} for number in range(1000)]
    result = await bench.run(bench.chain(*tasks, max_steps=1000))
    assert result.output == "hello"
    assert result.path == [f"t{number}" for number in range(1000)]


async def test_a_long_loop_lets_others_have_their_turn(bench):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(other())
    await bench.one({"handler": "parse_command", "transition": LOOP})
    neighbour.cancel()
    assert turns >= 3


async def test_a_task_that_takes_too_long_is_cut_off(bench):
    before = asyncio.all_tasks()
    forever = asyncio.Event()
    bench.models.answers(ChatChunk("a"), forever.wait)
    result = await bench.one({"handler": "prompt_to_string", "timeout": "10ms"})
    assert isinstance(result.error, TimedOut)
    assert "'a' took longer than 10ms" in str(result.error)
    assert bench.models.open == 0
    assert asyncio.all_tasks() == before


async def test_a_task_in_time_is_left_alone(bench):
    bench.models.answers("fine")
    result = await bench.one({"handler": "prompt_to_string", "timeout": "1m"})
    assert result.output == "fine"
    assert names(result.events).count("Delta") == 2


async def test_each_attempt_has_its_own_time(bench):
    forever = asyncio.Event()
    bench.models.answers(ChatChunk("a"), forever.wait)
    bench.models.answers("fine")
    task = {"handler": "prompt_to_string", "timeout": "20ms", "retry_on_failure": 1}
    result = await bench.one(task)
    assert result.output == "fine"
    assert "took longer" in result.steps[0].error


# -------------------------------------------------------------------------
# Streaming and cancelling
# -------------------------------------------------------------------------


async def test_deltas_arrive_before_the_answer_ends(bench):
    gate = asyncio.Event()
    bench.models.answers(
        ChatChunk("Hel"), gate.wait, ChatChunk("lo"), ChatChunk(finish_reason="stop")
    )
    events = bench.start(bench.chain({"id": "a", "handler": "chat_completion"}), chat())
    seen = [await anext(events) for _ in range(3)]
    assert names(seen) == ["StepStarted", "ModelRouted", "Delta"]
    assert seen[1] == ModelRouted("a", bench.models.route)
    assert seen[2] == Delta("a", ChatChunk("Hel"), final=True)
    gate.set()
    rest = [event async for event in events]
    assert isinstance(rest[-1], RunFinished)


async def test_closing_the_run_closes_the_providers_stream_at_once(bench):
    forever = asyncio.Event()
    bench.models.answers(ChatChunk("a"), forever.wait)
    events = bench.start(bench.chain({"id": "a", "handler": "chat_completion"}), chat())
    async for event in events:
        if isinstance(event, Delta):
            break
    assert bench.models.open == 1
    await events.aclose()
    assert bench.models.open == 0


@pytest.mark.parametrize("handler", ["chat_completion", "prompt_to_string"])
@pytest.mark.parametrize("allowed", ["", "1h"])
async def test_cancelling_the_reader_closes_the_providers_stream(bench, handler, allowed):
    before = asyncio.all_tasks()
    waiting, forever = asyncio.Event(), asyncio.Event()

    async def wait():
        waiting.set()
        await forever.wait()

    bench.models.answers(ChatChunk("a"), wait)
    task = {"handler": handler, "timeout": allowed}
    reader = asyncio.create_task(bench.one(task, chat()))
    await waiting.wait()
    assert bench.models.open == 1
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert bench.models.open == 0
    assert asyncio.all_tasks() == before


async def test_cancelling_while_waiting_for_the_next_attempt_ends_the_run(bench):
    waiting, forever = asyncio.Event(), asyncio.Event()

    async def sleep(seconds):
        waiting.set()
        await forever.wait()

    bench.machine = bench.new_machine(sleep=sleep)
    bench.models.answers(UpstreamUnavailable("down"))
    task = {"handler": "prompt_to_string", "retry_on_failure": 1}
    reader = asyncio.create_task(bench.one(task))
    await waiting.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader


FINAL = [
    pytest.param([{"id": "a", "handler": "chat_completion"}], True, id="to the end"),
    pytest.param([{"id": "a", "handler": "model_execution"}], True, id="by its older name"),
    pytest.param(
        [
            {"id": "a", "handler": "chat_completion"},
            {"id": "b", "handler": "convert_to_openai_chat_response"},
        ],
        True,
        id="through a conversion",
    ),
    pytest.param(
        [
            {"id": "a", "handler": "chat_completion"},
            {"id": "b", "handler": "noop"},
            {"id": "c", "handler": "convert_to_openai_chat_response"},
        ],
        True,
        id="through noop and conversion",
    ),
    pytest.param(
        [
            {"id": "a", "handler": "chat_completion"},
            {"id": "b", "handler": "noop", "prompt_template": "x"},
        ],
        False,
        id="replaced by a template",
    ),
    pytest.param(
        [
            {"id": "a", "handler": "chat_completion"},
            {"id": "b", "handler": "noop", "input_var": "input"},
        ],
        False,
        id="replaced by a variable",
    ),
    pytest.param(
        [{"id": "a", "handler": "chat_completion"}, {"id": "b", "handler": "parse_command"}],
        False,
        id="into another handler",
    ),
    pytest.param([{"id": "a", "handler": "prompt_to_string"}], False, id="of another handler"),
    pytest.param(
        [
            {
                "id": "a",
                "handler": "chat_completion",
                "transition": {
                    "branches": [
                        {"when": "tool-call", "goto": "b"},
                        {"operator": "default", "goto": "end"},
                    ]
                },
            },
            {"id": "b", "handler": "execute_tool_calls"},
        ],
        False,
        id="maybe into tools",
    ),
    pytest.param(
        [
            {
                "id": "a",
                "handler": "chat_completion",
                "transition": {
                    "branches": [
                        {"operator": "default", "goto": "end", "compose": {"with_var": "input"}}
                    ]
                },
            },
        ],
        False,
        id="joined with something",
    ),
]


@pytest.mark.parametrize(("tasks", "final"), FINAL)
async def test_deltas_are_final_when_the_output_can_only_be_the_runs(bench, tasks, final):
    bench.models.answers("hi")
    history = ChatHistory((Message(role="user", content="q"),))
    result = await bench.run(bench.chain(*tasks), Value(history, "chat_history"))
    assert result.error is None
    assert {delta.final for delta in result.deltas} == {final}


@pytest.mark.parametrize(
    "piece",
    [
        ChatChunk("Hel"),
        ChatChunk(reasoning="hm"),
        ChatChunk(tool_calls=(ToolCallDelta(0, "c", "t"),)),
    ],
)
async def test_an_answer_already_shown_is_not_tried_again(bench, goto, piece):
    task = {
        "handler": "chat_completion",
        "retry_on_failure": 3,
        "transition": {**goto("end"), "on_failure": "a"},
    }
    bench.models.answers(piece, UpstreamProtocolError("broke"))
    result = await bench.one(task, chat(), live=True)
    assert isinstance(result.error, UpstreamProtocolError)
    assert len(result.steps) == 1


async def test_an_answer_that_nobody_saw_is_tried_again(bench):
    task = {"handler": "chat_completion", "retry_on_failure": 1}
    bench.models.answers(ChatChunk("Hel"), UpstreamProtocolError("broke"))
    bench.models.answers("Hello")
    result = await bench.one(task, chat())
    assert result.messages[-1].content == "Hello"
    bench.models.answers(ChatChunk(), UpstreamProtocolError("before the first word"))
    bench.models.answers("Hello")
    assert (await bench.one(task, chat(), live=True)).messages[-1].content == "Hello"


async def test_two_runs_of_one_chain_do_not_meet(bench):
    asked, gate = asyncio.Event(), asyncio.Event()

    async def wait():
        asked.set()
        await gate.wait()

    bench.models.answers(wait, ChatChunk("one"), ChatChunk(finish_reason="stop"))
    bench.models.answers("two")
    chain = bench.chain(
        {"id": "a", "handler": "prompt_to_string"},
        {"id": "b", "handler": "noop", "prompt_template": "{{.input}} {{.a}}"},
    )
    first = asyncio.create_task(bench.run(chain, "first"))
    await asked.wait()
    second = await bench.run(chain, "second")
    gate.set()
    assert second.output == "second two"
    assert (await first).output == "first one"


async def test_a_plugins_handler_sees_the_run(bench):
    seen = {}

    async def curious(call):
        seen.update(
            task=call.task.id,
            chain=call.chain.id,
            value=call.value,
            run=call.request.run_id,
            names=sorted(call.variables),
            text=call.render("{{.input}} {{.more}}", more="!"),
        )
        yield Outcome(Value([1], "vector"), "ok")

    bench.handlers["curious"] = Scripted(curious)
    bench.machine = bench.new_machine()
    result = await bench.one({"handler": "curious"})
    assert result.output == [1]
    assert seen == {
        "task": "a",
        "chain": "test",
        "value": Value("hello", "string"),
        "run": "run-1",
        "names": ["input", "previous_output"],
        "text": "hello !",
    }


async def test_chains_of_equal_content_share_their_preparation(bench):
    compiled = bench.machine._plans
    chain = bench.chain({"id": "a", "handler": "noop"})
    again = bench.chain({"id": "a", "handler": "noop"})
    other = bench.chain({"id": "b", "handler": "noop"})
    assert await compiled.get(chain, "string") is await compiled.get(again, "string")
    assert await compiled.get(chain, "string") is not await compiled.get(other, "string")


async def test_preparations_do_not_pile_up(bench):
    plans = bench.machine._plans
    padding = "x" * 300_000
    first = bench.chain({"id": "first", "handler": "noop"})
    await plans.get(first, "string")
    for number in range(40):
        await plans.get(
            bench.chain({"id": f"t{number}", "handler": "noop", "description": padding}), "string"
        )
    huge = bench.chain({"id": "huge", "handler": "noop", "description": "x" * 2_000_000})
    assert await plans.get(huge, "string") is not await plans.get(huge, "string")
    assert len(plans._kept) < 20
    assert len(plans._by_identity) == len(plans._kept)
    assert (await plans.get(first, "string")).chain is first


async def test_a_large_chain_is_prepared_beside_the_event_loop(bench):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(other())
    template = "{% if input %}{{.input}}{% endif %} "
    tasks = [
        {"id": f"t{n}", "handler": "noop", "prompt_template": f"{template}{n}"} for n in range(150)
    ]
    await bench.machine._plans.get(bench.chain(*tasks), "string")
    neighbour.cancel()
    assert turns > 2


async def test_step_finished_is_the_last_word_on_a_step(bench):
    bench.models.answers("hi")
    result = await bench.one({"handler": "prompt_to_string"})
    kinds = names(result.events)
    assert kinds == [
        "StepStarted",
        "ModelRouted",
        "Delta",
        "Delta",
        "StepFinished",
        "RunFinished",
    ]
    assert isinstance(result.events[-2], StepFinished)
