from __future__ import annotations

from typing import Any

import pytest

from runtime_core.http.auth import Anonymous
from runtime_core.http.context import request_id
from runtime_core.http.gate import Gate
from runtime_core.http.metrics import Metrics


def gate(app: Any, **options: Any) -> Gate:
    options = {"authenticator": Anonymous(), "metrics": Metrics(version="1"), **options}
    return Gate(app, **{"max_body": 100, **options})


def scope(method: str = "GET", path: str = "/a", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }


class Application:
    """Answers with *body*, and remembers what it was asked."""

    def __init__(self, body: bytes = b"body") -> None:
        self.body = body
        self.scope: Any = None
        self.id = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.id = request_id.get()
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


async def test_a_head_request_is_a_get_whose_body_stays_here(client: Any) -> None:
    app = Application()
    outside = scope("HEAD")
    await gate(app)(outside, client.receive, client.send)
    assert app.scope["method"] == "GET"
    assert app.scope["runtime.head"] is True
    assert outside["method"] == "HEAD"
    assert client.body == b""
    assert client.headers["content-length"] == "4"


async def test_a_get_request_is_not_marked(client: Any) -> None:
    app = Application()
    await gate(app)(scope(), client.receive, client.send)
    assert not app.scope.get("runtime.head")
    assert app.scope["runtime.tenant_id"] == "default"
    assert client.body == b"body"


async def test_the_request_id_is_known_inside_and_forgotten_outside(client: Any) -> None:
    app = Application()
    await gate(app)(scope(x_request_id="r5"), client.receive, client.send)
    assert app.id == "r5"
    assert request_id.get() == ""


async def test_an_answer_in_pieces_is_not_compressed(client: Any) -> None:
    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"4000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 2000, "more_body": True})
        await send({"type": "http.response.body", "body": b"y" * 2000, "more_body": False})

    await gate(pieces)(scope(accept_encoding="gzip"), client.receive, client.send)
    assert client.body == b"x" * 2000 + b"y" * 2000
    assert "content-encoding" not in client.headers


async def test_an_application_that_breaks_is_still_counted(client: Any) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    metrics = Metrics(version="1")
    with pytest.raises(LookupError):
        await gate(breaks, metrics=metrics)(scope(), client.receive, client.send)
    assert metrics.requests_in_flight == 0
    assert b'route="unmatched",status="499"' in metrics.render()[0]


async def test_websockets_are_turned_away(client: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await gate(Application())({"type": "websocket"}, client.receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_other_scopes_go_through(client: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await gate(app)({"type": "lifespan"}, client.receive, client.send)
    assert seen == ["lifespan"]
