"""``/execute``, ``/tasks``, ``/embed``, ``/defaultmodel``, ``/hooks``, ``/supported``."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.errors import NoBackendAvailable, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.testing import TestClient

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def events_of(response: Any) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text.endswith("\n\n")
    frames = response.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


# -------------------------------------------------------------------------
# /execute
# -------------------------------------------------------------------------


def test_a_prompt_is_answered_as_the_model_wrote_it(client: TestClient[Any], models: Any) -> None:
    models.script = ["  spaces ", "stay\n"]
    response = client.post("/execute", json={"prompt": "Say it"})
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["id", "response"]
    assert answer["response"] == "  spaces stay\n"
    assert UUID.fullmatch(answer["id"])
    assert response.headers["x-run-id"] == answer["id"]
    (request,) = models.requests
    assert request.temperature == 0.1
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[1].content == "Say it"


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": None}])
def test_a_prompt_is_needed(client: TestClient[Any], body: dict[str, Any]) -> None:
    response = client.post("/execute", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"


def test_a_model_that_cannot_answer(client: TestClient[Any], models: Any) -> None:
    models.script = [NoBackendAvailable("model 'x' is nowhere; there are: m1")]
    response = client.post("/execute", json={"prompt": "hi", "model_name": "x"})
    assert response.status_code == 503
    body = response.json()
    assert body["error"]["code"] == "no_backend_available"
    assert "there are: m1" in body["error"]["message"]
    assert body["runId"] == response.headers["x-run-id"]


# -------------------------------------------------------------------------
# /tasks
# -------------------------------------------------------------------------


def test_a_chain_runs(client: TestClient[Any], chain: Callable[..., Any]) -> None:
    body = {"input": "two words", "inputType": "string", "chain": chain()}
    response = client.post("/tasks", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["output", "outputType", "state"]
    assert (answer["output"], answer["outputType"]) == ("two words", "string")
    (step,) = answer["state"]
    assert list(step) == [
        "duration",
        "taskID",
        "taskHandler",
        "inputType",
        "outputType",
        "transition",
        "error",
        "input",
        "output",
        "inputVar",
    ]
    assert step["taskID"] == "a"
    assert step["error"] == {"error": ""}
    assert step["duration"] > 0
    assert UUID.fullmatch(response.headers["x-run-id"])


@pytest.mark.parametrize(
    ("given", "input_type", "output_type"),
    [
        ("text", None, "string"),
        ({"a": [1, 2.5, None]}, None, "json"),
        ([1], "JSON", "json"),
        (5, "string", "string"),
        (None, None, "json"),
        ("7", "int", "int"),
    ],
)
def test_the_input_reaches_the_chain(
    client: TestClient[Any],
    chain: Callable[..., Any],
    given: object,
    input_type: str | None,
    output_type: str,
) -> None:
    body = {"input": given, "inputType": input_type, "chain": chain("noop")}
    answer = client.post("/tasks", json=body).json()
    expected = {"string": str(given), "int": 7}.get(output_type, given)
    assert (answer["output"], answer["outputType"]) == (expected, output_type)


def test_a_stored_chain_is_named(client: TestClient[Any], chain: Callable[..., Any]) -> None:
    stored = {**chain("noop"), "id": "my chain/1"}
    assert client.post("/taskchains", json=stored).status_code == 201
    answer = client.post("/tasks", json={"input": "x", "chainId": "my chain/1"})
    assert answer.json()["output"] == "x"
    assert client.post("/tasks", json={"input": "x", "chainId": "other"}).status_code == 404


def test_template_variables(client: TestClient[Any], chain: Callable[..., Any]) -> None:
    body = {
        "input": "x",
        "chain": chain(prompt_template="{{var:who}} {{var:request_id}} {{.input}}"),
        "templateVars": {"who": "me", "request_id": "forged"},
    }
    answer = client.post("/tasks", json=body, headers={"X-Request-ID": "r-7"}).json()
    assert answer["output"] == "me r-7 x"


def test_yaml_is_read_too(client: TestClient[Any]) -> None:
    body = b"""
    input: hello
    chain:
      id: c
      tasks:
        - id: a
          handler: noop
          transition:
            branches:
              - {operator: default, goto: end}
    """
    response = client.post("/tasks", content=body, headers={"Content-Type": "application/yaml"})
    assert response.json()["output"] == "hello"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "x"}, 422, "chain"),
        ({"input": "x", "chain": {"tasks": []}, "chainId": "a"}, 422, "chainId"),
        ({"input": "x", "chain": "a"}, 422, "chain"),
        ({"input": "x", "chain": {"tasks": [{"id": 5}]}}, 422, "chain.tasks.0.id"),
        ({"input": "x", "inputType": "words", "chain": {"tasks": []}}, 422, "inputType"),
        ({"input": "x", "chain": {"tasks": []}, "templateVars": {"a": 1}}, 422, "templateVars"),
        ({"input": "x", "chain": {"tasks": []}}, 400, None),
    ],
)
def test_what_cannot_be_run(
    client: TestClient[Any], body: dict[str, Any], status: int, param: str | None
) -> None:
    response = client.post("/tasks", json=body)
    assert response.status_code == status
    assert response.json()["error"].get("param") == param


def test_a_failed_run_says_how_far_it_came(
    client: TestClient[Any], models: Any, chain: Callable[..., Any]
) -> None:
    models.script = ["not a number"]
    two = chain("noop")
    two["tasks"][0]["transition"]["branches"][0]["goto"] = "b"
    two["tasks"].append({**chain("prompt_to_int")["tasks"][0], "id": "b"})
    response = client.post("/tasks", json={"input": "x", "chain": two})
    assert response.status_code == 422
    body = response.json()
    assert body["error"]["code"] == "task_failed"
    assert [step["taskID"] for step in body["state"]] == ["a", "b"]
    assert body["state"][1]["error"]["error"] == body["error"]["message"]
    assert body["runId"] == response.headers["x-run-id"]


def test_a_broken_backend_is_not_our_fault(
    client: TestClient[Any], models: Any, chain: Callable[..., Any]
) -> None:
    models.script = ["par", UpstreamUnavailable("the backend hung up")]
    response = client.post("/tasks", json={"input": "x", "chain": chain()})
    assert response.status_code == 502
    assert response.json()["error"]["message"] == "the backend hung up"


# -------------------------------------------------------------------------
# /tasks, live
# -------------------------------------------------------------------------

LIVE = {"Accept": "text/event-stream"}


def test_a_live_run_sends_its_events(client: TestClient[Any], chain: Callable[..., Any]) -> None:
    body = {"input": "two words", "chain": chain()}
    response = client.post("/tasks", json=body, headers=LIVE)
    assert response.status_code == 200
    events = events_of(response)
    assert [event["type"] for event in events] == [
        "step_started",
        "model_routed",
        "delta",
        "delta",
        "delta",
        "step_finished",
        "run_finished",
    ]
    assert events[0] == {
        "type": "step_started",
        "taskID": "a",
        "taskHandler": "prompt_to_string",
        "attempt": 1,
    }
    assert events[1]["model"] == "m1"
    assert "".join(event.get("text", "") for event in events[2:5]) == "two words"
    assert events[5]["step"]["taskID"] == "a"
    assert events[6] == {
        "type": "run_finished",
        "runId": response.headers["x-run-id"],
        "output": "two words",
        "outputType": "string",
    }


def test_what_cannot_begin_is_an_ordinary_error(client: TestClient[Any]) -> None:
    body = {"input": "x", "chain": {"tasks": []}}
    response = client.post("/tasks", json=body, headers=LIVE)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_chain"


def test_a_live_run_that_fails_ends_with_the_error(
    client: TestClient[Any], models: Any, chain: Callable[..., Any]
) -> None:
    models.script = ["par", UpstreamUnavailable("the backend hung up")]
    response = client.post("/tasks", json={"input": "x", "chain": chain()}, headers=LIVE)
    assert response.status_code == 200
    last = events_of(response)[-1]
    assert last["error"]["code"] == "upstream_error"
    assert last["error"]["request_id"] == response.headers["x-request-id"]
    assert last["runId"] == response.headers["x-run-id"]


# -------------------------------------------------------------------------
# Embeddings and hooks
# -------------------------------------------------------------------------


def test_one_text_has_one_vector(client: TestClient[Any]) -> None:
    assert client.post("/embed", json={"text": "four"}).json() == {"vector": [4.0, 0.5]}


def test_several_texts_have_several(client: TestClient[Any]) -> None:
    answer = client.post("/embed", json={"texts": ["a", "bc"]}).json()
    assert answer == {"vectors": [[1.0, 0.5], [2.0, 0.5]]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": 5}, "text"),
        ({"texts": []}, "texts"),
        ({"texts": ["a", ""]}, "texts.1"),
        ({"texts": ["a", 1]}, "texts.1"),
        ({"text": "a", "texts": ["b"]}, "texts"),
    ],
)
def test_a_text_is_needed(client: TestClient[Any], body: dict[str, Any], param: str) -> None:
    response = client.post("/embed", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param


def test_nobody_can_embed(client: TestClient[Any], models: Any) -> None:
    models.script = ["no"]
    response = client.post("/embed", json={"text": "x"})
    assert response.status_code == 503


def test_the_default_model_is_the_embedding_model(client: TestClient[Any]) -> None:
    assert client.get("/defaultmodel").json() == {"modelName": "e1"}


def test_hooks_with_their_tools(client: TestClient[Any]) -> None:
    schema = {"type": "object", "properties": {}}
    assert client.get("/hooks").json() == [
        {
            "name": "one",
            "description": "First.",
            "type": "local",
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "go", "description": "Goes.", "parameters": schema},
                }
            ],
        },
        {"name": "two", "description": "", "type": "remote", "error": "it is out"},
    ]


def test_supported_hooks_by_name(client: TestClient[Any]) -> None:
    assert client.get("/supported").json() == ["one", "two"]
