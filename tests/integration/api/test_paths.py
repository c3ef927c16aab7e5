"""Paths, methods, names and keys as existing clients know them, on the running server."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

KEY = "a-key-of-ours"


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


NOT_FOUND = envelope("serverops: not found", "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nowhere",
        "/health/",
        "/taskchains/",
        "//taskchains",
        "/taskchains//x",
        "/Health",
        "/openai",
        "/openai/x/v1",
        "/v1",
        "/executes",
        "/v1/chat",
    ],
)
def test_an_unknown_path(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        check_error(client.request(method, httpx.URL(path)), 404, NOT_FOUND)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/health", {"GET", "HEAD"}),
        ("/version", {"GET", "HEAD"}),
        ("/execute", {"POST"}),
        ("/tasks", {"POST"}),
        ("/embed", {"POST"}),
        ("/taskchains", {"GET", "HEAD", "POST"}),
        ("/taskchains/x", {"DELETE", "GET", "HEAD", "PUT"}),
        ("/chat", {"GET", "HEAD", "POST"}),
        ("/chat/x", {"DELETE", "GET", "HEAD"}),
        ("/v1/chat/completions", {"POST"}),
        ("/v1/models", {"GET", "HEAD", "POST"}),
        ("/openai/x/v1/chat/completions", {"POST"}),
        ("/backends", {"GET", "HEAD", "POST"}),
        ("/backends/x", {"DELETE", "GET", "HEAD", "PUT"}),
        ("/backends/x/models/m", {"DELETE"}),
        ("/models", {"GET", "HEAD", "POST"}),
        ("/models/x", {"DELETE", "PUT"}),
        ("/groups", {"GET", "HEAD", "POST"}),
        ("/groups/x", {"DELETE", "GET", "HEAD", "PUT"}),
        ("/group-by-name/x", {"GET", "HEAD"}),
        ("/group-by-purpose/x", {"GET", "HEAD"}),
        ("/backend-affinity/x/backends", {"GET", "HEAD"}),
        ("/backend-affinity/x/backends/y", {"DELETE", "POST"}),
        ("/model-affinity/x/models", {"GET", "HEAD"}),
        ("/model-affinity/x/models/y", {"DELETE", "POST"}),
        ("/state", {"GET", "HEAD"}),
        ("/state/stream", {"GET", "HEAD"}),
        ("/queue", {"GET", "HEAD"}),
        ("/queue/x", {"DELETE"}),
        ("/queue/cancel", {"DELETE"}),
        ("/queue/inProgress", {"DELETE", "GET", "HEAD"}),
        ("/route/explain", {"POST"}),
        ("/providers/openai/configure", {"POST"}),
        ("/providers/openai/status", {"GET", "HEAD"}),
        ("/providers/openai/config", {"DELETE", "GET", "HEAD"}),
        ("/providers/configs", {"GET", "HEAD"}),
        ("/supported", {"GET", "HEAD"}),
        ("/hooks", {"GET", "HEAD"}),
        ("/hooks/local", {"GET", "HEAD"}),
        ("/hooks/schemas", {"GET", "HEAD"}),
        ("/hooks/lint", {"POST"}),
        ("/hooks/remote", {"GET", "HEAD", "POST"}),
        ("/hooks/remote/x", {"DELETE", "GET", "HEAD", "PUT"}),
        ("/hooks/remote/by-name/x", {"GET", "HEAD"}),
        ("/secrets", {"GET", "HEAD"}),
        ("/secrets/x", {"DELETE", "GET", "HEAD", "PUT"}),
    ],
)
def test_another_method(client: httpx.Client, path: str, allowed: set[str]) -> None:
    wrong = {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - allowed
    for method in wrong:
        response = client.request(method, path)
        assert response.status_code == 405, method
        assert response.headers["allow"] == ", ".join(sorted(allowed))
        assert response.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
        "/plugins",
        "/supported",
        "/defaultmodel",
        "/taskchains",
        "/chat",
        "/openapi.json",
        "/docs",
        "/v1/models",
        "/v1/models/echo",
        "/openai/chat/v1/models",
        "/openai/v1/models",
        "/taskchains/chat",
        "/taskchains/none",
        "/backends",
        "/backends/none",
        "/models",
        "/groups",
        "/groups/internal_chat_group",
        "/group-by-name/Chat",
        "/group-by-purpose/none",
        "/backend-affinity/internal_chat_group/backends",
        "/model-affinity/internal_chat_group/models",
        "/queue",
        "/providers/configs",
        "/providers/openai/status",
        "/providers/openai/config",
        "/hooks",
        "/hooks/local",
        "/hooks/schemas",
        "/hooks/remote",
        "/hooks/remote/none",
        "/hooks/remote/by-name/none",
        "/secrets",
        "/secrets/none",
    ],
)
def test_head(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head.status_code == got.status_code
    volatile = {"date", "x-request-id", "content-length", "content-encoding", "vary"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in got.headers.items() if k not in volatile
    }


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "a b",
        "a/b/c",
        "/leading",
        "trailing/",
        "50%",
        "%2F",
        "%25",
        "a,b;c",
        "a?b#c",
        "a+b&c=d",
        "..",
        "validate",
        "Grüße",
        "日本語 🌍",
        "\u202e right to left",
        "'\"<>\\|",
        "x" * 200,
    ],
)
def test_whatever_can_be_named_can_be_asked_for(client: httpx.Client, name: str) -> None:
    url = "/taskchains/" + quote(name, safe="").replace("..", "%2E%2E")
    created = client.post("/taskchains", json=chain_of(name, "chat_completion"))
    assert created.status_code == 201, created.text
    assert created.json()["id"] == name
    assert client.get(url).json() == created.json()
    updated = client.put(url, json=chain_of("", "chat_completion", description="new"))
    assert updated.status_code == 200, updated.text
    assert (updated.json()["id"], updated.json()["tasks"][0]["description"]) == (name, "new")
    assert name in [one["id"] for one in client.get("/taskchains?limit=1000").json()]
    body = {"messages": [{"role": "user", "content": "hi"}], "model": f"chain:{name}"}
    assert client.get(f"/v1/models/{quote('chain:' + name, safe='')}").status_code == 200
    for path in ("/v1", url.replace("/taskchains", "/openai") + "/v1"):
        response = client.post(f"{path}/chat/completions", json=body)
        assert response.json()["choices"][0]["message"]["content"] == "hi", response.text
    gone = client.delete(url)
    assert (gone.status_code, gone.json()) == (200, f"task chain {name} deleted")
    assert client.get(url).status_code == 404


def test_the_request_id_comes_back(client: httpx.Client) -> None:
    for path in ("/health", "/nowhere", "/taskchains/none"):
        response = client.get(path, headers={"X-Request-ID": "mine-1"})
        assert response.headers["x-request-id"] == "mine-1"
    assert uuid.UUID(client.get("/health").headers["x-request-id"])
    bad = client.get("/nowhere", headers={"X-Request-ID": "a b\tc" * 100})
    assert uuid.UUID(bad.headers["x-request-id"])


# -------------------------------------------------------------------------
# Keys
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"X-API-Key": f"Bearer {KEY}"},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
    ],
)
def test_a_key(client: httpx.Client, headers: dict[str, str]) -> None:
    assert httpx.get(f"{client.base_url}/taskchains", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"Authorization": f"Basic {KEY}"}],
)
def test_no_key(client: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/taskchains", "/version", "/nowhere", "/openapi.json", "/metrics"):
        response = httpx.get(f"{client.base_url}{path}", headers=headers)
        assert response.status_code == 401
        error = response.json()["error"]
        assert (error["type"], error["code"]) == ("authentication_error", "unauthorized")
        assert KEY not in response.text
    for path in ("/health", "/livez", "/readyz"):
        assert httpx.get(f"{client.base_url}{path}", headers=headers).status_code == 200
