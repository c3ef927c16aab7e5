"""Documents in the manner of well-known services, and the tools that come of them."""

from __future__ import annotations

from runtime_hooks_remote.shapes import Body, Parameter, Property

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def test_pets(reading, parameters, calls):
    document = reading("pets.json")

    assert (document.title, document.version, document.problems) == ("Pets", "1.4.0", ())
    assert calls(document) == {
        "listPets": "GET /pets",
        "createPet": "POST /pets",
        "getPet": "GET /pets/{petId}",
        "replacePet": "PUT /pets/{petId}",
        "deletePet": "DELETE /pets/{petId}",
    }
    pet = {
        "name": {"type": "string", "examples": ["Rex"]},
        "category": {"type": "object", "properties": {"id": WHOLE, "name": TEXT}},
        "tags": {"type": "array", "items": TEXT},
    }
    pet_id = {"type": "integer", "format": "int64", "description": "The id of the pet"}
    limit = {"type": "integer", "format": "int32", "exclusiveMinimum": 0, "maximum": 100}
    status = {"type": "string", "enum": ["available", "pending", "sold"]}
    assert parameters(document) == {
        "listPets": {
            "type": "object",
            "properties": {
                "limit": {**limit, "default": 20, "description": "How many at most"},
                "status": {"type": "array", "items": status},
            },
        },
        "createPet": {"type": "object", "properties": pet, "required": ["name"]},
        "getPet": {"type": "object", "properties": {"petId": pet_id}, "required": ["petId"]},
        "replacePet": {
            "type": "object",
            "properties": {"petId": pet_id, **pet},
            "required": ["name", "petId"],
        },
        "deletePet": {
            "type": "object",
            "properties": {"petId": {"type": "integer", "description": "The one to remove"}},
            "required": ["petId"],
        },
    }
    assert {name: each.tool.description for name, each in document.operations.items()} == {
        "listPets": "List all pets",
        "createPet": "Adds a pet to the shop. The name has to be new.\nAdd a pet",
        "getPet": "Info for a pet.",
        "replacePet": "Replace a pet",
        "deletePet": "DELETE /pets/{petId}\nThis operation is deprecated.",
    }


def test_weather_writes_its_query_in_every_style(reading, parameters):
    document = reading("weather.yaml")

    assert document.problems == ()
    assert document.operations["forecast"].parameters == (
        Parameter(
            name="places", location="query", style="pipeDelimited", explode=False, required=True
        ),
        Parameter(name="fields", location="query", style="spaceDelimited", explode=False),
        Parameter(name="units", location="query", style="form", explode=False),
        Parameter(name="box", location="query", style="deepObject", explode=True),
        Parameter(name="q", location="query", style="form", explode=True, allow_reserved=True),
        Parameter(
            name="filter",
            location="query",
            style="form",
            explode=True,
            media_type="application/json",
        ),
    )
    assert document.operations["readings"].parameters == (
        Parameter(name="ids", location="path", style="matrix", explode=True, required=True),
        Parameter(name="range", location="path", style="label", explode=False, required=True),
        Parameter(name="hour", location="query", style="form", explode=True),
    )
    number = {"type": "number"}
    names = {"type": "array", "items": TEXT}
    assert parameters(document) == {
        "forecast": {
            "type": "object",
            "properties": {
                "places": {**names, "minItems": 1},
                "fields": names,
                "units": {"type": "string", "enum": ["metric", "imperial"], "default": "metric"},
                "box": {
                    "type": "object",
                    "required": ["north", "south"],
                    "properties": {"north": number, "south": number},
                },
                "q": {"type": "string", "description": "Free text"},
                "filter": {"type": "object", "properties": {"min": number}},
            },
            "required": ["places"],
        },
        "readings": {
            "type": "object",
            "properties": {
                "ids": {"type": "array", "items": WHOLE},
                "range": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
                "hour": TEXT,
            },
            "required": ["ids", "range"],
        },
    }


def test_payments_are_forms(reading, parameters):
    document = reading("payments.json")

    assert document.problems == ()
    assert document.operations["GetCharges"].body is None
    assert document.operations["PostCharges"].body == Body(
        media_type="application/x-www-form-urlencoded",
        required=True,
        properties=(
            Property(name="amount", required=True),
            Property(name="currency", required=True),
            Property(name="metadata", style="deepObject"),
            Property(name="expand", style="deepObject"),
            Property(name="tags", style="spaceDelimited", explode=False),
            Property(name="shipping", media_type="application/json"),
            Property(name="splits", media_type="application/json"),
        ),
    )
    assert document.operations["PostChargesCharge"].body == Body(
        media_type="application/x-www-form-urlencoded",
        properties=(Property(name="description"),),
        additional=True,
    )
    found = parameters(document)
    names = {"type": "array", "items": TEXT}
    assert found["GetCharges"] == {
        "type": "object",
        "properties": {
            "created": {
                "anyOf": [
                    {
                        "type": "object",
                        "title": "range",
                        "properties": {"gt": WHOLE, "lt": WHOLE},
                    },
                    WHOLE,
                ]
            },
            "expand": {"type": "array", "items": {"type": "string", "maxLength": 5000}},
        },
    }
    assert found["PostCharges"] == {
        "type": "object",
        "properties": {
            "amount": {"type": "integer", "minimum": 1},
            "currency": {"type": "string", "maxLength": 3},
            "metadata": {
                "anyOf": [
                    {"type": "object", "additionalProperties": TEXT},
                    {"type": "string", "enum": [""]},
                ]
            },
            "expand": names,
            "tags": names,
            "shipping": {"type": "object", "required": ["line1"], "properties": {"line1": TEXT}},
            "splits": {"type": "array", "items": {"type": "object", "properties": {"to": TEXT}}},
        },
        "required": ["amount", "currency"],
    }
    assert found["PostChargesCharge"] == {
        "type": "object",
        "properties": {"charge": TEXT, "description": TEXT},
        "required": ["charge"],
    }


def test_a_code_host_has_hundreds_of_operations(reading, code_hosting, parameters):
    document = reading(code_hosting)

    assert document.problems == ()
    assert len(document.operations) == 561
    assert [*document.operations][:3] == ["artifacts_list", "artifacts_create", "artifacts_get"]
    found = parameters(document)
    assert found["gists_list"] == {
        "type": "object",
        "properties": {
            "org": TEXT,
            "page": {"type": "integer", "default": 1},
            "per_page": {"type": "integer", "maximum": 100},
        },
        "required": ["org"],
    }
    # of "jobs" (four letters) there is no parent, so that the actor is all it refers to
    actor = {
        "type": "object",
        "properties": {
            "login": TEXT,
            "email": {"type": ["string", "null"]},
            "manager": {"$ref": "#/$defs/actor"},
        },
    }
    assert found["jobs_replace"] == {
        "type": "object",
        "properties": {
            "org": TEXT,
            "id": WHOLE,
            "name": {"type": "string", "maxLength": 100, "description": "The name of the jobs."},
            "visibility": {"type": "string", "enum": ["public", "private"]},
            "owner": {"$ref": "#/$defs/actor"},
            "labels": {"type": "array", "items": TEXT},
        },
        "required": ["id", "name", "org"],
        "$defs": {"actor": actor},
    }


def test_banking_has_headers_cookies_and_keys(reading, parameters, problems):
    document = reading("banking.json", injected=["x-api-key", "session"])

    iban = {"type": "string", "minLength": 15}
    assert parameters(document) == {
        "transfers": {
            "type": "object",
            "properties": {
                "iban": iban,
                "X-Request-Id": {"type": "string", "format": "uuid"},
                "X-Columns": {
                    "type": "array",
                    "items": TEXT,
                    "description": "Columns to show",
                },
                "prefs": {"type": "object", "properties": {"dark": {"type": "boolean"}}},
            },
            "required": ["X-Request-Id", "iban"],
        },
        "transfer": {
            "type": "object",
            "properties": {
                "iban": iban,
                "X-Request-Id": {"type": "string", "deprecated": True},
                "amount": {"type": "string", "pattern": "^[0-9]+[.][0-9]{2}$"},
                "bad": TEXT,
            },
            "required": ["amount", "iban"],
        },
    }
    assert document.operations["transfers"].parameters == (
        Parameter(name="iban", location="path", style="simple", explode=False, required=True),
        Parameter(
            name="X-Request-Id", location="header", style="simple", explode=False, required=True
        ),
        Parameter(
            name="X-Api-Key", location="header", style="simple", explode=False, required=True
        ),
        Parameter(name="session", location="cookie", style="form", explode=True, required=True),
        Parameter(name="X-Columns", location="header", style="simple", explode=False),
        Parameter(name="prefs", location="cookie", style="form", explode=False),
    )
    body = document.operations["transfer"].body
    assert body is not None
    assert body.media_type == "application/vnd.bank.v3+json; charset=utf-8"
    path = "/paths/~1accounts~1{iban}~1transfers"
    content = "requestBody/content/application~1vnd.bank.v3+json; charset=utf-8"
    assert problems(document) == {
        f"{path}/get/parameters/2": (
            "the header Host is set by whoever sends the request; it is left out"
        ),
        f"{path}/get/parameters/3": (r"'X-Evil: 1\r\nX-More' cannot be a header's name; left out"),
        f"{path}/post/{content}/schema/properties/bad/pattern": (
            "'pattern' cannot have this value and is left out; correct it"
        ),
    }


def test_without_anything_injected_banking_asks_for_its_keys(reading, parameters):
    found = parameters(reading("banking.json"))

    assert found["transfers"]["required"] == ["X-Api-Key", "X-Request-Id", "iban", "session"]


def test_names_are_made_fit_and_unique(reading, parameters, calls):
    document = reading("names.json")

    assert document.problems == ()
    assert calls(document) == {
        "root_get": "GET /",
        "users_get": "GET /users",
        "id_get": "GET /users/{id}",
        "id_get_d21a44": "GET /groups/{id}",
        "make-x": "POST /x",
        "y_post": "POST /y",
        "twice": "GET /twice/a",
        "twice_3c7ca7": "GET /twice/b",
        "repos_list_all_379ba2": "GET /dotted",
        "repos_list_all": "GET /dotted2",
        "thisOperationHasANameThatGoesOnAndOnUntilNobodyCanRemembe_ae9676": "GET /long",
        "thisOperationHasANameThatGoesOnAndOnUntilNobodyCanRemembe_738e72": "GET /long2",
        "unicode_get": "GET /unicode",
        "gr_eLesen": "GET /größe",
        "empty_get": "GET /empty",
        "number_get": "GET /number",
    }
    identified = {"type": "object", "properties": {"id": TEXT}, "required": ["id"]}
    with_arguments = {name: each for name, each in parameters(document).items() if each}
    assert with_arguments == {"id_get": identified, "id_get_d21a44": identified}


def test_regions_have_servers_of_their_own(reading, problems):
    document = reading("regions.yaml")

    assert {name: each.server for name, each in document.operations.items()} == {
        "tickets": "https://eu.tickets.example:8443/v2",
        "addTicket": "https://api.example/write",
        "plain": "",
    }
    assert problems(document) == {
        "/paths/~1tickets/put": (
            "the server's variable 'nowhere' needs a default; the operation is left out"
        ),
        "/paths/~1tickets/patch": (
            "the server's url must come to an http or https address, not 'ftp://files.example';"
            " the operation is left out"
        ),
        "/paths/~1tickets/delete": (
            "the server's url is malformed: Invalid IPv6 URL; the operation is left out"
        ),
        "/paths/~1plain/put": (
            "the server's url must come to an http or https address, not"
            " 'http://user:password@tickets.example'; the operation is left out"
        ),
    }
