"""``{{secret:NAME}}`` in the arguments of hooks: passed on, with who has named it."""

from __future__ import annotations

import pytest

from runtime_core.engine.handlers.hook import named_secrets
from runtime_core.types import Value


def hook(**args):
    return {"handler": "hook", "hook": {"name": "h", "tool_name": "t", "args": args}}


@pytest.fixture
def asked(bench):
    bench.hooks.add("h", "t", Value("done", "string"))

    async def run(task, value=""):
        await bench.one(task, value)
        return bench.hooks.asked[-1]

    return run


async def test_a_secret_stays_a_reference_and_is_named_by_argument(asked):
    request = await asked(
        hook(
            text="Bearer {{secret:my.key-1}} for {{.input}}",
            deep={"list": ["{{secret: b }}", "{{secret:a}} {{secret:b}}"]},
            none="{{.input}}",
        ),
        "Ann",
    )
    assert request.arguments == {
        "text": "Bearer {{secret:my.key-1}} for Ann",
        "deep": {"list": ["{{secret:b}}", "{{secret:a}} {{secret:b}}"]},
        "none": "Ann",
    }
    assert request.secrets == {"text": ("my.key-1",), "deep": ("b", "a")}


async def test_what_a_template_stands_for_names_no_secret(asked):
    request = await asked(hook(a="{{.input}}", b="{{secret:mine}} {{.input}}"), "{{secret:theirs}}")
    assert request.arguments["a"] == "{{secret:theirs}}"
    assert request.arguments["b"] == "{{secret:mine}} {{secret:theirs}}"
    assert request.secrets == {"b": ("mine",)}


async def test_without_secrets_there_are_none(asked):
    assert (await asked(hook(a="{{.input}}"), "x")).secrets == {}


@pytest.mark.parametrize("field", ["prompt_template", "output_template"])
async def test_a_secret_anywhere_else_is_an_error(bench, field):
    bench.hooks.add("h", "t", Value("done", "string"))
    result = await bench.one({**hook(), field: "my key is {{secret:mine}}"}, "x")
    assert "{{secret:mine}} have no value here" in str(result.error)


@pytest.mark.parametrize("reference", ["{{secret:}}", "{{secret:a b}}", "{{secret:a/b}}"])
def test_a_name_that_is_none_names_nothing(reference):
    assert named_secrets({"a": reference}) == {}


async def test_a_name_that_is_none_keeps_the_chain_from_running(bench):
    bench.hooks.add("h", "t", Value("done", "string"))
    result = await bench.one(hook(a="{{secret:a b}}"), "x")
    assert "unknown macro {{secret:a b}}" in str(result.error)
