"""A service with an OpenAPI document, used through a real server as its operators and users do."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "sk-weather-0123456789"

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Weather", "version": "1"},
    "paths": {
        "/cities/{city}/forecast": {
            "get": {
                "operationId": "forecast",
                "summary": "What the weather will be",
                "parameters": [
                    {"name": "city", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "days", "in": "query", "schema": {"type": "integer"}},
                ],
            }
        }
    },
}


class Weather(ThreadingHTTPServer):
    """The service; refuses who has no key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key = SECRET
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Weather
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers["authorization"] != f"Bearer {self.server.key}":
            self._answer(401, {"wrong": self.headers["authorization"]})
        elif self.path == "/openapi.json":
            self._answer(200, DOCUMENT)
        else:
            self.server.asked.append(self.path)
            self._answer(200, {"forecast": {"text": "sunny"}, "key": self.server.key})

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def weather() -> Iterator[Weather]:
    """Return the running service."""
    with Weather() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60)


def register(client: httpx.Client, weather: Weather, **more: Any) -> None:
    assert client.put("/secrets/weather", json={"value": SECRET}).is_success
    hook = {
        "name": "weather",
        "endpointUrl": weather.url,
        "timeoutMs": 20_000,
        "headers": {"Authorization": "Bearer {{secret:weather}}"},
    }
    answer = client.post("/hooks/remote", json={**hook, **more})
    assert answer.status_code == 201, answer.text


def chain(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c", "tasks": list(tasks)}


FORECAST = {
    "id": "ask",
    "handler": "hook",
    "hook": {
        "name": "weather",
        "tool_name": "forecast",
        "args": {"city": "{{.input}}", "days": "2"},
    },
    "transition": {"branches": [{"operator": "default", "goto": "end"}]},
}


def test_a_chain_calls_a_service(start_server: Callable[..., str], weather: Weather) -> None:
    with client_of(start_server()) as client:
        register(client, weather)
        answer = client.post("/tasks", json={"input": "São Paulo/..x", "chain": chain(FORECAST)})
        assert answer.json()["output"] == {"forecast": {"text": "sunny"}, "key": "***"}
        assert answer.json()["outputType"] == "json"
        assert weather.asked == ["/cities/S%C3%A3o%20Paulo%2F..x/forecast?days=2"]
        assert "weather" in client.get("/supported").json()
        assert client.get("/hooks/schemas").json()["weather"] == DOCUMENT


def test_what_a_service_refuses_is_the_tasks_failure(
    start_server: Callable[..., str], weather: Weather
) -> None:
    with client_of(start_server()) as client:
        register(client, weather)
        client.get("/supported")
        weather.key = "changed"
        answer = client.post("/tasks", json={"input": "Rome", "chain": chain(FORECAST)})
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "task_failed"
        assert 'weather.forecast answered 401: {"wrong": "***"}' in error["message"]
        assert SECRET not in answer.text


def test_a_model_uses_a_service(start_server: Callable[..., str], weather: Weather) -> None:
    script = [
        {
            "tool_calls": [{"name": "weather.forecast", "arguments": {"city": "Rome", "days": 3}}],
            "then": [{}],
        }
    ]
    url = start_server(RUNTIME_PLUGINS=json.dumps({"echo": {"script": script}}))
    ask = {
        "id": "ask",
        "handler": "chat_completion",
        "execute_config": {"model": "echo", "hooks": ["weather"]},
        "transition": {
            "branches": [
                {"operator": "equals", "when": "tool-call", "goto": "call"},
                {"operator": "default", "goto": "end"},
            ]
        },
    }
    call = {
        "id": "call",
        "handler": "execute_tool_calls",
        "transition": {"branches": [{"operator": "default", "goto": "ask"}]},
    }
    with client_of(url) as client:
        register(client, weather, shape={"forecast": "forecast.text"})
        answer = client.post(
            "/tasks",
            json={
                "input": {"messages": [{"role": "user", "content": "How will it be?"}]},
                "inputType": "chat_history",
                "chain": chain(ask, call),
            },
        )
        assert answer.status_code == 200, answer.text
        messages = answer.json()["output"]["messages"]
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "assistant"]
        assert messages[2]["content"] == "sunny"
        assert "sunny" in messages[3]["content"]
        assert SECRET not in answer.text
    assert weather.asked == ["/cities/Rome/forecast?days=3"]


def test_hooks_are_there_after_a_restart(
    start_server: Callable[..., str], weather: Weather, tmp_path: Path
) -> None:
    environ = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'runtime.db'}",
        "RUNTIME_SECRET_KEY": "a-secret-of-this-test",
    }
    with client_of(start_server(**environ)) as client:
        register(client, weather)
        stored = client.get("/hooks/remote").json()
    with client_of(start_server(**environ)) as client:
        assert client.get("/hooks/remote").json() == stored
        answer = client.post("/tasks", json={"input": "Rome", "chain": chain(FORECAST)})
        assert answer.json()["output"]["forecast"] == {"text": "sunny"}
