"""Hooks that are registered, changed and deleted on one server count on the other at once."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Keys", "version": "1"},
    "paths": {"/key": {"get": {"operationId": "key"}}},
}


class _Handler(BaseHTTPRequestHandler):
    """Answers with the value of a header."""

    def do_GET(self) -> None:
        wanted = DOCUMENT if self.path == "/openapi.json" else {"tag": self.headers["x-tag"]}
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(wanted).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    """Return the URL of a running service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_hook_changed_on_one_is_called_as_new_by_the_other(
    start: Callable[..., Any], nats_server: Any, service: str
) -> None:
    here, there = [await start(NATS_URL=nats_server.url) for _ in range(2)]
    task = {
        "id": "ask",
        "handler": "hook",
        "hook": {"name": "keys", "tool_name": "key"},
        "transition": {"branches": [{"operator": "default", "goto": "end"}]},
    }
    run = {"input": "", "chain": {"id": "c", "tasks": [task]}}
    hook = {"name": "keys", "endpointUrl": service, "timeoutMs": 20_000}
    created = await here.ask("POST", "/hooks/remote", {**hook, "headers": {"X-Tag": "0"}})
    # so many that reading again every five seconds cannot be what finds them all in time
    for number in range(8):
        body = {**hook, "headers": {"X-Tag": str(number)}}
        await here.ask("PUT", f"/hooks/remote/{created['id']}", body)
        assert await _tag(there, run, str(number)) == str(number)
    await here.ask("DELETE", f"/hooks/remote/{created['id']}")
    answer = await there.client.post("/tasks", json=run)
    assert answer.status_code in (400, 404), answer.text


async def _tag(replica: Any, run: Any, wanted: str) -> str:
    """Return the tag that a call sends, at last the wanted one: news travel for a moment."""
    for _ in range(20):
        found: str = (await replica.ask("POST", "/tasks", run))["output"]["tag"]
        if found == wanted:
            break
    return found
