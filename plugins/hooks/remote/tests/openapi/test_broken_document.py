"""A document with a mistake in every place: what is right is used, what is wrong is named."""

from __future__ import annotations

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def test_of_a_broken_document_what_can_be_used_is_used(reading, parameters):
    document = reading("broken.json")

    assert (document.title, document.version) == ("", "")
    nothing = {"type": "object", "properties": {}}
    assert parameters(document) == {
        "fine": None,
        "undeclared": {"type": "object", "properties": {"id": TEXT}, "required": ["id"]},
        "parameters": {
            "type": "object",
            "properties": {"styled": TEXT, "schema": {}, "missing": {}},
        },
        "schemas": {
            "type": "object",
            "properties": {
                **{key: {} for key in ("type", "types", "enum", "all", "one", "text")},
                "bounds": WHOLE,
                "items": {"type": "array", "items": {}},
                "inner": {"type": "object"},
                "required": {"type": "object", "properties": {"$ref": TEXT}},
                "file": {"type": "string", "format": "binary"},
                "tuple": {"type": "array", "prefixItems": [TEXT]},
            },
        },
        "bodyOfGet": None,
        "noContent": None,
        "listContent": None,
    }
    assert nothing not in parameters(document).values()


PATH = "a path begins with / and is an object of operations; it is left out"
OPERATION = "an operation must be an object; it is left out"
NAMELESS = "a parameter needs a name; it is left out"
PLACELESS = 'a parameter is "in" path, query, header or cookie; this one is left out'
BODY = "a request body needs its content; it is left out"
SENDABLE = "cannot be sent; offer JSON, a form, text or octet-stream; the operation is left out"
BRACES = "the braces of the path do not match; the operation is left out"
UNDECLARED = "the path's 'id' is not declared; it is taken as a text parameter"
EVIL = rf"a body of type 'application/json\r\nX-Evil: 1' {SENDABLE}"
IN_GET = "/paths/~1parameters/get/parameters"
IN_SCHEMA = "/paths/~1schemas/post/requestBody/content/application~1json/schema/properties"


def nothing(reference):
    return f"the reference {reference!r} names nothing; define it, or correct it"


def unusable(keyword):
    return f"{keyword!r} cannot have this value and is left out; correct it"


def test_every_problem_of_a_broken_document_is_named(reading, problems):
    assert problems(reading("broken.json")) == {
        "/paths/no-slash": PATH,
        "/paths/~1null": PATH,
        "/paths/~1list": PATH,
        "/paths/~1operations/get": OPERATION,
        "/paths/~1operations/post": OPERATION,
        "/paths/~1operations/put": OPERATION,
        "/paths/~1loop": "the reference leads back to itself; let it name a definition",
        "/paths/~1braces~1{id/get": BRACES,
        "/paths/~1undeclared~1{id}/get": UNDECLARED,
        "/paths/~1parameters/parameters": "parameters must be a list; they are left out",
        **{f"{IN_GET}/{index}": NAMELESS for index in range(4)},
        f"{IN_GET}/4": PLACELESS,
        f"{IN_GET}/5": PLACELESS,
        f"{IN_GET}/6": "the path has no {stray}; it is left out",
        f"{IN_GET}/7": "a query parameter has the style form or spaceDelimited or pipeDelimited or"
        " deepObject; form is used",
        f"{IN_GET}/8/schema": "a schema must be an object; it is taken as anything",
        f"{IN_GET}/9/schema": nothing("#/components/schemas/Missing"),
        f"{IN_GET}/10": nothing("#/components/parameters/Missing"),
        f"{IN_GET}/11": nothing("#/info/0"),
        f"{IN_GET}/12": nothing("#/paths/~1list/x"),
        f"{IN_SCHEMA}/type/type": unusable("type"),
        f"{IN_SCHEMA}/types/type": unusable("type"),
        f"{IN_SCHEMA}/bounds/minimum": unusable("minimum"),
        f"{IN_SCHEMA}/bounds/maxLength": unusable("maxLength"),
        f"{IN_SCHEMA}/bounds/multipleOf": unusable("multipleOf"),
        f"{IN_SCHEMA}/bounds/minItems": unusable("minItems"),
        f"{IN_SCHEMA}/bounds/exclusiveMaximum": unusable("exclusiveMaximum"),
        f"{IN_SCHEMA}/enum/enum": unusable("enum"),
        f"{IN_SCHEMA}/all/allOf": unusable("allOf"),
        f"{IN_SCHEMA}/one/oneOf": unusable("oneOf"),
        f"{IN_SCHEMA}/items/items": "a schema must be an object; it is taken as anything",
        f"{IN_SCHEMA}/inner/properties": unusable("properties"),
        f"{IN_SCHEMA}/required/required": unusable("required"),
        f"{IN_SCHEMA}/text/title": unusable("title"),
        f"{IN_SCHEMA}/text/description": unusable("description"),
        f"{IN_SCHEMA}/text/format": unusable("format"),
        f"{IN_SCHEMA}/text/uniqueItems": unusable("uniqueItems"),
        "/paths/~1bodies/post/requestBody": f"a body of type 'application/xml' {SENDABLE}",
        "/paths/~1bodies/put/requestBody": BODY,
        "/paths/~1bodies/patch/requestBody": EVIL,
        "/paths/~1bodies/delete/requestBody": BODY,
        "/paths/~1servers/get": "a server needs its url; the operation is left out",
    }
