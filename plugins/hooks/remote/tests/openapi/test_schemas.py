"""Documents whose schemas are not simple, and the tools that come of them."""

from __future__ import annotations

from runtime_hooks_remote.shapes import Body, Property

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def test_a_social_graph_is_recursive(reading, parameters, problems):
    document = reading("social_graph.json")

    person = {
        "name": TEXT,
        "manager": {"$ref": "#/$defs/Person"},
        "employer": {"$ref": "#/$defs/Company"},
    }
    staff = {"type": "array", "items": {"$ref": "#/$defs/Person"}}
    found = parameters(document)
    assert found["addPerson"] == {
        "type": "object",
        "properties": person,
        "required": ["name"],
        "$defs": {
            "Person": {"type": "object", "required": ["name"], "properties": person},
            "Company": {"type": "object", "properties": {"name": TEXT, "staff": staff}},
        },
    }
    comments = {"type": "array", "items": {"$ref": "#/$defs/Comment"}}
    assert found["startThread"] == {
        "type": "object",
        "properties": {"body": comments},
        "$defs": {"Comment": {"type": "object", "properties": {"text": TEXT, "replies": comments}}},
    }
    leaf = {"type": "object", "properties": {"value": TEXT}}

    def twice(schema):
        return {"type": "object", "properties": {"left": schema, "right": schema}}

    every = {"type": "array", "items": {"$ref": "#/$defs/Filter"}}
    assert found["query"] == {
        "type": "object",
        "properties": {
            "where": {"$ref": "#/$defs/Filter"},
            "doubled": twice({"$ref": "#/$defs/D1"}),
        },
        "required": ["where"],
        "$defs": {
            "Filter": {
                "oneOf": [
                    {"type": "object", "required": ["and"], "properties": {"and": every}},
                    {"type": "object", "required": ["field"], "properties": {"field": TEXT}},
                ]
            },
            "D1": twice({"$ref": "#/$defs/D2"}),
            "D2": twice(leaf),
        },
    }
    assert found["loop"] == {"type": "object", "properties": {"self": {}, "ring": {}, "inner": {}}}
    circle = "the reference leads back to itself; let it name a definition"
    assert problems(document) == {
        "/components/schemas/Self": circle,
        "/components/schemas/RingA": circle,
        "/components/schemas/AllOfItself": (
            "the schema is only valid where it is valid itself; it is taken as anything"
        ),
    }


def test_orders_are_written_in_3_1(reading, parameters, calls):
    document = reading("orders.yaml")

    assert document.problems == ()
    assert calls(document) == {"placeOrder": "POST /orders", "getOrder": "GET /orders/{id}"}
    money = {
        "type": "object",
        "required": ["amount", "currency"],
        "properties": {
            "amount": {"type": "number", "exclusiveMinimum": 0},
            "currency": {"type": "string", "const": "EUR"},
        },
    }
    assert parameters(document) == {
        "placeOrder": {
            "type": "object",
            "properties": {
                "lines": {"type": "array", "prefixItems": [TEXT, WHOLE], "items": {"not": {}}},
                "note": {"type": ["string", "null"], "examples": ["please ring", 17]},
                "price": {**money, "description": "What is paid in the end"},
                "discount": {"allOf": [money], "maxProperties": 2},
                "extra": {},
            },
            "required": ["lines"],
        },
        "getOrder": {
            "type": "object",
            "properties": {"id": {"type": ["string", "integer"]}},
            "required": ["id"],
        },
    }
    body = document.operations["placeOrder"].body
    assert body is not None
    assert not body.additional


def test_a_calendar_uses_the_anchors_of_yaml(reading, parameters):
    document = reading("calendar.yaml")

    assert document.problems == ()
    positive = {"type": "integer", "minimum": 1}
    time = {"type": "string", "format": "date-time"}
    entry = {"title": TEXT, "start": time, "end": time}
    assert parameters(document) == {
        "entries": {
            "type": "object",
            "properties": {"calendar": positive, "page": positive},
            "required": ["calendar"],
        },
        "addEntry": {
            "type": "object",
            "properties": {"calendar": positive, **entry},
            "required": ["calendar", "start", "title"],
        },
        "moveEntries": {
            "type": "object",
            "properties": {"calendar": positive, **entry, "days": positive},
            "required": ["calendar", "days"],
        },
    }
    assert document.operations["moveEntries"].tool.description == "Moves all entries by some days."
    body = document.operations["moveEntries"].body
    assert body is not None
    assert body.media_type == "application/merge-patch+json"


def test_media_are_uploaded(reading, parameters):
    document = reading("media.yaml")

    assert document.problems == ()
    assert document.operations["uploadImage"].body == Body(
        media_type="multipart/form-data",
        required=True,
        additional=True,
        properties=(
            Property(name="file", required=True, media_type="image/png", binary=True),
            Property(name="thumbnails", binary=True),
            Property(name="sidecar"),
            Property(name="title", media_type="text/markdown"),
            Property(name="meta", media_type="application/json"),
            Property(name="places", media_type="application/json"),
            Property(name="labels", explode=False),
            Property(name="notes"),
            Property(name="raw", media_type="application/octet-stream", binary=True),
        ),
    )
    assert document.operations["replaceContent"].body == Body(
        media_type="image/png", required=True, argument="body"
    )
    found = parameters(document)
    assert found["uploadImage"] == {
        "type": "object",
        "properties": {
            "file": {"type": "string", "contentMediaType": "image/png"},
            "thumbnails": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "sidecar": {
                "type": "string",
                "contentMediaType": "image/png",
                "contentEncoding": "base64",
            },
            "title": TEXT,
            "meta": {"type": "object", "properties": {"taken": TEXT}},
            "places": {
                "type": "array",
                "items": {"type": "object", "properties": {"lat": {"type": "number"}}},
            },
            "labels": {"type": "array", "items": TEXT},
            "notes": {},
            "raw": {},
        },
        "required": ["file"],
    }
    image = {"type": "string", "format": "binary"}
    assert found["replaceContent"] == {
        "type": "object",
        "properties": {"id": TEXT, "body": {**image, "description": "The image itself"}},
        "required": ["body", "id"],
    }
    assert found["appendContent"] == {
        "type": "object",
        "properties": {"id": TEXT, "body": image},
        "required": ["id"],
    }


def test_vehicles_are_of_several_kinds(reading, parameters):
    document = reading("vehicles.json")

    assert document.problems == ()
    named = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
    vehicle = {
        "oneOf": [
            {
                "type": "object",
                "title": "Car",
                "required": ["kind", "doors"],
                "properties": {"kind": TEXT, "doors": WHOLE},
            },
            {
                "title": "Bike",
                "allOf": [
                    named,
                    {
                        "type": "object",
                        "required": ["kind"],
                        "properties": {"kind": TEXT, "gears": {"not": TEXT}},
                    },
                ],
            },
        ],
        "discriminator": {"propertyName": "kind", "mapping": {"car": "Car", "bike": "Bike"}},
    }
    at_least_three = {"type": "object", "properties": {"name": {"type": "string", "minLength": 3}}}
    anything = {"type": "object", "additionalProperties": TEXT}
    assert parameters(document) == {
        "register": {
            "type": "object",
            "properties": {"body": {**vehicle, "description": "The vehicle"}},
            "required": ["body"],
        },
        "retag": {"type": "object", "properties": {"body": {"type": "array", "items": TEXT}}},
        "addFleet": {
            "type": "object",
            "properties": {"name": TEXT, "vehicles": {"type": "array", "items": vehicle}},
            "required": ["name", "vehicles"],
        },
        "replaceFleet": {
            "type": "object",
            "properties": {"body": {"allOf": [named, at_least_three]}},
        },
        "changeFleet": {"type": "object", "properties": {"name": TEXT, "motto": TEXT}},
        "settings": {"type": "object", "properties": {"body": anything}},
        "anything": {
            "type": "object",
            "properties": {"body": {"type": "boolean"}, "request_body": {}},
        },
    }
    assert {name: each.body for name, each in document.operations.items()} == {
        "register": Body(media_type="application/json", required=True, argument="body"),
        "retag": Body(media_type="application/json", argument="body"),
        "addFleet": Body(
            media_type="application/json",
            required=True,
            additional=True,
            properties=(
                Property(name="name", required=True),
                Property(name="vehicles", required=True),
            ),
        ),
        "replaceFleet": Body(media_type="application/json", argument="body"),
        "changeFleet": Body(
            media_type="application/json",
            additional=True,
            properties=(Property(name="name"), Property(name="motto")),
        ),
        "settings": Body(media_type="application/json", argument="body", additional=True),
        "anything": Body(media_type="application/json", argument="request_body"),
    }


def test_a_crm_has_nulls_and_read_only_fields(reading, parameters):
    document = reading("crm.json")

    assert document.problems == ()
    company = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
    null = {"type": "null"}
    assert parameters(document) == {
        "addContact": {
            "type": "object",
            "properties": {
                "email": {"type": ["string", "null"], "examples": ["ada@crm.example"]},
                "password": TEXT,
                "stage": {"type": ["string", "null"], "enum": ["lead", "customer", None]},
                "company": {"anyOf": [company, null], "description": "Where they work"},
                "partner": {"oneOf": [company, TEXT, null]},
                "score": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
                "level": {"enum": [1, 2, None]},
                "custom": {
                    "type": ["object", "null"],
                    "additionalProperties": {"type": ["string", "null"]},
                },
            },
            "required": ["email"],
        },
        "audit": None,
    }
    assert document.operations["audit"].body == Body(
        media_type="application/json", required=True, additional=True
    )


def test_notifications_are_plain_text_or_nothing(reading, parameters):
    document = reading("notifications.yaml")

    assert document.problems == ()
    topic = {"topic": TEXT}
    assert parameters(document) == {
        "publish": {
            "type": "object",
            "properties": {**topic, "body": {"type": "string", "maxLength": 4096}},
            "required": ["body", "topic"],
        },
        "createTopic": {"type": "object", "properties": topic, "required": ["topic"]},
        "dropMessages": {
            "type": "object",
            "properties": {**topic, "ids": {"type": "array", "items": WHOLE}},
            "required": ["topic"],
        },
        "ping": None,
        "note": {"type": "object", "properties": {"body": TEXT}},
    }
    assert {name: each.body for name, each in document.operations.items()} == {
        "publish": Body(media_type="text/plain", required=True, argument="body"),
        "createTopic": None,
        "dropMessages": Body(
            media_type="application/json", properties=(Property(name="ids"),), additional=True
        ),
        "ping": None,
        "note": Body(media_type="text/markdown", argument="body"),
    }


def test_several_schemas_together_may_be_null(reading, body_of):
    both = {"allOf": [TEXT, {"minLength": 1}], "nullable": True}

    document = reading(body_of({"properties": {"a": both}}, "3.0.3"))

    assert document.operations["send"].tool.parameters == {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"allOf": [TEXT, {"minLength": 1}]}, {"type": "null"}]},
        },
    }
