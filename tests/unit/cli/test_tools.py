"""What people type for a tool, as the types that its parameters have."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from runtime_core.cli import runtime
from runtime_core.cli.tools import arguments_of, call_chain, shape_of


def schema(one: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": one}, **more}


@pytest.mark.parametrize(
    ("one", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, "", ""),
        ({"type": "integer"}, "-5", -5),
        ({"type": "integer"}, "2.0", 2.0),
        ({"type": "number"}, "5", 5),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "false", False),
        ({"type": "array", "items": {"type": "string"}}, '["x"]', ["x"]),
        ({"type": "object"}, '{"b": [1]}', {"b": [1]}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "none", "none"),
        ({"type": ["string", "integer"]}, "5", 5),
        ({"type": ["string", "integer"]}, "true", "true"),
        ({"type": ["string", "array"]}, '"quoted"', '"quoted"'),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/word"}]}, "x", "x"),
        ({"$ref": "#/$defs/word"}, "7", "7"),
        ({"allOf": [{"description": "no type"}, {"type": "integer"}]}, "7", 7),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": True}, "true", True),
        ({}, "7", 7),
        ({}, "Infinity", "Infinity"),
        ({"anyOf": [{}, {"type": "string"}]}, "7", 7),
        (True, "[1", "[1"),
        ({"$ref": "#/$defs/round"}, "7", 7),
    ],
)
def test_a_value_is_read_as_its_parameters_type(one: Any, text: str, value: Any) -> None:
    defs = {"word": {"type": "string"}, "round": {"$ref": "#/$defs/round"}}
    found = arguments_of({"a": text}, schema(one, **{"$defs": defs}), "h.t")["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("one", "text", "reason"),
    [
        ({"type": "integer"}, "5.5", "a: must be a whole number, not '5.5'"),
        ({"type": "integer"}, "1e999", "a: must be a whole number, not '1e999'"),
        ({"type": "integer"}, "true", "a: must be a whole number"),
        ({"type": "boolean"}, "True", "a: must be true or false, not 'True'"),
        ({"type": "number"}, "NaN", "a: must be a number"),
        ({"type": "array"}, "x,y", "a: must be a list in JSON"),
        ({"type": "object"}, "[" * 100_000, "a: must be an object in JSON"),
        ({"type": ["integer", "null"]}, "x", "a: must be a whole number or null"),
    ],
)
def test_what_does_not_fit_is_refused(one: Any, text: str, reason: str) -> None:
    with pytest.raises(click.UsageError, match=reason):
        arguments_of({"a": text}, schema(one), "h.t")


def test_names_that_a_tool_does_not_have() -> None:
    with pytest.raises(click.UsageError, match=r"h\.t has no parameter 'b'; it takes a\?: string"):
        arguments_of({"b": "1"}, schema({"type": "string"}), "h.t")
    with pytest.raises(click.UsageError, match="it takes none"):
        arguments_of({"b": "1"}, {}, "h.t")
    free = schema({"type": "string"}, additionalProperties=True)
    assert arguments_of({"a": "1", "b": "1"}, free, "h.t") == {"a": "1", "b": 1}
    assert arguments_of({"b": "x"}, None, "h.t") == {"b": "x"}


def test_the_shape_of_parameters() -> None:
    one = {"properties": {"a": {"type": ["integer", "null"]}, "b": {}}, "required": ["b"]}
    assert shape_of(one) == "a?: integer|null, b: any"
    assert shape_of(None) == ""


def test_texts_that_could_be_templates_become_variables() -> None:
    chain, variables = call_chain("h", "t", {"a": {"b": ["{x", "y", 5]}, "c": "{{.z}}"})
    assert variables == {"value0": "{x", "value1": "{{.z}}"}
    args = chain["tasks"][0]["hook"]["args"]
    assert args == {"a": {"b": ["{{var:value0}}", "y", 5]}, "c": "{{var:value1}}"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("add h http://a --header X-API-Key", "--header X-API-Key: write NAME=VALUE"),
        ("add h http://a --header A=1 --header A:2", "--header: A is given twice"),
        ("add h http://a --property key=1", "write IN:NAME=VALUE; IN is one of path, query"),
        ("add h http://a --property qury:key=1", "write IN:NAME=VALUE"),
        ("add h http://a --property query:key", "--property key: write NAME=VALUE"),
        ("add h http://a --shape list", "--shape list: write TOOL=EXPRESSION"),
        ("add h http://a --timeout 0", "0 is not in the range"),
        ("call echo", "'echo' names no tool: write HOOK.TOOL"),
        ("call h.t quantity", "quantity: write an argument as NAME=VALUE"),
        ("call h.t a=1 a=2", "a is given twice; a list is written as a='[1, 2]'"),
        ("call h.t --json [1]", "--json: give an object, such as '{\"id\": 7}'"),
        ("call h.t --json {", "--json: this is not JSON"),
        ("lint nothing.yaml", "nothing.yaml: No such file"),
        ("lint h --timeout 5", "can be said of a URL only"),
    ],
)
def test_what_is_wrong_is_said_before_a_server_is_asked(arguments: str, reason: str) -> None:
    words = ["hook", *arguments.split(), "--url", "http://127.0.0.1:1"]
    done = CliRunner().invoke(runtime, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert reason in done.stderr
