"""What becomes of a single operation."""

from __future__ import annotations

import pytest
from runtime_hooks_remote.openapi.media import preferred
from runtime_hooks_remote.shapes import Body, Parameter, Problem, Property

TEXT = {"type": "string"}


def document_of(*operations, **more):
    paths = {f"/{index}": {"post": operation} for index, operation in enumerate(operations)}
    return {"openapi": "3.0.3", "paths": paths, **more}


def only(document):
    assert document.problems == ()
    (operation,) = document.operations.values()
    return operation


def in_body(schema, media_type="application/json", **more):
    return {"requestBody": {"content": {media_type: {"schema": schema}}, **more}}


def parameter(name, location="query", **more):
    return {"name": name, "in": location, "schema": TEXT, **more}


def test_what_is_injected_is_sent_and_not_asked_for(reading):
    operation = {
        "parameters": [
            parameter("tenant", required=True),
            parameter("X-Key", "header", required=True),
            parameter("query"),
        ],
        **in_body({"properties": {"secret": TEXT, "note": TEXT}, "required": ["secret", "note"]}),
    }

    read = only(reading(document_of(operation), injected=["tenant", "x-KEY", "secret"]))

    assert read.tool.parameters == {
        "type": "object",
        "properties": {"query": TEXT, "note": TEXT},
        "required": ["note"],
    }
    assert [each.name for each in read.parameters] == ["tenant", "X-Key", "query"]
    assert read.body == Body(
        media_type="application/json",
        additional=True,
        properties=(Property(name="secret", required=True), Property(name="note", required=True)),
    )


def test_where_everything_is_injected_the_tool_takes_nothing(reading):
    operation = {"parameters": [parameter("a")], **in_body({"type": "array"})}

    assert only(reading(document_of(operation), injected=["a", "body"])).tool.parameters is None


def test_a_header_is_injected_whatever_its_case_and_a_query_is_not(reading):
    operation = {"parameters": [parameter("Key", "header"), parameter("Key")]}

    read = only(reading(document_of(operation), injected=["key"]))

    assert read.tool.parameters == {"type": "object", "properties": {"Key": TEXT}}


def test_a_parameter_and_a_property_of_one_name_are_one_argument(reading):
    own = {"name": "id", "in": "query", "schema": {"type": "integer"}}
    operation = {"parameters": [own], **in_body({"properties": {"id": TEXT}, "required": ["id"]})}

    read = only(reading(document_of(operation)))

    assert read.tool.parameters == {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
    }
    assert [each.name for each in read.parameters] == ["id"]
    assert read.body is not None
    assert [each.name for each in read.body.properties] == ["id"]


def test_the_operation_s_parameter_wins_over_the_path_s_of_the_same_place(reading):
    item = {
        "parameters": [parameter("a", description="path"), parameter("a", "header")],
        "get": {"parameters": [parameter("a", explode=False, description="operation")]},
    }

    read = only(reading({"openapi": "3.0.0", "paths": {"/x": item}}))

    assert read.parameters == (
        Parameter(name="a", location="query", style="form", explode=False),
        Parameter(name="a", location="header", style="simple", explode=False),
    )
    assert read.tool.parameters == {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "operation"}},
    }


def test_what_is_in_the_path_is_required_whatever_is_said(reading):
    item = {"get": {"parameters": [parameter("a", "path", required=False)]}}

    read = only(reading({"openapi": "3.0.0", "paths": {"/x/{a}": item}}))

    assert read.parameters[0].required
    assert read.tool.parameters == {
        "type": "object",
        "properties": {"a": TEXT},
        "required": ["a"],
    }


def test_names_do_not_change_when_operations_are_added(reading):
    some = [{"operationId": "a.b"}, {"operationId": "same"}, {"operationId": "same"}, {}]
    before = [*reading(document_of(*some)).operations]

    after = [*reading(document_of(*some, {"operationId": "same"}, {})).operations]

    assert before == after[:4]
    assert len(set(after)) == 6


def test_every_name_is_fit_and_unique_whatever_is_taken(reading):
    first = [*reading(document_of({"operationId": "x"}, {"operationId": "x"})).operations][1]
    taken = [{"operationId": name} for name in ("x", "x", first, first[:-1], "-" * 64, "-" * 65)]

    names = [*reading(document_of(*taken)).operations]

    assert len(set(names)) == len(taken)
    assert all(0 < len(name) <= 64 for name in names)
    assert names[2] == first


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({}, "POST /0"),
        ({"summary": "  Send it. "}, "Send it."),
        ({"description": "Sends it."}, "Sends it."),
        ({"description": "Sends it.", "summary": "Sends it"}, "Sends it."),
        ({"description": "Sends it.", "summary": "Send"}, "Sends it."),
        ({"description": "Sends it.", "summary": "Post"}, "Sends it.\nPost"),
        ({"summary": "Send", "deprecated": True}, "Send\nThis operation is deprecated."),
        ({"summary": None, "description": 5}, "POST /0"),
    ],
)
def test_descriptions_say_everything_once(reading, operation, expected):
    assert only(reading(document_of(operation))).tool.description == expected


def test_a_body_that_must_be_sent_with_get_is_named(reading):
    item = {"get": in_body({"type": "object"}, required=True)}

    document = reading({"openapi": "3.0.0", "paths": {"/x": item}})

    assert document.problems == (
        Problem("/paths/~1x/get/requestBody", "GET has no body; it is left out"),
    )
    assert document.operations["x_get"].body is None


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["multipart/form-data", "application/json"], "application/json"),
        (["application/hal+json", "application/json"], "application/json"),
        (["application/hal+json", "application/json; charset=utf-8"], "application/hal+json"),
        (["text/plain", "application/x-www-form-urlencoded"], "application/x-www-form-urlencoded"),
        (["application/octet-stream", "text/csv"], "text/csv"),
        (["application/xml", "image/png"], "image/png"),
        (["application/pdf", "*/*"], "*/*"),
        (["APPLICATION/JSON"], "APPLICATION/JSON"),
        (["application/xml"], None),
        (["application/json\r\nX-Evil: 1"], None),
        (["application/json;\x00"], None),
        ([""], None),
        ([], None),
    ],
)
def test_of_several_media_types_the_best_is_taken(offered, expected):
    assert preferred(offered) == expected


@pytest.mark.parametrize(
    ("server", "url", "expected"),
    [
        ("https://a.example/", "", "https://a.example"),
        ("/v2", "https://api.example/v1/openapi.json", "https://api.example/v2"),
        ("v2/", "https://api.example/v1/openapi.json", "https://api.example/v1/v2"),
        ("//b.example", "https://api.example/v1/openapi.json", "https://b.example"),
    ],
)
def test_a_server_is_relative_to_the_document(reading, server, url, expected):
    document = reading(document_of({"servers": [{"url": server}]}), url=url)

    assert only(document).server == expected


@pytest.mark.parametrize(
    "server",
    [
        "/v2",
        "file:///etc",
        "https://a.example/?x=1",
        "https://a.example/#f",
        "https://",
        "a b",
        "https://a.example/\r\nX: 1",
        "https://{a}",
    ],
)
def test_an_operation_whose_server_cannot_be_used_is_left_out(reading, server):
    document = reading(document_of({"servers": [{"url": server}]}, {}), url="")

    assert [each.path for each in document.operations.values()] == ["/1"]
    assert document.problems[0].what.endswith("; the operation is left out")


def test_the_servers_of_the_document_are_not_looked_at(reading):
    document = reading(document_of({}, servers=[{"url": "https://elsewhere.example"}]))

    assert only(document).server == ""


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ready", "/readyz", "/metrics"])
def test_questions_about_the_service_are_no_tools(reading, path):
    document = reading({"openapi": "3.0.0", "paths": {path: {"get": {}}, f"{path}/x": {"get": {}}}})

    assert [*document.operations] == ["x_get"]


def test_headers_of_the_connection_are_nobody_s_to_choose(reading):
    ours = ("Host", "content-length", "Transfer-Encoding", "Connection", "Cookie", "TE")
    ignored = ("Accept", "Content-Type", "authorization")
    operation = {"parameters": [parameter(name, "header") for name in (*ours, *ignored)]}

    document = reading(document_of(operation))

    assert document.operations["0_post"].parameters == ()
    assert len(document.problems) == len(ours)


@pytest.mark.parametrize(
    "closed", [{"additionalProperties": False}, {"unevaluatedProperties": False}]
)
def test_a_body_with_a_closed_part_takes_nothing_undeclared(reading, closed):
    parts = [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}, **closed}]

    read = only(reading(document_of(in_body({"allOf": parts}))))

    assert read.body is not None
    assert [each.name for each in read.body.properties] == ["a", "b"]
    assert not read.body.additional


def test_a_structure_in_a_form_is_json_unless_its_style_is_stated(reading):
    point = {"type": "object", "properties": {"x": {}}}
    content = {
        "schema": {"properties": {"plain": point, "styled": point}},
        "encoding": {"styled": {"style": "deepObject"}},
    }
    operation = {"requestBody": {"content": {"multipart/form-data": content}}}

    read = only(reading(document_of(operation)))

    assert read.body is not None
    assert read.body.properties == (
        Property(name="plain", media_type="application/json"),
        Property(name="styled", style="deepObject", explode=False),
    )


def test_a_file_in_a_list_of_a_form_may_be_described_elsewhere(reading):
    schemas = {
        "Files": {"type": "array", "items": {"$ref": "#/components/schemas/File"}},
        "File": {"type": "string", "format": "binary"},
    }
    schema = {"properties": {"files": {"$ref": "#/components/schemas/Files"}}}
    operation = in_body(schema, "multipart/form-data")

    read = only(reading(document_of(operation, components={"schemas": schemas})))

    assert read.body is not None
    assert read.body.properties == (Property(name="files", binary=True),)
