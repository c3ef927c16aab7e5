"""What existing clients send and expect, on the running server: paths, statuses, messages, bodies.

Each row is one exchange as a client that was written against the API before would have it.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


#: Listings that come page by page.
PAGED = [
    "/taskchains",
    "/chat",
    "/backends",
    "/models",
    "/group-by-purpose/x",
    "/providers/configs",
    "/hooks/remote",
    "/secrets",
]


def chain_of(name: str, handler: str = "prompt_to_string", **task: Any) -> dict[str, Any]:
    transition = {"branches": [{"operator": "default", "goto": "end"}]}
    task = {"id": "a", "handler": handler, "transition": transition, **task}
    return {"id": name, "tasks": [task]}


def envelope(message: str, code: str, type: str = "invalid_request_error", **more: Any) -> Any:
    return {"error": {"message": message, "type": type, "code": code, **more}}


def check_error(response: httpx.Response, status: int, expected: dict[str, Any]) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error.pop("request_id") == response.headers["x-request-id"]
    assert {"error": error} == expected


# -------------------------------------------------------------------------
# The server
# -------------------------------------------------------------------------


def test_health_and_version(client: httpx.Client) -> None:
    health = client.get("/health")
    assert (health.status_code, health.content) == (200, b"")
    assert health.headers["content-length"] == "0"
    assert "content-type" not in health.headers
    version = client.get("/version").json()
    assert version.keys() == {"version", "nodeInstanceID", "tenancy"}
    assert len(version["nodeInstanceID"]) == 8
    assert version["version"].startswith("v")
    assert uuid.UUID(version["tenancy"])


# -------------------------------------------------------------------------
# Task chains
# -------------------------------------------------------------------------


def test_a_chain_as_it_is_written_back(client: httpx.Client) -> None:
    sent = {"id": "min", "unknown": 1, "tasks": [{"id": "a", "handler": "noop", "other": [2]}]}
    created = client.post("/taskchains", json=sent)
    assert (created.status_code, created.headers["content-type"]) == (201, "application/json")
    assert created.json() == {
        "id": "min",
        "debug": False,
        "description": "",
        "tasks": [
            {
                "id": "a",
                "description": "",
                "handler": "noop",
                "prompt_template": "",
                "transition": {"on_failure": "", "branches": None},
            }
        ],
        "token_limit": 0,
    }


def test_storing_again_keeps_the_place(client: httpx.Client) -> None:
    for name in ("order-1", "order-2", "order-3"):
        client.post("/taskchains", json=chain_of(name))
    again = client.post("/taskchains", json=chain_of("order-1", description="again"))
    assert again.status_code == 201
    ids = [one["id"] for one in client.get("/taskchains").json()]
    assert [one for one in ids if one.startswith("order-")] == ["order-3", "order-2", "order-1"]
    assert client.get("/taskchains/order-1").json()["tasks"][0]["description"] == "again"


def test_nothing_is_validated_when_storing(client: httpx.Client) -> None:
    task = {"id": "same", "handler": "unknown", "transition": {"branches": [{"goto": "nowhere"}]}}
    stored = client.post("/taskchains", json={"id": "odd", "tasks": [task, task]})
    assert stored.status_code == 201
    assert client.put("/taskchains/odd", json={"id": "odd", "tasks": []}).json()["tasks"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("POST", "/taskchains", {"tasks": [{}]}, 422, ("id: this field is required", "id")),
        (
            "POST",
            "/taskchains",
            {"id": "x"},
            422,
            ("tasks: at least one task is required", "tasks"),
        ),
        (
            "PUT",
            "/taskchains/chat",
            {"id": "other", "tasks": []},
            422,
            ("id: must be empty or the id in the path", "id"),
        ),
        ("POST", "/execute", {"prompt": ""}, 400, ("prompt: must not be empty", "prompt")),
        ("POST", "/execute", {}, 400, ("prompt: must not be empty", "prompt")),
        ("POST", "/chat", {"message": ""}, 400, ("message: must not be empty", "message")),
        ("POST", "/embed", {"text": ""}, 422, ("text: must not be empty", "text")),
        ("POST", "/embed", {}, 422, ("text: must not be empty", "text")),
        (
            "POST",
            "/tasks",
            {"input": "x"},
            422,
            ("chain: send a chain, or the id of a stored one as chainId", "chain"),
        ),
    ],
)
def test_a_refusal(
    client: httpx.Client, method: str, path: str, body: Any, status: int, expected: Any
) -> None:
    message, param = expected
    code = {400: "bad_request", 422: "unprocessable_entity"}[status]
    response = client.request(method, path, json=body)
    check_error(response, status, envelope(message, code, param=param))


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5", "1e2", "9" * 30, "%00"])
@pytest.mark.parametrize("path", PAGED)
def test_a_bad_limit(client: httpx.Client, path: str, limit: str) -> None:
    response = client.get(f"{path}?limit={limit}")
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "limit"


@pytest.mark.parametrize("cursor", ["x", "2026-13-45", "%00", "' OR 1=1 --", "=" * 5000])
@pytest.mark.parametrize("path", PAGED)
def test_a_bad_cursor(client: httpx.Client, path: str, cursor: str) -> None:
    response = client.get(path, params={"cursor": cursor})
    assert response.status_code == 422, response.text
    assert response.json()["error"]["param"] == "cursor"


def test_nothing_is_lost_between_pages(client: httpx.Client) -> None:
    names = {f"page-{number}" for number in range(25)}
    for name in sorted(names):
        client.post("/taskchains", json=chain_of(name))
    found: list[str] = []
    url = "/taskchains?limit=7"
    while url:
        page = client.get(url)
        found += [one["id"] for one in page.json()]
        link = page.headers.get("link", "")
        url = link.removeprefix("<").removesuffix('>; rel="next"')
        client.post("/taskchains", json=chain_of(f"meanwhile-{len(found)}"))
    assert len(found) == len(set(found))
    assert names <= set(found)


# -------------------------------------------------------------------------
# Execution
# -------------------------------------------------------------------------


def test_execute(client: httpx.Client) -> None:
    response = client.post("/execute", json={"prompt": "  two  words \n"})
    assert response.status_code == 200
    assert response.json().keys() == {"id", "response"}
    assert response.json()["response"] == "  two  words \n"
    assert uuid.UUID(response.json()["id"])
    named = client.post("/execute", json={"prompt": "x", "model_name": "none"})
    assert named.status_code == 503
    assert named.json()["error"]["code"] == "no_backend_available"


def test_tasks(client: httpx.Client) -> None:
    body = {"input": "hi", "inputType": "string", "chain": chain_of("x")}
    answer = client.post("/tasks", json=body).json()
    assert answer.keys() == {"output", "outputType", "state"}
    assert (answer["output"], answer["outputType"]) == ("hi", "string")
    (step,) = answer["state"]
    duration = step.pop("duration")
    assert isinstance(duration, float)
    assert step == {
        "taskID": "a",
        "taskHandler": "prompt_to_string",
        "inputType": "string",
        "outputType": "string",
        "transition": "hi",
        "error": {"error": ""},
        "input": "",
        "output": "",
        "inputVar": step["inputVar"],
    }


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("x", "string", "x"),
        ({"value": "x"}, "string", "x"),
        (5, "string", "5"),
        (1234567, "string", "1234567"),
        (True, "string", "true"),
        ({"b": 1, "a": [2]}, "string", '{"a":[2],"b":1}'),
        ("7", "int", 7),
        (7.9, "int", 7),
        ("1.5", "float", 1.5),
        ("T", "bool", True),
        (0, "bool", False),
        ({"a": 1}, "json", {"a": 1}),
        ([1, 2], "ANY", [1, 2]),
    ],
)
def test_inputs(client: httpx.Client, given: Any, kind: str, expected: Any) -> None:
    body = {"input": given, "inputType": kind, "chain": chain_of("x", "noop")}
    answer = client.post("/tasks", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"] == expected


def test_variables(client: httpx.Client) -> None:
    chain = chain_of("x", prompt_template="{{var:who}} {{var:request_id}}")
    body = {"input": "x", "chain": chain, "templateVars": {"who": "me", "request_id": "theirs"}}
    answer = client.post("/tasks", json=body, headers={"X-Request-ID": "ours-1"})
    assert answer.json()["output"] == "me ours-1"
    check = client.post("/tasks", json={**body, "inputType": "letter"})
    assert (check.status_code, check.json()["error"]["param"]) == (422, "inputType")


def test_embed(client: httpx.Client) -> None:
    one = client.post("/embed", json={"text": "alpha"}).json()
    assert one.keys() == {"vector"}
    many = client.post("/embed", json={"texts": ["alpha", "beta"]}).json()
    assert many.keys() == {"vectors"}
    assert many["vectors"][0] == one["vector"]
    assert client.get("/defaultmodel").json() == {"modelName": "echo-embed"}


def test_supported(client: httpx.Client) -> None:
    names = client.get("/supported").json()
    assert isinstance(names, list)
    assert {"echo", "print"} <= set(names)


# -------------------------------------------------------------------------
# OpenAI's routes
# -------------------------------------------------------------------------

SAID = {"messages": [{"role": "user", "content": "hi  there"}]}


def test_a_completion(client: httpx.Client) -> None:
    for path, model in (("/openai/chat/v1", "echo"), ("/v1", "echo"), ("/v1", "chain:chat")):
        answer = client.post(f"{path}/chat/completions", json={"model": model, **SAID}).json()
        created = answer.pop("created")
        assert created > 1_600_000_000
        assert answer.pop("id").startswith("chatcmpl-")
        assert answer == {
            "object": "chat.completion",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "hi  there"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
        }


def test_a_stream(client: httpx.Client) -> None:
    response = client.post(
        "/openai/chat/v1/chat/completions", json={"model": "echo", "stream": True, **SAID}
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    *frames, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "hi  there"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]


def test_models(client: httpx.Client) -> None:
    for path in ("/v1/models", "/openai/chat/v1/models", "/openai/v1/models"):
        got, posted = client.get(path), client.post(path)
        assert got.status_code == posted.status_code == 200
        listed = got.json()
        assert listed["object"] == "list"
        row = next(one for one in listed["data"] if one["id"] == "echo")
        assert row.keys() == {"id", "object", "created", "owned_by"}
        assert row["object"] == "model"
        assert {one["id"] for one in posted.json()["data"]} == {one["id"] for one in listed["data"]}


def test_an_error(client: httpx.Client) -> None:
    response = client.post("/openai/none/v1/chat/completions", json=SAID)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error.pop("message")
    assert error == {"type": "invalid_request_error", "param": None, "code": "not_found"}
