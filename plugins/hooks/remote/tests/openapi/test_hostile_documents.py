"""Documents that are written to do harm, or broken at random."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import TypeAdapter
from runtime_hooks_remote.openapi import UnreadableDocument, read

from runtime_core.http.yaml import load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_hooks_remote.shapes import Document

URL = "https://api.example/v1/openapi.json"
FILES = (
    "banking.json",
    "broken.json",
    "calendar.yaml",
    "crm.json",
    "media.yaml",
    "names.json",
    "notifications.yaml",
    "orders.yaml",
    "payments.json",
    "pets.json",
    "regions.yaml",
    "shop/openapi.yaml",
    "social_graph.json",
    "vehicles.json",
    "weather.yaml",
)
TOOL = TypeAdapter(ChatCompletionFunctionToolParam)


def check(document: Document) -> None:
    """Assert that a document's tools can be given to a model, and are written out."""
    msgspec.json.encode(document)
    for operation in document.operations.values():
        tool = operation.tool
        function = {"name": tool.name, "description": tool.description}
        if tool.parameters is not None:
            jsonschema_rs.Draft202012Validator(tool.parameters)
            jsonschema_rs.meta.validate(tool.parameters)
            assert set(tool.parameters.get("required", ())) <= tool.parameters["properties"].keys()
            function["parameters"] = tool.parameters
        TOOL.validate_python({"type": "function", "function": function}, strict=True)


@pytest.mark.parametrize("name", FILES)
def test_every_tool_of_the_documents_is_one_for_a_model(reading, name):
    document = reading(name)

    assert document.operations
    check(document)


def test_every_tool_of_a_large_document_is_one_for_a_model(reading, code_hosting):
    check(reading(code_hosting))


def sent(document: Document) -> dict[str, Any]:
    parameters = document.operations["send"].tool.parameters
    assert parameters is not None
    return parameters


def test_schemas_that_double_at_every_level_stay_small(reading, body_of):
    def level(number: int) -> dict[str, Any]:
        link = {"$ref": f"#/components/schemas/L{number + 1}"}
        return {"anyOf": [link, link], "properties": {"a": link, "b": link}}

    schemas = {f"L{number}": level(number) for number in range(30)}
    document = reading(
        body_of({"$ref": "#/components/schemas/L0"}, L30={"type": "string"}, **schemas)
    )

    assert len(json.dumps(sent(document))) < 10_000
    check(document)


def test_a_chain_of_definitions_is_not_nested_without_end(reading, body_of):
    schemas = {
        f"C{number}": {"properties": {"next": {"$ref": f"#/components/schemas/C{number + 1}"}}}
        for number in range(5_000)
    }

    document = reading(
        body_of({"properties": {"first": {"$ref": "#/components/schemas/C0"}}}, **schemas)
    )

    # as far as 200 definitions, in pieces that are not nested too deeply
    assert json.dumps(sent(document)).count('"next"') == 200
    assert len(sent(document)["$defs"]) > 10
    check(document)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_ring_of_schemas_that_apply_to_the_same_value_is_opened(reading, body_of, keyword):
    schemas = {
        f"R{number}": {keyword: [{"$ref": f"#/components/schemas/R{(number + 1) % 50}"}]}
        for number in range(50)
    }

    document = reading(
        body_of({"properties": {"ring": {"$ref": "#/components/schemas/R0"}}}, **schemas)
    )

    assert len(document.problems) == 1
    validator = jsonschema_rs.Draft202012Validator(sent(document))
    assert validator.is_valid({"ring": 1})


def test_a_long_ring_beside_references_is_opened(reading, body_of):
    schemas = {
        f"R{number}": {"$ref": f"#/components/schemas/R{(number + 1) % 2_000}", "title": "ring"}
        for number in range(2_000)
    }

    document = reading(
        body_of({"properties": {"ring": {"$ref": "#/components/schemas/R0"}}}, **schemas)
    )

    assert jsonschema_rs.Draft202012Validator(sent(document)).is_valid({"ring": 1})


def test_schemas_nested_too_deeply_are_cut(reading, body_of):
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "array", "items": schema}

    document = reading(body_of({"properties": {"deep": schema}}))

    assert json.dumps(sent(document)).count('"array"') == 32
    assert document.problems[0].what == "more than 32 schemas in one another; cut here"


def test_all_of_nested_too_deeply_is_one_argument(reading, body_of):
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(20):
        schema = {"allOf": [schema]}

    assert [*sent(reading(body_of(schema)))["properties"]] == ["body"]


def _shared_parameters() -> dict[str, Any]:
    many = [{"name": f"p{number}", "in": "query"} for number in range(2_000)]
    paths = {f"/{number}": {"$ref": "#/x-shared"} for number in range(4_000)}
    return {"openapi": "3.0.0", "paths": paths, "x-shared": {"parameters": many, "get": {}}}


def _shared_links() -> dict[str, Any]:
    links = {f"p{number}": {"$ref": "#/x-text"} for number in range(5_000)}
    body = {"content": {"application/json": {"schema": {"$ref": "#/x-links"}}}}
    holder = {"type": "array", "items": {"properties": links}}
    paths = {f"/{number}": {"put": {"requestBody": body}} for number in range(4_000)}
    many = {"type": "string", "x": 1}
    return {"openapi": "3.0.0", "paths": paths, "x-links": holder, "x-text": many}


@pytest.mark.parametrize("document", [_shared_parameters(), _shared_links()])
def test_the_work_on_one_document_is_limited(reading, document):
    began = time.process_time()

    read_now = reading(document)

    assert time.process_time() - began < 20
    assert read_now.problems[-1].what == (
        "the document asks for too much from here on; the rest is left out"
    )
    assert 0 < len(read_now.operations) < 200


def test_the_work_on_one_operation_is_limited(reading, body_of):
    # were it looked at as far as its end, there would be a second problem
    wide = {"anyOf": [*[{"anyOf": [{}] * 1_000}] * 1_000, "no schema"]}

    began = time.process_time()

    document = reading(body_of({"properties": {"wide": wide}}))

    assert time.process_time() - began < 20
    assert document.operations == {}
    assert len(document.problems) == 1


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        (r"^[a-z0-9]{8}-[a-z0-9]{4}$", True),
        (r"(?!no)^\p{Lu}\w+$", True),
        ("(", False),
        ("((((a{100}){100}){100}){100})", False),
        ("a" * 1_001, False),
        (["a"], False),
    ],
)
def test_patterns_that_cannot_be_compiled_soon_are_left_out(reading, body_of, pattern, kept):
    document = reading(body_of({"properties": {"a": {"type": "string", "pattern": pattern}}}))

    assert ("pattern" in sent(document)["properties"]["a"]) is kept
    assert len(document.problems) == (not kept)


def test_keys_that_are_patterns_are_compiled_too(reading, body_of):
    keys = {"type": "object", "patternProperties": {"^x-": {"type": "string"}, "(": {}}}

    document = reading(body_of({"properties": {"a": keys}}))

    assert sent(document)["properties"]["a"]["patternProperties"] == {"^x-": {"type": "string"}}
    assert [problem.what for problem in document.problems] == [
        "the pattern '(' cannot be compiled and is left out; correct it"
    ]
    check(document)


def test_the_work_on_patterns_is_limited(reading, body_of):
    costly = {f"p{number}": {"pattern": f"{number}(\\p{{L}}{{50}})"} for number in range(20_000)}
    began = time.process_time()

    assert reading(body_of({"properties": costly})).operations == {}

    assert time.process_time() - began < 20


def test_only_so_many_operations_are_read(reading):
    paths = {f"/{number}": {"get": {}} for number in range(5_001)}

    document = reading({"openapi": "3.0.0", "paths": paths})

    assert len(document.operations) == 5_000
    assert document.problems[0].what == "only the first 5000 operations are read"


def test_problems_without_end_are_counted(reading):
    document = reading({"openapi": "3.0.0", "paths": {f"x{number}": {} for number in range(1_000)}})

    assert len(document.problems) == 201
    assert document.problems[-1].what == "there are 800 more problems; mend those above first"


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "#", "#/", "$ref", "object", "#/paths", "#/components/schemas", "{", "\n"]
    ),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"$ref": "#/paths"}),
    st.just({"allOf": [{"$ref": "#"}]}),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            found += _places(part, (*path, index))
    return found


def _changed(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    copy = value.copy()
    copy[path[0]] = _changed(value[path[0]], path[1:], change)
    return copy


@settings(
    max_examples=100, deadline=1_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_changed_in_a_document_it_is_read_or_refused(load, data):
    document = _data_of(load(data.draw(st.sampled_from(FILES))))
    for _ in range(data.draw(st.integers(1, 4))):
        places = _places(document)
        place = data.draw(st.sampled_from(places))
        other = data.draw(st.sampled_from(places))
        junk = data.draw(JUNK)
        kind = data.draw(st.sampled_from(["junk", "move", "reference"]))
        if kind == "move":
            junk = _at(document, other)
        elif kind == "reference":
            parts = (str(part).replace("~", "~0").replace("/", "~1") for part in other)
            junk = {"$ref": "#" + "".join(f"/{part}" for part in parts)}
        document = _changed(document, place, lambda _, junk=junk: junk)

    read_or_refused(json.dumps(document).encode())


@settings(
    max_examples=100, deadline=1_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_bytes_there_are_they_are_read_or_refused(load, data):
    content = bytearray(load(data.draw(st.sampled_from(FILES))))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 20, len(content))))
        content[start:end] = data.draw(st.binary(max_size=8))

    read_or_refused(bytes(content))


def read_or_refused(content: bytes) -> None:
    with suppress(UnreadableDocument):
        check(read(content, url=URL, injected=["id", "X-Api-Key"]))


def _data_of(content: bytes) -> Any:
    return load_yaml(content, 100)


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value
