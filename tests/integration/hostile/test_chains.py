"""Chains that are wrong, run in circles or reach for what is not theirs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

#: Templates that would run, grow or look around without end; all are refused by name.
HOSTILE = [
    "{% for a in range(10000000000) %}x{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
    "{{ 'x' * 10000000000 }}",
    "{{ 10 ** (10 ** 10) }}",
    "{{ '%010000000000d' % 1 }}",
    "{{ ('x' * 10000) | replace('x', 'x' * 10000) | replace('x', 'x' * 10000) }}",
    '{{ printf "%010000000000d" 1 }}',
    "{{ ''.__class__ }}",
    "{{ ''['__class__']['__mro__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ input.__class__.__base__.__subclasses__() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ self.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ config }}",
    "{% import 'os' as os %}{{ os }}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{{ nowhere }}",
    "{{.nowhere}}",
    "{{ input",
    "{% for a in input %}",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
    "{{ [" * 2000 + "1" + "] }}" * 2000,
]


def to(target: str) -> dict[str, Any]:
    return {"branches": [{"operator": "default", "goto": target}]}


def one(task: dict[str, Any], **chain: Any) -> dict[str, Any]:
    return {"id": "x", "tasks": [{"id": "a", "transition": to("end")} | task], **chain}


@pytest.fixture
async def client(server: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with server.client() as client:
        yield client


async def run(client: httpx.AsyncClient, chain: Any, given: Any = "hi") -> httpx.Response:
    return await client.post("/tasks", json={"input": given, "chain": chain})


def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"]
    assert "Traceback" not in response.text
    return error


async def test_an_unknown_chain(client: httpx.AsyncClient) -> None:
    asked = {
        "/tasks": {"input": "x", "chainId": "none"},
        "/chat": {"message": "x", "chain": "none"},
    }
    for path, body in asked.items():
        assert "none" in check(await client.post(path, json=body), 404, "not_found")["message"]
    body = {"messages": [{"role": "user", "content": "x"}]}
    for stream in (False, True):
        url = "/openai/none/v1/chat/completions"
        response = await client.post(url, json={**body, "stream": stream})
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"
    for method in ("GET", "DELETE"):
        check(await client.request(method, "/taskchains/none"), 404, "not_found")
    put = await client.put("/taskchains/none", json=one({"handler": "noop"}))
    check(put, 422, "unprocessable_entity")
    put = await client.put("/taskchains/none", json={"tasks": []})
    check(put, 404, "not_found")


async def test_a_circle_without_a_way_out(client: httpx.AsyncClient) -> None:
    chain = {
        "id": "x",
        "tasks": [
            {"id": "a", "handler": "noop", "transition": to("b")},
            {"id": "b", "handler": "noop", "transition": to("a")},
        ],
    }
    error = check(await run(client, chain), 400, "invalid_chain")
    assert "'a' → 'b' → 'a'" in error["message"]


@pytest.mark.parametrize("steps", [None, 10])
async def test_a_circle(client: httpx.AsyncClient, steps: int | None) -> None:
    """A circle is a way to loop; one whose way out is never taken ends at the limit."""
    out = {"operator": "equals", "when": "never", "goto": "end"}
    again = {"operator": "default", "goto": "a"}
    chain = {
        "id": "x",
        "tasks": [
            {"id": "a", "handler": "noop", "transition": to("b")},
            {"id": "b", "handler": "noop", "transition": {"branches": [out, again]}},
        ],
    }
    if steps:
        chain["max_steps"] = steps
    response = await run(client, chain)
    error = check(response, 400, "step_limit_exceeded")
    assert str(steps or 200) in error["message"]
    assert len(response.json()["state"]) == (steps or 200)
    assert {step["taskID"] for step in response.json()["state"]} == {"a", "b"}
    assert response.json()["runId"] == response.headers["x-run-id"]


async def test_a_circle_does_not_keep_others_waiting(server: Any) -> None:
    """A client that leaves takes its circle along, however often it may go round."""
    out = {"operator": "equals", "when": "never", "goto": "end"}
    again = {"operator": "default", "goto": "a"}
    task = {"handler": "noop", "transition": {"branches": [out, again]}}
    async with server.client() as client:
        asked = asyncio.create_task(run(client, one(task, max_steps=10_000_000)))
        for _ in range(20):
            began = time.monotonic()
            assert (await client.get("/livez")).status_code == 200
            assert time.monotonic() - began < 1
        assert not asked.done()
        asked.cancel()
        await asyncio.wait([asked])
    await server.quiet()


async def test_every_problem_is_named(client: httpx.AsyncClient) -> None:
    chain = {
        "id": "x",
        "tasks": [
            {"id": "a", "handler": "no_such_handler", "transition": to("nowhere")},
            {"id": "a", "handler": "noop", "transition": to("end")},
            {"id": "end", "handler": "noop", "transition": {"branches": []}},
        ],
    }
    assert (await client.post("/taskchains", json=chain)).status_code == 201
    found = (await client.post("/taskchains/validate", json=chain)).json()
    assert found["valid"] is False
    for response in (
        await run(client, chain),
        await client.post("/tasks", json={"input": "hi", "chainId": "x"}),
        await client.post("/chat", json={"message": "hi", "chain": "x"}),
    ):
        error = check(response, 400, "invalid_chain")
        assert response.json()["state"] == []
        for word in ("no_such_handler", "nowhere", "'a'", "end"):
            assert word in error["message"]
            assert word in " ".join(found["problems"])
    assert (await client.delete("/taskchains/x")).status_code == 200


@pytest.mark.parametrize("template", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_template(client: httpx.AsyncClient, template: str) -> None:
    began = time.monotonic()
    task = {"handler": "prompt_to_string", "prompt_template": template}
    task |= {"execute_config": {"model": "echo"}}
    asked = asyncio.create_task(run(client, one(task)))
    assert (await client.get("/livez")).status_code == 200
    assert time.monotonic() - began < 2
    response = await asked
    assert time.monotonic() - began < 5
    assert response.status_code in (400, 422), response.text[:300]
    assert response.json()["error"]["code"] in ("template_failed", "invalid_chain")
    assert len(response.text) < 20_000
    for word in ("Traceback", "/usr", "site-packages", "root:"):
        assert word not in response.text


async def test_what_a_variable_holds_is_no_template(client: httpx.AsyncClient) -> None:
    given = "{{ ''.__class__ }} {{var:secret}} {{hookservice:list}} {% for a in range(9) %}"
    task = {"handler": "prompt_to_string", "prompt_template": "{{.input}}"}
    task |= {"execute_config": {"model": "echo"}}
    response = await run(client, one(task), given)
    assert response.json()["output"] == given


@pytest.mark.parametrize(
    "chain",
    [
        one({"handler": "noop", "timeout": "forever"}),
        one({"handler": "noop", "timeout": "-1s"}),
        one({"handler": "noop", "retry_on_failure": 10**9}),
        one({"handler": "noop"}, max_steps=-1),
        one({"handler": "noop"}, max_steps=10**30),
        one({"handler": "noop", "input_var": "nowhere"}),
        one({"handler": "prompt_to_json", "output_schema": {"$ref": "http://127.0.0.1:1/x"}}),
        one({"handler": "noop", "transition": {"branches": [{"operator": "like", "goto": "a"}]}}),
        {"id": "x", "tasks": [{"id": "", "handler": "noop"}]},
        {"id": "x", "tasks": []},
        {"id": "x"},
        {},
        {"id": "x", "tasks": [{}] * 5000},
        {"id": "x", "tasks": [{"id": f"t{n}", "handler": "noop"} for n in range(20_000)]},
    ],
    ids=range(14),
)
async def test_what_cannot_run_is_refused(client: httpx.AsyncClient, chain: Any) -> None:
    began = time.monotonic()
    response = await run(client, chain)
    assert time.monotonic() - began < 5
    assert response.status_code in (200, 400, 422), response.text[:300]
    if response.status_code != 200:
        error = response.json()["error"]
        assert error["code"] in (
            "bad_request",
            "invalid_chain",
            "unprocessable_entity",
            "task_failed",
            "step_limit_exceeded",
        )
        assert len(error["message"]) < 100_000


@pytest.mark.parametrize("chain", [5, "x", [], True, [{}]])
async def test_no_chain(client: httpx.AsyncClient, chain: Any) -> None:
    error = check(await run(client, chain), 422, "unprocessable_entity")
    assert error["param"] == "chain"
