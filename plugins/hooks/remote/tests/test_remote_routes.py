"""``/hooks``, as clients use it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

SECRET = "sk-0123456789-very-secret"
VALID = {"name": "pets", "endpointUrl": "http://127.0.0.1:9", "timeoutMs": 5000}

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 30


# -------------------------------------------------------------------------
# Registering
# -------------------------------------------------------------------------


async def test_a_hook_is_what_was_registered(server: Any) -> None:
    answer = await server.send("POST", "/hooks/remote", VALID)
    assert answer.status_code == 201
    hook = answer.json()
    assert hook == {
        **VALID,
        "id": hook["id"],
        "properties": {"name": "", "value": None, "in": ""},
        "createdAt": hook["createdAt"],
        "updatedAt": hook["createdAt"],
    }
    assert hook["createdAt"].endswith("Z")
    for path in (f"/hooks/remote/{hook['id']}", "/hooks/remote/by-name/pets"):
        assert (await server.send("GET", path)).json() == hook
    assert (await server.send("GET", "/hooks/remote")).json() == [hook]


async def test_nothing_is_called(server: Any, service: Any) -> None:
    await server.register(service.url)
    await server.send("GET", "/hooks/remote")
    assert not service.requests


async def test_a_hook_may_bring_its_id_and_everything_else(server: Any) -> None:
    body = {
        **VALID,
        "id": "own / id",
        "headers": {"X-Region": "eu"},
        "properties": {"name": "tenant", "value": 7, "in": "query"},
        "documentUrl": "https://example.com/openapi.yaml?version=2",
        "maxResponseBytes": 4096,
        "shape": {"*": "items"},
    }
    answer = await server.send("POST", "/hooks/remote", body)
    assert {name: answer.json()[name] for name in body} == body
    assert (await server.send("GET", "/hooks/remote/own%20%2F%20id")).json() == answer.json()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"id": "a\0b"}, "id"),
        ({"endpointUrl": None}, "endpointUrl"),
        ({"endpointUrl": ""}, "endpointUrl"),
        ({"endpointUrl": "no url"}, "endpointUrl"),
        ({"endpointUrl": "ftp://example.com"}, "endpointUrl"),
        ({"endpointUrl": "//example.com"}, "endpointUrl"),
        ({"endpointUrl": "http://user:password@example.com"}, "endpointUrl"),
        ({"endpointUrl": "http://example.com/?key=1"}, "endpointUrl"),
        ({"endpointUrl": "http://example.com/#there"}, "endpointUrl"),
        ({"endpointUrl": "http://169.254.169.254/latest"}, "endpointUrl"),
        ({"endpointUrl": "http://[fe80::1]/"}, "endpointUrl"),
        ({"endpointUrl": "http://[::1"}, "endpointUrl"),
        ({"timeoutMs": None}, "timeoutMs"),
        ({"timeoutMs": 0}, "timeoutMs"),
        ({"timeoutMs": -1}, "timeoutMs"),
        ({"timeoutMs": 2**31}, "timeoutMs"),
        ({"headers": {"": "x"}}, "headers."),
        ({"headers": {"X-A": ""}}, "headers.X-A"),
        ({"headers": {"X-A": None}}, "headers.X-A"),
        ({"headers": {"X A": "x"}}, "headers.X A"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers.X-A"),
        ({"headers": {"Host": "example.com"}}, "headers.Host"),
        ({"headers": {"content-length": "1"}}, "headers.content-length"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
        ({"headers": {f"X-{n}": "1" for n in range(65)}}, "headers"),
        ({"properties": {"name": "a", "value": {}, "in": "body"}}, "properties.value"),
        ({"properties": {"name": "a", "value": [1]}}, "properties.value"),
        ({"properties": {"name": "a"}}, "properties.value"),
        ({"properties": {"value": "a"}}, "properties.name"),
        ({"properties": {"name": "a b", "value": "x", "in": "header"}}, "properties.name"),
        ({"properties": {"name": "a;b", "value": "x", "in": "cookie"}}, "properties.name"),
        ({"properties": {"name": "a", "value": "x\n", "in": "header"}}, "properties.value"),
        ({"documentUrl": "http://169.254.169.254/"}, "documentUrl"),
        ({"documentUrl": "/openapi.json"}, "documentUrl"),
        ({"maxResponseBytes": -1}, "maxResponseBytes"),
        ({"shape": {"*": "a["}}, "shape.*"),
        ({"shape": {"*": "(" * 5000}}, "shape.*"),
        ({"shape": {"*": "(" * 1500 + "a" + ")" * 1500}}, "shape.*"),
    ],
)
async def test_what_could_never_work_is_refused(server: Any, change: Any, param: str) -> None:
    stored = await server.register("http://127.0.0.1:9", name="stored")
    for method, path in (("POST", "/hooks/remote"), ("PUT", f"/hooks/remote/{stored['id']}")):
        if param == "id" and method == "PUT":
            continue
        answer = await server.send(method, path, {**VALID, **change})
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert error["param"] == param
        assert param.split(".")[0] in error["message"]
    assert [each["name"] for each in (await server.send("GET", "/hooks/remote")).json()] == [
        "stored"
    ]


@pytest.mark.parametrize("change", [{"id": "one"}, {"name": "pets"}])
async def test_ids_and_names_are_used_once(server: Any, change: Any) -> None:
    await server.register("http://127.0.0.1:9", id="one")
    answer = await server.send("POST", "/hooks/remote", {**VALID, "id": "2", "name": "x", **change})
    assert answer.status_code == 409
    assert answer.json()["error"]["param"] == next(iter(change))


# -------------------------------------------------------------------------
# Listing, replacing, deleting
# -------------------------------------------------------------------------


async def test_hooks_are_listed_newest_first_page_by_page(server: Any) -> None:
    for number in range(7):
        await server.register("http://127.0.0.1:9", name=f"hook{number}")
    seen = []
    path = "/hooks/remote?limit=3"
    while path:
        answer = await server.send("GET", path)
        seen += [each["name"] for each in answer.json()]
        cursor = answer.headers.get("x-next-cursor")
        path = f"/hooks/remote?limit=3&cursor={cursor}" if cursor else ""
    assert seen == [f"hook{number}" for number in reversed(range(7))]


async def test_a_listing_says_what_was_last_wrong(server: Any, service: Any, reply: Any) -> None:
    service.handlers["/openapi.json"] = reply(200, b"{}")
    await server.register(service.url)
    [hook] = (await server.send("GET", "/hooks/remote")).json()
    assert "error" not in hook
    await server.rows()
    [hook] = (await server.send("GET", "/hooks/remote")).json()
    assert 'it has no "openapi" field' in hook["error"]
    assert service.loads() == 1


async def test_replacing_keeps_the_time_of_creation(server: Any) -> None:
    old = await server.register("http://127.0.0.1:9", headers={"X-A": "1"})
    body = {**VALID, "name": "cats", "id": "ignored"}
    answer = await server.send("PUT", f"/hooks/remote/{old['id']}", body)
    assert answer.status_code == 200
    new = answer.json()
    assert (new["id"], new["name"]) == (old["id"], "cats")
    assert "headers" not in new
    assert new["createdAt"] == old["createdAt"]
    assert new["updatedAt"] > old["updatedAt"]
    assert (await server.send("GET", "/hooks/remote/by-name/pets")).status_code == 404
    assert (await server.send("GET", "/hooks/remote/by-name/cats")).json() == new


async def test_replacing_does_not_take_anothers_name(server: Any) -> None:
    await server.register("http://127.0.0.1:9", name="cats")
    pets = await server.register("http://127.0.0.1:9")
    answer = await server.send("PUT", f"/hooks/remote/{pets['id']}", {**VALID, "name": "cats"})
    assert answer.status_code == 409
    assert answer.json()["error"]["param"] == "name"


async def test_deleting(server: Any) -> None:
    hook = await server.register("http://127.0.0.1:9")
    path = f"/hooks/remote/{hook['id']}"
    answer = await server.send("DELETE", path)
    assert (answer.status_code, answer.json()) == (200, "deleted")
    for method, body in (("GET", None), ("PUT", VALID), ("DELETE", None)):
        assert (await server.send(method, path, body)).status_code == 404
    await server.register("http://127.0.0.1:9")


async def test_changes_count_for_the_next_call(
    server: Any, service: Any, other_service: Any
) -> None:
    hook = await server.register(service.url)
    path = f"/hooks/remote/{hook['id']}"
    await server.call("getPet", id="1")
    await server.send("PUT", path, {**VALID, "endpointUrl": other_service.url})
    await server.call("getPet", id="2")
    assert [each.target for each in other_service.calls()] == ["/pets/2"]
    with pytest.raises(Exception, match="unknown hook 'cats'"):
        await server.call("getPet", hook="cats", id="3")
    await server.send("PUT", path, {**VALID, "endpointUrl": other_service.url, "name": "cats"})
    await server.call("getPet", hook="cats", id="3")
    for gone in ("pets", "cats"):
        if gone == "cats":
            await server.send("DELETE", path)
        with pytest.raises(Exception, match=f"unknown hook '{gone}'"):
            await server.call("getPet", hook=gone, id="4")


# -------------------------------------------------------------------------
# Credentials
# -------------------------------------------------------------------------

HEADERS = {
    "Authorization": f"Bearer {SECRET}",
    "X-Api-Key": SECRET,
    "X-Auth": "short",
    "Cookie": "session=0123456789abcdef",
    "X-Region": "eu-central-1-and-more",
    "X-Reference": "{{secret:A}}",
    "X-Token": "Bearer {{ secret:A }}",
    "X-Key": f"{SECRET}{{{{secret:A}}}}",
}
SHOWN = {
    "Authorization": "Bearer sk-…cret",
    "X-Api-Key": "sk-…cret",
    "X-Auth": "…",
    "Cookie": "ses…cdef",
    "X-Region": "eu-central-1-and-more",
    "X-Reference": "{{secret:A}}",
    "X-Token": "Bearer {{ secret:A }}",
    "X-Key": "sk-…:A}}",
}


async def test_credentials_are_shown_masked(server: Any) -> None:
    hook = await server.register(
        "http://127.0.0.1:9",
        headers=HEADERS,
        properties={"name": "api_key", "value": SECRET, "in": "query"},
    )
    for shown in (
        hook,
        (await server.send("GET", f"/hooks/remote/{hook['id']}")).json(),
        (await server.send("GET", "/hooks/remote/by-name/pets")).json(),
        *(await server.send("GET", "/hooks/remote")).json(),
    ):
        assert shown["headers"] == SHOWN
        assert shown["properties"] == {"name": "api_key", "value": "sk-…cret", "in": "query"}


async def test_credentials_that_come_back_masked_stay(server: Any, service: Any) -> None:
    hook = await server.register(
        service.url,
        headers={"Authorization": f"Bearer {SECRET}", "X-Auth": "short"},
        properties={"name": "api_key", "value": SECRET, "in": "query"},
    )
    await server.send("PUT", f"/hooks/remote/{hook['id']}", {**hook, "timeoutMs": 6000})
    await server.call("listPets")
    [request] = service.calls()
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["x-auth"] == "short"
    assert request.target == f"/pets?api_key={SECRET}"


async def test_credentials_that_come_back_otherwise_are_new(server: Any, service: Any) -> None:
    hook = await server.register(service.url, headers={"Authorization": f"Bearer {SECRET}"})
    body = {**hook, "headers": {"Authorization": "Bearer another-credential"}}
    await server.send("PUT", f"/hooks/remote/{hook['id']}", body)
    await server.call("listPets")
    assert service.calls()[0].headers["authorization"] == "Bearer another-credential"


async def test_a_mask_is_not_taken_for_another_headers_credential(
    server: Any, service: Any
) -> None:
    hook = await server.register(service.url, headers={"X-Api-Key": SECRET})
    body = {**hook, "headers": {"X-Other-Key": hook["headers"]["X-Api-Key"]}}
    answer = await server.send("PUT", f"/hooks/remote/{hook['id']}", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "headers.X-Other-Key"
    await server.call("listPets")
    assert "x-other-key" not in str(service.requests)


async def test_letter_case_makes_no_difference_to_credentials_that_come_back(
    server: Any, service: Any
) -> None:
    hook = await server.register(service.url, headers={"X-Api-Key": SECRET})
    body = {**hook, "headers": {"x-api-key": hook["headers"]["X-Api-Key"]}}
    await server.send("PUT", f"/hooks/remote/{hook['id']}", body)
    await server.call("listPets")
    assert service.calls()[0].headers["x-api-key"] == SECRET


async def test_a_mask_of_a_credential_that_was_changed_since_is_refused(
    server: Any, service: Any
) -> None:
    shown = await server.register(service.url, headers={"Authorization": f"Bearer {SECRET}"})
    path = f"/hooks/remote/{shown['id']}"
    newer = {**shown, "headers": {"Authorization": "Bearer another-credential"}}
    assert (await server.send("PUT", path, newer)).status_code == 200
    answer = await server.send("PUT", path, {**shown, "timeoutMs": 6000})
    assert answer.json()["error"]["param"] == "headers.Authorization"
    await server.call("listPets")
    assert service.calls()[0].headers["authorization"] == "Bearer another-credential"


@pytest.mark.parametrize("value", ["sk-…cret", "…", "Bearer sk-…cret"])
async def test_a_mask_cannot_be_registered(server: Any, value: str) -> None:
    hook = {"name": "pets", "endpointUrl": "http://127.0.0.1:9", "timeoutMs": 5000}
    answer = await server.send("POST", "/hooks/remote", {**hook, "headers": {"X-Key": value}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "headers.X-Key")
    answer = await server.send(
        "POST", "/hooks/remote", {**hook, "properties": {"name": "api_key", "value": value}}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "properties.value")


async def test_a_credential_may_be_a_number(server: Any, service: Any) -> None:
    hook = await server.register(
        service.url, properties={"name": "api_key", "value": 1234567890123456, "in": "query"}
    )
    assert hook["properties"]["value"] == "123…3456"
    await server.send("PUT", f"/hooks/remote/{hook['id']}", {**hook, "timeoutMs": 6000})
    await server.call("listPets")
    assert service.calls()[0].target == "/pets?api_key=1234567890123456"


async def test_credentials_do_not_follow_to_another_address(
    server: Any, service: Any, other_service: Any
) -> None:
    hook = await server.register(service.url, headers={"X-Api-Key": SECRET})
    body = {**hook, "endpointUrl": other_service.url}
    answer = await server.send("PUT", f"/hooks/remote/{hook['id']}", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "headers.X-Api-Key"
    assert SECRET not in str(other_service.requests)


# -------------------------------------------------------------------------
# What there is
# -------------------------------------------------------------------------


async def test_local_hooks_are_listed_whatever_else_is_broken(server: Any, service: Any) -> None:
    async def hang(request: Any, connection: Any) -> None:
        await asyncio.Event().wait()

    service.handlers["/openapi.json"] = hang
    await server.register(service.url, timeoutMs=60_000)
    async with asyncio.timeout(PATIENCE):
        hooks = {each["name"]: each for each in (await server.send("GET", "/hooks/local")).json()}
    assert "pets" not in hooks
    assert not service.requests
    echo = hooks["echo"]
    assert echo["type"] == "local"
    assert list(echo) == ["name", "description", "type", "tools"]
    [tool] = echo["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "echo"
    assert tool["function"]["parameters"]["type"] == "object"


async def test_schemas_are_the_documents_as_they_were_served(
    server: Any, service: Any, PETS: Any
) -> None:
    PETS["x-extension"] = {"number": 1.0, "ref": {"$ref": "#/components/x"}}
    service.document = PETS
    await server.register(service.url)
    await server.register("http://127.0.0.1:1", name="dead")
    documents = (await server.send("GET", "/hooks/schemas")).json()
    assert documents["pets"] == PETS
    assert "dead" not in documents
    operation = documents["echo"]["paths"]["/echo"]["post"]
    assert operation["operationId"] == "echo"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["type"] == "object"


async def test_a_dead_hook_delays_nobodys_listing(server: Any, service: Any) -> None:
    await server.register(service.url)
    for number in range(5):
        await server.register("http://127.0.0.1:1", name=f"dead{number}")
    rows = await server.rows()
    assert not rows["pets"].error
    assert len(rows["pets"].tools) == 4
    assert all("Connection refused" in rows[f"dead{number}"].error for number in range(5))
    names = (await server.send("GET", "/supported")).json()
    assert {"pets", "dead0", "echo"} <= set(names)


async def test_two_hundred_hooks(server: Any, service: Any) -> None:
    for number in range(200):
        await server.register(service.url, name=f"hook{number}", id=str(number))
    async with asyncio.timeout(PATIENCE):
        rows = await server.rows()
        assert sum(len(row.tools) == 4 for row in rows.values()) == 200
        assert (await server.call("getPet", hook="hook77", id="1")).data["target"] == "/pets/1"
        assert len((await server.send("GET", "/hooks/schemas")).json()) >= 200


# -------------------------------------------------------------------------
# Lint
# -------------------------------------------------------------------------


async def lint(server: Any, **body: Any) -> dict[str, Any]:
    answer = await server.send("POST", "/hooks/lint", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_lint_says_what_models_are_told(server: Any, service: Any) -> None:
    await server.register(service.url)
    found = await lint(server, name="pets")
    assert found["hook"] == "pets"
    assert [tool["name"] for tool in found["tools"]] == [
        "listPets",
        "addPet",
        "getPet",
        "deletePet",
    ]
    pet = found["tools"][2]
    assert pet["description"] == "Get a pet"
    assert list(pet["parameters"]["properties"]) == ["id"]
    assert pet["tokens"] > 10
    assert pet["warnings"] == ["these parameters have no description: id"]
    assert found["problems"] == []
    assert found["collisions"] == []


async def test_lint_looks_at_hooks_that_are_not_registered(server: Any, service: Any) -> None:
    found = await lint(
        server,
        endpointUrl=service.url,
        headers={"X-Key": "k"},
        properties={"name": "id", "value": "1", "in": "path"},
    )
    assert service.requests[0].headers["x-key"] == "k"
    pet = found["tools"][2]
    assert pet["parameters"] is None
    assert (await server.send("GET", "/hooks/remote")).json() == []


@pytest.mark.parametrize("as_text", [True, False])
async def test_lint_looks_at_documents(server: Any, PETS: Any, as_text: bool) -> None:
    PETS["paths"]["/away"] = {"get": {"servers": [{"url": "https://elsewhere.example"}]}}
    found = await lint(server, document=json.dumps(PETS) if as_text else PETS)
    assert [tool["name"] for tool in found["tools"]][-1] == "away_get"
    assert found["problems"] == []


async def test_lint_warns(server: Any, PETS: Any) -> None:
    PETS["paths"] = {
        "/a": {"get": {"operationId": "not a name", "description": "x" * 2000}},
        "/b": {"get": {}},
        "/c": {
            "post": {
                "operationId": "large",
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    f"field{n}": {"type": "string", "description": "words " * 20}
                                    for n in range(100)
                                },
                            }
                        }
                    }
                },
            }
        },
        "/d": {"get": {"operationId": "x" * 64, "summary": "Long"}},
    }
    tools = {tool["name"]: tool for tool in (await lint(server, document=PETS))["tools"]}
    assert tools["not_a_name"]["warnings"] == [
        "it is called 'not_a_name': the operationId 'not a name' cannot be a name",
        "its description has 2000 characters; some models take 1024",
    ]
    assert tools["b_get"]["warnings"] == [
        "it has no description: models choose tools by what is said of them",
        "it has no operationId: it is called 'b_get'",
    ]
    [missing, huge] = tools["large"]["warnings"]
    assert missing.startswith("it has no description")
    assert huge == (
        f"it takes {tools['large']['tokens']} tokens of each conversation: hide it where it is not "
        "needed"
    )
    assert tools["x" * 64]["warnings"] == [f"hook.{'x' * 64} is longer than 64 characters"]


async def test_lint_names_a_hook_that_gets_the_calls(server: Any, service: Any) -> None:
    await server.register(service.url, "echo")
    report = (await server.send("POST", "/hooks/lint", {"name": "echo"})).json()
    assert report["tools"][0]["name"] == "listPets"
    assert report["problems"] == [
        {
            "where": "",
            "what": "a hook of type local has the name 'echo' too, and gets the calls: "
            "give this one another name",
        }
    ]


async def test_lint_names_collisions(server: Any, service: Any, other_service: Any) -> None:
    await server.register(service.url)
    await server.register(other_service.url, name="cats")
    found = await lint(server, name="pets")
    assert {"tool": "getPet", "hooks": ["cats"]} in found["collisions"]
    assert len(found["collisions"]) == 4


@pytest.mark.parametrize(
    ("document", "where", "what"),
    [
        ({"swagger": "2.0"}, "/swagger", "convert the document to OpenAPI 3.0 or 3.1"),
        ({"openapi": "3.0.0", "paths": []}, "/paths", "paths must be an object"),
        ("{", "", "JSON"),
    ],
)
async def test_lint_says_exactly_what_is_wrong(
    server: Any, document: Any, where: str, what: str
) -> None:
    found = await lint(server, document=document)
    [problem] = found["problems"]
    assert problem["where"] == where
    assert what in problem["what"]


async def test_lint_tells_why_a_service_cannot_be_looked_at(server: Any) -> None:
    found = await lint(server, endpointUrl="http://127.0.0.1:1")
    [problem] = found["problems"]
    assert "Connection refused" in problem["what"]


async def test_lint_needs_something_to_look_at(server: Any) -> None:
    answer = await server.send("POST", "/hooks/lint", {})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "name"
    assert (await server.send("POST", "/hooks/lint", {"name": "gone"})).status_code == 404
