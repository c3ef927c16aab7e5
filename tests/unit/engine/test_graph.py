from __future__ import annotations

import time

import pytest

from runtime_core.engine.chain import decode_chain
from runtime_core.types import Chain, HookInfo, Tool

END = {"branches": [{"operator": "default", "goto": "end"}]}


def to(*gotos: str, **more):
    return {"branches": [{"operator": "default", "goto": goto} for goto in gotos], **more}


@pytest.fixture
def problems(bench):
    def find(*tasks, **options):
        chain = decode_chain({"id": "c", "tasks": list(tasks)})
        return bench.machine.check(chain, **options)

    return find


@pytest.fixture
def problems_of(problems):
    """The problems of one task that is otherwise well."""

    def find(task, **options):
        base = {"id": "a", "handler": "noop", "transition": END}
        return problems({**base, **task}, **options)

    return find


def test_a_good_chain_has_no_problems(problems):
    good = problems(
        {"id": "a", "handler": "parse_command", "transition": to("b", on_failure="c")},
        {"id": "b", "handler": "prompt_to_string", "timeout": "1m30s", "transition": to("a", "")},
        {"id": "c", "handler": "raise_error"},
        input_type="string",
    )
    assert good == []


def test_an_empty_chain(bench):
    assert bench.machine.check(Chain()) == ["the chain has no tasks: add at least one"]


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"handler": "prompt_to_strin"}, "did you mean 'prompt_to_string'?"),
        ({"handler": ""}, "unknown handler ''"),
        ({"handler": "prompt_to_condition"}, "valid_conditions is empty"),
        ({"handler": "hook"}, "hook is missing"),
        ({"handler": "hook", "hook": {"tool_name": "t"}}, "hook is missing"),
        (
            {"handler": "text_to_embedding", "execute_config": {"models": ["a", "b"]}},
            "one model and one provider",
        ),
        (
            {"handler": "text_to_embedding", "execute_config": {"providers": ["a", "b"]}},
            "one model and one provider",
        ),
        ({"handler": "prompt_to_json", "output_schema": {"type": "nope"}}, "output_schema:"),
        (
            {"handler": "prompt_to_json", "output_schema": {"$ref": "http://127.0.0.1:9/x"}},
            "output_schema:",
        ),
        ({"transition": {}}, "transition has no branches"),
        ({"transition": {"branches": []}}, "transition has no branches"),
        ({"transition": to("end", on_failure="zz")}, "on_failure goes to 'zz'"),
        ({"transition": to("zz")}, "goto 'zz' is no task"),
        (
            {"transition": {"branches": [{"operator": "equal", "when": "x", "goto": "end"}]}},
            "branch 1: unknown operator 'equal'",
        ),
        (
            {"transition": {"branches": [{"operator": "regex", "when": "(", "goto": "end"}]}},
            "branch 1: ",
        ),
        (
            {"transition": {"branches": [{"operator": "in_range", "when": "x", "goto": "end"}]}},
            "branch 1: ",
        ),
        (
            {"transition": {"branches": [{"goto": "end", "compose": {"with_var": "zz"}}]}},
            "compose.with_var 'zz' names no variable",
        ),
        (
            {
                "transition": {
                    "branches": [
                        {"goto": "end", "compose": {"with_var": "input", "strategy": "zip"}}
                    ]
                }
            },
            "unknown compose strategy 'zip'",
        ),
        ({"timeout": "5 parsecs"}, "timeout: "),
        ({"prompt_template": "{{.input"}, "prompt_template: "),
        ({"print": "{{.input"}, "print: "),
        ({"output_template": "{{.input"}, "output_template: "),
        (
            {"handler": "hook", "hook": {"name": "h", "args": {"x": ["{{.input"]}}},
            "hook.args.x.0: ",
        ),
        ({"input_var": "imput"}, "did you mean 'input'?"),
    ],
)
def test_one_problem_of_one_task_is_named(problems_of, task, problem):
    found = problems_of(task)
    assert len(found) == 1, found
    assert found[0].startswith("task 'a': ")
    assert problem in found[0]


@pytest.mark.parametrize("name", ["input", "previous_output", "a", "a_x_y_composed"])
def test_variables_that_can_exist_are_no_problem(problems_of, name):
    compose = {"with_var": "input", "strategy": ""}
    transition = {"branches": [{"when": "X-y", "goto": "end", "compose": compose}]}
    assert problems_of({"input_var": name, "transition": transition}) == []


def test_ids_are_there_and_differ(problems):
    found = problems(
        {"id": "", "handler": "noop", "transition": to("x")},
        {"id": "x", "handler": "noop", "transition": END},
        {"id": "x", "handler": "noop", "transition": END},
        {"id": "end", "handler": "noop", "transition": END},
    )
    assert "task number 1 has no id" in found
    assert "2 tasks have the id 'x': give each its own" in found
    assert any("the id 'end' is taken" in problem for problem in found)


def test_every_problem_is_named_at_once(problems):
    found = problems(
        {"id": "a", "handler": "nope", "timeout": "x", "transition": to("zz")},
        {"id": "b", "handler": "hook", "transition": {}},
    )
    text = "\n".join(found)
    for part in ("nope", "timeout", "'zz'", "hook is missing", "no branches", "never reached"):
        assert part in text


def test_a_task_nothing_leads_to(problems):
    found = problems(
        {"id": "a", "handler": "noop", "transition": END},
        {"id": "b", "handler": "noop", "transition": to("c")},
        {"id": "c", "handler": "noop", "transition": to("b", "end")},
    )
    assert [problem.split(":")[0] for problem in found] == [
        "task 'b' is never reached",
        "task 'c' is never reached",
    ]


def test_failure_paths_lead_somewhere_too(problems):
    found = problems(
        {"id": "a", "handler": "noop", "transition": to("end", on_failure="b")},
        {"id": "b", "handler": "noop", "transition": END},
    )
    assert found == []


def test_a_loop_without_a_way_out(problems):
    found = problems(
        {"id": "s", "handler": "noop", "transition": to("a")},
        {"id": "a", "handler": "noop", "transition": to("b")},
        {"id": "b", "handler": "noop", "transition": to("a")},
    )
    [problem] = found
    assert problem.startswith("the loop 'a' → 'b' → 'a' has no way out")


def test_a_task_that_only_goes_to_itself(problems):
    [problem] = problems({"id": "a", "handler": "noop", "transition": to("a")})
    assert "the loop 'a' → 'a'" in problem


def test_a_failure_path_is_no_way_out_of_a_loop(problems):
    found = problems(
        {"id": "a", "handler": "noop", "transition": to("a", on_failure="b")},
        {"id": "b", "handler": "noop", "transition": END},
    )
    assert len(found) == 1
    assert "no way out" in found[0]


def test_a_task_that_always_fails_ends_a_loop_whatever_its_branches_say(problems):
    found = problems(
        {"id": "a", "handler": "noop", "transition": to("b")},
        {"id": "b", "handler": "raise_error", "prompt_template": "x", "transition": to("a")},
    )
    assert found == []


@pytest.mark.parametrize("way_out", ["end", "", "c", "d"])
def test_a_loop_with_a_way_out_is_fine(problems, way_out):
    found = problems(
        {"id": "a", "handler": "noop", "transition": to("b", "c", "d")},
        {"id": "b", "handler": "noop", "transition": to("a", way_out)},
        {"id": "c", "handler": "noop", "transition": END},
        {"id": "d", "handler": "raise_error", "prompt_template": "stop"},
    )
    assert found == []


def test_a_task_that_is_handed_a_type_it_does_not_take(problems):
    found = problems(
        {"id": "a", "handler": "parse_key_value", "transition": to("b")},
        {"id": "b", "handler": "noop", "transition": to("c")},
        {"id": "c", "handler": "prompt_to_string", "transition": END},
    )
    assert len(found) == 1
    assert found[0].startswith("task 'c': prompt_to_string is handed json and takes bool, ")


@pytest.mark.parametrize(
    "way",
    [{"prompt_template": "{{json .a}}"}, {"input_var": "input"}, {"input_var": "s"}],
)
def test_another_input_mends_a_type(problems, way):
    found = problems(
        {"id": "s", "handler": "prompt_to_string", "transition": to("a")},
        {"id": "a", "handler": "parse_key_value", "transition": to("c")},
        {"id": "c", "handler": "prompt_to_string", "transition": END, **way},
        input_type="string",
    )
    assert found == []


@pytest.mark.parametrize(
    ("task", "input_type", "fine"),
    [
        ({"handler": "chat_completion"}, "chat_history", True),
        ({"handler": "chat_completion"}, "openai_chat", True),
        ({"handler": "chat_completion"}, "string", False),
        ({"handler": "chat_completion"}, None, True),
        ({"handler": "prompt_to_int"}, "json", False),
        ({"handler": "prompt_to_int", "prompt_template": "{{json .input}}"}, "json", True),
        ({"handler": "noop"}, "vector", True),
        ({"handler": "execute_tool_calls"}, "openai_chat", False),
    ],
)
def test_the_input_of_the_run_is_checked(problems_of, task, input_type, fine):
    assert (problems_of(task, input_type=input_type) == []) is fine


def test_what_a_hook_returns_is_not_known_but_its_template_makes_text(problems):
    hook = {"id": "a", "handler": "hook", "hook": {"name": "h"}, "transition": to("b")}
    chat = {"id": "b", "handler": "chat_completion", "transition": END}
    assert problems(hook, chat) == []
    [problem] = problems({**hook, "output_template": "x"}, chat)
    assert "chat_completion is handed string" in problem


def test_what_is_joined_has_the_type_of_the_join(problems):
    def with_compose(strategy):
        compose = {"with_var": "input", "strategy": strategy}
        branches = [{"operator": "default", "goto": "b", "compose": compose}]
        return problems(
            {"id": "a", "handler": "prompt_to_string", "transition": {"branches": branches}},
            {"id": "b", "handler": "chat_completion", "transition": END},
            input_type="chat_history",
        )

    assert with_compose("append_string_to_chat_history") == []
    assert with_compose("") == []


def test_hooks_are_looked_up_in_a_listing(problems_of):
    hooks = [
        HookInfo(name="web", type="t", tools=(Tool("search"),)),
        HookInfo(name="down", type="t", error="unreachable"),
    ]

    def found(name, tool=""):
        task = {"handler": "hook", "hook": {"name": name, "tool_name": tool}}
        return problems_of(task, hooks=hooks)

    assert found("web", "search") == found("web", "web.search") == found("web") == []
    assert found("down", "whatever") == []
    assert found("wbe") == ["task 'a': unknown hook 'wbe': did you mean 'web'?"]
    assert found("web", "serch") == [
        "task 'a': hook 'web' has no tool 'serch': did you mean 'search'?"
    ]
    offered = {"execute_config": {"hooks": ["web", "mail"]}}
    [problem] = problems_of(offered, hooks=hooks)
    assert "execute_config.hooks: unknown hook 'mail'" in problem
    assert problems_of(offered) == []


def test_a_large_chain_is_checked_quickly(problems):
    count = 3000
    ids = [f"t{n}" for n in range(count)]
    tasks = [
        {"id": one, "handler": "noop", "transition": to(other)}
        for one, other in zip(ids, [*ids[1:], "end"], strict=True)
    ]
    began = time.process_time()
    assert problems(*tasks, input_type="string") == []
    assert problems(tasks[0], *reversed(tasks[1:]), input_type="string") == []
    tasks[-1]["transition"] = to(ids[1])
    [loop] = problems(*tasks)
    assert "no way out" in loop
    assert len(loop) < 2000
    assert time.process_time() - began < 5


def test_a_very_broken_chain_is_refused_quickly(problems):
    tasks = [
        {"id": f"t{n}", "handler": "nooop", "input_var": f"x{n}", "transition": to(f"y{n}")}
        for n in range(3000)
    ]
    began = time.process_time()
    found = problems(*tasks)
    assert len(found) == 101
    assert found[-1] == "there are more problems: fix these first"
    assert all(len(problem) < 1000 for problem in found)
    assert time.process_time() - began < 5


def test_types_reach_tasks_through_any_order_and_variable(problems):
    found = problems(
        {"id": "a", "handler": "noop", "transition": to("m")},
        {"id": "z", "handler": "prompt_to_string", "input_var": "k", "transition": END},
        {"id": "k", "handler": "parse_key_value", "transition": to("z")},
        {"id": "m", "handler": "noop", "transition": to("k")},
    )
    assert len(found) == 1
    assert found[0].startswith("task 'z': prompt_to_string is handed json")


def test_types_follow_a_variable_that_is_made_later(problems):
    found = problems(
        {"id": "a", "handler": "prompt_to_string", "transition": to("k", "z")},
        {"id": "k", "handler": "parse_key_value", "transition": END},
        {"id": "z", "handler": "noop", "input_var": "k", "transition": to("y")},
        {"id": "y", "handler": "prompt_to_string", "transition": END},
    )
    assert len(found) == 1
    assert found[0].startswith("task 'y': prompt_to_string is handed json")
