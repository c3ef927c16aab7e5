"""Whatever a client sends as a chain: it is read or refused, checked, and run or refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runtime_core.engine.chain import decode_chain, encode_chain
from runtime_core.errors import InvalidChain, InvalidRequest, Unprocessable
from runtime_core.types import RunFinished, StepFinished

IDS = st.sampled_from(["a", "b", "c", "end", "", "d-e"])
WORDS = st.sampled_from(
    ["", "a", "input", "{{.input}}", "{{", "1-5", "5", "(", "noop", "10ms", "x=1"]
)
OPERATORS = st.sampled_from(["", "equals", "contains", ">", "in_range", "regex", "default", "what"])
HANDLERS = st.sampled_from(
    ["noop", "parse_command", "parse_key_value", "raise_error", "hook", "execute_tool_calls", "?"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def partly(**fields):
    return st.fixed_dictionaries({}, optional=fields)


BRANCH = partly(
    operator=OPERATORS,
    when=WORDS,
    goto=IDS,
    compose=partly(with_var=WORDS, strategy=st.sampled_from(["", "override", "what"])),
)
TASK = partly(
    id=IDS,
    handler=HANDLERS,
    prompt_template=WORDS,
    print=WORDS,
    output_template=WORDS,
    input_var=WORDS,
    timeout=WORDS,
    retry_on_failure=st.integers(-1, 2),
    valid_conditions=st.dictionaries(WORDS, st.booleans(), max_size=2),
    hook=partly(name=WORDS, tool_name=WORDS, args=st.dictionaries(WORDS, JSON, max_size=2)),
    transition=partly(branches=st.lists(BRANCH, max_size=3), on_failure=IDS),
)
CHAIN = partly(id=IDS, debug=st.booleans(), tasks=st.lists(TASK, max_size=4), max_steps=st.just(9))
SOUND = partly(
    handler=st.sampled_from(["noop", "parse_command", "parse_key_value", "raise_error"]),
    prompt_template=st.sampled_from(["", "{{.input}}", "{{.t0}}", "x=1", "/go"]),
    print=st.sampled_from(["", "{{json .previous_output}}"]),
    input_var=st.sampled_from(["", "input", "previous_output"]),
    timeout=st.sampled_from(["", "1m"]),
    branches=st.lists(
        st.fixed_dictionaries(
            {"operator": st.sampled_from(["equals", "contains", "regex"]), "when": st.just("go")},
            optional={"compose": st.just({"with_var": "input"})},
        ),
        max_size=2,
    ),
).map(lambda task: {"handler": "noop", **task})
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(data=st.dictionaries(st.sampled_from(["id", "tasks", "debug", "token_limit"]), JSON) | JSON)
def test_anything_is_read_or_refused(data):
    try:
        chain = decode_chain(data)
    except Unprocessable:
        return
    assert decode_chain(encode_chain(chain)) == chain


@given(data=CHAIN)
def test_what_is_read_survives_being_written(data):
    chain = decode_chain(data)
    assert decode_chain(encode_chain(chain)) == chain


@FIXTURE
@given(data=CHAIN)
@example(data={"tasks": [{"id": "a", "handler": "execute_tool_calls"}]})
def test_every_problem_is_a_sentence_and_refuses_the_run(bench, data):
    chain = decode_chain(data)
    problems = bench.machine.check(chain, "string")
    assert all(isinstance(problem, str) and problem for problem in problems)
    if problems:
        with pytest.raises(InvalidChain) as refused:
            run(bench, chain, "text")
        assert list(refused.value.problems) == problems


@FIXTURE
@given(tasks=st.lists(SOUND, min_size=1, max_size=5), text=WORDS)
def test_a_sound_chain_runs_to_an_end_or_an_error_of_the_clients(bench, tasks, text):
    ids = [f"t{number}" for number in range(len(tasks))]
    for task_id, following, task in zip(ids, [*ids[1:], "end"], tasks, strict=True):
        task["id"] = task_id
        task["transition"] = {
            "branches": [
                *({**branch, "goto": "end"} for branch in task.pop("branches", [])),
                {"operator": "default", "goto": following},
            ]
        }
    chain = decode_chain({"tasks": tasks, "debug": True, "max_steps": 4})
    with contextlib.suppress(InvalidRequest, Unprocessable):
        assert run(bench, chain, text) <= 4


def run(bench, chain, text) -> int:
    """Run to the end and return how many steps that took."""

    async def steps() -> int:
        events = [event async for event in bench.start(chain, text)]
        assert isinstance(events[-1], RunFinished)
        return sum(isinstance(event, StepFinished) for event in events)

    return asyncio.run(steps())
