"""Macros: found once, expanded once a run, and never template text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from runtime_core.engine.gotime import format_time
from runtime_core.engine.macros import Macro, prepare_macros
from runtime_core.engine.templates import Template
from runtime_core.errors import TemplateFailed
from runtime_core.types import (
    Chain,
    ExecuteConfig,
    HookCall,
    HookInfo,
    RunRequest,
    Task,
    Tool,
    ToolRequest,
    Value,
)

MOMENT = datetime(2024, 3, 5, 7, 8, 9, 120000, tzinfo=timezone(timedelta(hours=2), "CEST"))


class Hooks:
    """A toolbox that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def hooks(self, tenant_id: str) -> list[HookInfo]:
        self.asked.append(tenant_id)
        return [
            HookInfo(name="echo", type="local", tools=(Tool("say"), Tool("shout"))),
            HookInfo(name="down", type="remote", error="refused"),
        ]

    async def call(self, request: ToolRequest) -> Value:
        raise NotImplementedError


def chain_of(**fields: object) -> Chain:
    return Chain(id="c1", tasks=(Task(id="t", handler="noop", **fields),))


async def expanded(text: str, variables: dict[str, str] | None = None) -> dict[str, str]:
    chain = chain_of(prompt_template=text)
    request = RunRequest(
        chain=chain, input=Value("", "string"), run_id="r", template_vars=variables or {}
    )
    return await prepare_macros(chain).expand(request, Hooks(), lambda: MOMENT)


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("{{var:name}}", "Ann"),
        ("{{var: name }}", "Ann"),
        ("{{var:absent}}", ""),
        ("{{var}}", ""),
        ("{{now}}", "2024-03-05T07:08:09+02:00"),
        ("{{now:}}", "2024-03-05T07:08:09+02:00"),
        ("{{now:2006-01-02}}", "2024-03-05"),
        ("{{now:Mon Jan _2 3:04PM 06}}", "Tue Mar  5 7:08AM 24"),
        ("{{chain:id}}", "c1"),
        ("{{hookservice:hooks}}", '["echo","down"]'),
        ("{{hookservice:list}}", '{"echo":["say","shout"]}'),
        ("{{hookservice:tools echo}}", '["say","shout"]'),
    ],
)
async def test_what_macros_stand_for(macro: str, expected: str) -> None:
    values = await expanded(macro, {"name": "Ann"})
    assert list(values.values()) == [expected]
    assert Template.compile(f"<{macro}>").render({}, values) == f"<{expected}>"


@pytest.mark.parametrize(
    ("macro", "part"),
    [
        ("{{hookservice:tools}}", "needs the name of a hook; there are: echo, down"),
        ("{{hookservice:tools nope}}", "names an unknown hook; there are: echo, down"),
        ("{{hookservice:tools down}}", "cannot list the tools: refused"),
    ],
)
async def test_a_hook_that_cannot_be_listed_fails_the_run(macro: str, part: str) -> None:
    with pytest.raises(TemplateFailed) as failure:
        await expanded(macro)
    assert part in failure.value.message


async def test_a_macro_expands_to_data_never_to_template_text() -> None:
    hostile = '{{.input}} {{ 7 * 7 }} "}} {% raw %} {{var:name}}'
    values = await expanded("{{var:name}}", {"name": hostile})
    for source, expected in (
        ("{{var:name}}", hostile),
        ("{{if true}}{{var:name}}{{end}}", hostile),
        ("{% for i in [1] %}{{var:name}}{% endfor %}", hostile),
    ):
        assert Template.compile(source).render({"input": Value("x", "string")}, values) == expected


async def test_literal_fields_are_replaced_and_templated_ones_are_not() -> None:
    chain = chain_of(
        system_instruction="I am {{var:name}} {{env:HOME}} {{ var:name }} {{chain:x}}",
        execute_config=ExecuteConfig(
            model="{{var:model}}", provider="{{var:p}}", models=("{{var}}",)
        ),
        prompt_template="{{var:name}}",
        print="{{now:2006}}",
        hook=HookCall(name="h", args={"a": "{{var:arg}}", "deep": [{"b": "{{chain:id}}"}]}),
        input_var="{{var:name}}",
    )
    prepared = prepare_macros(chain)
    assert prepared.macros == {
        *(Macro("var", "name"), Macro("var", "model"), Macro("var", "p"), Macro("var", "arg")),
        *(Macro("now", "2006"), Macro("chain", "id")),
    }
    request = RunRequest(
        chain=chain,
        input=Value("", "string"),
        run_id="r",
        template_vars={"name": "Ann {{var:model}}", "model": "m", "p": "q"},
    )
    values = await prepared.expand(request, Hooks(), lambda: MOMENT)
    task = prepared.apply(chain.tasks[0], values)
    expected = "I am Ann {{var:model}} {{env:HOME}} {{ var:name }} {{chain:x}}"
    assert task.system_instruction == expected
    assert task.execute_config == ExecuteConfig(model="m", provider="q", models=("{{var}}",))
    assert (task.prompt_template, task.input_var) == ("{{var:name}}", "{{var:name}}")


async def test_a_chain_without_macros_costs_nothing() -> None:
    chain = chain_of(system_instruction="You are {{kind}}", prompt_template="{{.input}}")
    prepared = prepare_macros(chain)
    assert not prepared
    assert prepared.apply(chain.tasks[0], {}) is chain.tasks[0]


async def test_hooks_are_asked_for_only_once_and_only_when_needed() -> None:
    hooks = Hooks()
    for text, asked in (("{{now}}", []), ("{{hookservice:hooks}}{{hookservice:list}}", ["acme"])):
        chain = chain_of(prompt_template=text)
        request = RunRequest(chain=chain, input=Value("", "string"), run_id="r", tenant_id="acme")
        await prepare_macros(chain).expand(request, hooks)
        assert hooks.asked == asked


def test_a_macro_without_a_value_is_an_error() -> None:
    with pytest.raises(TemplateFailed, match=r"the macros \{\{var:x\}\} have no value here"):
        Template.compile("{{var:x}}").render({})


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02T15:04:05Z07:00", "2024-03-05T07:08:09Z"),
        ("2006-01-02T15:04:05.000Z07:00", "2024-03-05T07:08:09.012Z"),
        ("15:04:05.999999999", "07:08:09.012"),
        ("Monday, 2 January 2006", "Tuesday, 5 March 2024"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Mar  5 07:08:09 UTC 2024"),
        ("02 Jan 06 15:04 -0700", "05 Mar 24 07:08 +0000"),
        ("1/2/06 3:04:05 PM", "3/5/24 7:08:09 AM"),
        ("002 __2", "065  65"),
        ("03pm -07:00 -07 Z0700", "07am +00:00 +00 Z"),
        ("Month Monkey", "Month Monkey"),
        ("no time", "no time"),
    ],
)
def test_go_layouts(layout: str, expected: str) -> None:
    moment = datetime(2024, 3, 5, 7, 8, 9, 12000, tzinfo=UTC)
    assert format_time(moment, layout) == expected


@pytest.mark.parametrize(("hour", "expected"), [(0, "12AM 12"), (12, "12PM 12"), (13, "1PM 01")])
def test_hours_of_the_twelve_hour_clock(hour: int, expected: str) -> None:
    assert format_time(datetime(2024, 3, 5, hour, tzinfo=UTC), "3PM 03") == expected


def test_offsets_of_go_layouts() -> None:
    west = datetime(2024, 3, 5, 15, 0, tzinfo=timezone(-timedelta(hours=9, minutes=30)))
    assert format_time(west, "3PM Z07:00 -0700 -07") == "3PM -09:30 -0930 -09"
