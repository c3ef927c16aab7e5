"""References within a document, and to other documents."""

from __future__ import annotations

import json

import pytest
from runtime_hooks_remote.shapes import Problem

TEXT = {"type": "string"}


SHOP = "https://shop.example/api/"


def test_a_shop_is_in_several_files(reading, load, parameters, problems):
    url = f"{SHOP}openapi.yaml"
    there = ("common.json", "parts/paths.yaml", "parts/product.yaml")
    fetched = {f"{SHOP}{name}": load(f"shop/{name}") for name in there}

    assert reading("shop/openapi.yaml", url=url).missing == tuple(
        f"{SHOP}{name}"
        for name in ("common.json", "gone.json", "parts/odd.txt", "parts/paths.yaml")
    )
    first = {address: fetched[address] for address in list(fetched)[:2]}
    then = reading("shop/openapi.yaml", url=url, fetched=first)
    assert f"{SHOP}parts/product.yaml" in then.missing

    fetched[f"{SHOP}parts/odd.txt"] = b"{"
    document = reading("shop/openapi.yaml", url=url, fetched=fetched)

    assert document.missing == (f"{SHOP}gone.json",)
    unique = {"type": "string", "format": "uuid"}
    name = {"type": "string", "maxLength": 80}
    link = {"$ref": "#/$defs/product.yaml"}
    product = {"id": unique, "name": name, "variants": {"type": "array", "items": link}}
    definitions = {
        "product.yaml": {"type": "object", "required": ["id"], "properties": product},
    }
    assert parameters(document) == {
        "addProduct": {
            "type": "object",
            "properties": product,
            "required": ["id"],
            "$defs": definitions,
        },
        "fillBasket": {
            "type": "object",
            "properties": {"basket": unique, "first": link, "second": link, "owner": name},
            "required": ["basket"],
            "$defs": definitions,
        },
        "leak": {"type": "object", "properties": {"file": {}, "gone": {}, "odd": {}, "none": {}}},
    }
    inside = "/paths/~1secrets/post/requestBody/content/application~1json/schema/properties"
    assert problems(document) == {
        f"{inside}/file": (
            "the reference 'file:///etc/passwd' is refused; only http and https addresses are read"
        ),
        f"{inside}/gone": (
            "the reference 'gone.json#/nothing' needs a document that was not loaded;"
            " make it reachable"
        ),
        f"{inside}/odd": (
            "the reference 'parts/odd.txt' needs a document that cannot be used:"
            " it is not JSON: Input data was truncated"
        ),
        f"{inside}/none": (
            "the reference 'common.json#/parameters/none' names nothing; define it, or correct it"
        ),
    }


def test_problems_of_other_files_name_the_file(reading):
    document = reading(
        {
            "openapi": "3.0.0",
            "paths": {"/a": {"get": {"parameters": [{"$ref": "other.json#/x~1y"}]}}},
        },
        fetched={"https://api.example/v1/other.json": b'{"x/y": {"name": 1}}'},
    )

    assert document.problems == (
        Problem(
            "https://api.example/v1/other.json#/x~1y", "a parameter needs a name; it is left out"
        ),
    )


def sent(document):
    return document.operations["send"].tool.parameters


def test_a_reference_leads_through_references(reading, body_of):
    schema = {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}}
    chain = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/C"}}

    document = reading(body_of(schema, **chain, C=TEXT))

    assert sent(document)["properties"] == {"a": TEXT}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.0.3", {"type": "string", "description": "mine"}),
        ("3.1.0", {"allOf": [TEXT], "description": "mine", "minLength": 2}),
    ],
)
def test_what_stands_beside_a_reference_counts_in_3_1(reading, body_of, version, expected):
    beside = {"$ref": "#/components/schemas/A", "description": "mine", "minLength": 2}

    document = reading(body_of({"properties": {"a": beside}}, version, A=TEXT))

    assert sent(document)["properties"] == {"a": expected}


def test_what_stands_beside_a_reference_on_the_way_counts_too(reading, body_of):
    schemas = {"A": {"$ref": "#/components/schemas/B", "minLength": 2}, "B": TEXT}
    content = body_of({"properties": {"a": {"$ref": "#/components/schemas/A"}}}, **schemas)

    assert sent(reading(content))["properties"] == {"a": {"allOf": [TEXT], "minLength": 2}}


def test_a_reference_finds_keys_with_slashes_tildes_and_spaces(reading, body_of):
    links = ("#/components/schemas/a~1b~0c", "#/components/schemas/d%20e")
    schema = {"properties": {str(index): {"$ref": link} for index, link in enumerate(links)}}

    document = reading(body_of(schema, **{"a/b~c": TEXT, "d e": {"type": "integer"}}))

    assert document.problems == ()
    assert sent(document)["properties"] == {"0": TEXT, "1": {"type": "integer"}}


@pytest.mark.parametrize(
    "reference",
    [
        "#/components/schemas/Nothing",
        "#/components/schemas/A/type/0/x",
        "#/info/version/one",
        "#/openapi/9999999999999999999999",
        "#anchor",
        "#",
        "",
        "http://[",
        "#/%ff%00",
    ],
)
def test_a_reference_to_nothing_is_a_problem_and_not_a_failure(reading, body_of, reference):
    schema = {"properties": {"a": {"$ref": reference}, "b": TEXT}}

    document = reading(body_of(schema, A=TEXT))

    assert sent(document)["properties"]["b"] == TEXT
    # "#" and "" name the document itself, which happens to be an object
    assert bool(document.problems) is (reference not in ("#", ""))


def test_what_stands_beside_the_reference_of_a_path_is_named(reading):
    path = {"$ref": "#/x-paths/one", "get": {"operationId": "lost"}}
    document = reading({"openapi": "3.1.0", "paths": {"/a": path}, "x-paths": {"one": {"put": {}}}})

    assert [*document.operations] == ["a_put"]
    assert document.problems == (
        Problem(
            "/paths/~1a",
            "what stands beside $ref is left out; move it to where the reference leads",
        ),
    )


def test_without_its_address_a_document_cannot_refer_to_others(reading, body_of):
    content = body_of({"properties": {"a": {"$ref": "other.json"}}})

    document = reading(content, url="")

    assert document.missing == ()
    assert "only http and https addresses are read" in document.problems[0].what


def test_equal_names_of_different_files_are_told_apart(reading, body_of):
    def twice(address):
        link = {"$ref": f"{address}#/components/schemas/Node"}
        return {"type": "object", "properties": {"first": link, "second": link}}

    other = {
        "components": {
            "schemas": {
                "Node": {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/components/schemas/Node"}},
                }
            }
        }
    }
    content = body_of(
        {"properties": {"mine": twice(""), "theirs": twice("other.json")}},
        Node={"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Node"}}},
    )

    document = reading(
        content, fetched={"https://api.example/v1/other.json": json.dumps(other).encode()}
    )

    assert sent(document)["$defs"] == {
        "Node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/Node"}}},
        "Node_2": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node_2"}}},
    }
