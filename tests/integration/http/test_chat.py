"""``/chat``: conversations that are stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.errors import UpstreamUnavailable
from runtime_core.types import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.testing import TestClient


def say(client: TestClient[Any], message: str, **more: Any) -> Any:
    return client.post("/chat", json={"message": message, **more})


def frames_of(response: Any) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "text/event-stream"
    frames = response.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_a_first_turn(client: TestClient[Any]) -> None:
    response = say(client, "hello there")
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["session", "message", "usage", "runId"]
    assert answer["message"] == "hello there"
    assert answer["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }
    assert answer["runId"] == response.headers["x-run-id"]


def test_a_conversation_goes_on(client: TestClient[Any], models: Any) -> None:
    session = say(client, "one").json()["session"]
    say(client, "two", session=session)
    say(client, "three", session=session)
    roles = [(message.role, message.content) for message in models.requests[-1].messages]
    assert roles == [
        ("user", "one"),
        ("assistant", "one"),
        ("user", "two"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    stored = client.get(f"/chat/{session}").json()
    assert list(stored) == ["session", "chain", "createdAt", "updatedAt", "messages"]
    assert [message["content"] for message in stored["messages"]] == [
        text for text in ("one", "two", "three") for _ in range(2)
    ]
    assert all(message["id"] and message["timestamp"] for message in stored["messages"])
    assert stored["updatedAt"] >= stored["createdAt"]


def test_a_name_of_ones_own(client: TestClient[Any]) -> None:
    assert say(client, "hi", session="my chat/1").json()["session"] == "my chat/1"
    assert client.get("/chat/my%20chat%2F1").json()["chain"] == "chat"
    assert client.delete("/chat/my%20chat%2F1").json() == "chat session my chat/1 deleted"
    assert client.get("/chat/my%20chat%2F1").status_code == 404
    assert client.delete("/chat/my%20chat%2F1").status_code == 404


def test_conversations_are_listed(client: TestClient[Any]) -> None:
    assert client.get("/chat").json() == []
    for name in ("a", "b", "c"):
        say(client, "hi", session=name)
    page = client.get("/chat?limit=2")
    assert [one["session"] for one in page.json()] == ["c", "b"]
    assert "messages" not in page.json()[0]
    rest = client.get("/chat", params={"cursor": page.headers["x-next-cursor"]})
    assert [one["session"] for one in rest.json()] == ["a"]


def test_another_chain(client: TestClient[Any], chain: Callable[..., Any]) -> None:
    task = {"prompt_template": "You said {{.input.messages}}"}
    client.post("/taskchains", json={**chain("prompt_to_string", **task), "id": "mine"})
    answer = say(client, "hi", session="s", chain="mine").json()
    assert answer["message"].startswith("You said [")
    assert client.get("/chat/s").json()["chain"] == "mine"
    assert say(client, "again", session="s").json()["message"].startswith("You said")
    assert say(client, "hi", chain="unknown").status_code == 404


def test_a_streamed_turn(client: TestClient[Any]) -> None:
    response = say(client, "three  little words", session="s", stream=True)
    assert response.status_code == 200
    *pieces, last = frames_of(response)
    assert "".join(piece["delta"] for piece in pieces) == "three  little words"
    assert len(pieces) > 1
    assert last["message"] == "three  little words"
    assert last["session"] == "s"
    assert last["runId"] == response.headers["x-run-id"]
    assert len(client.get("/chat/s").json()["messages"]) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_turn_leaves_no_trace(client: TestClient[Any], models: Any, stream: bool) -> None:
    say(client, "first", session="s")
    models.script = [UpstreamUnavailable("gone")]
    for session in ("s", "new"):
        response = say(client, "second", session=session, stream=stream)
        assert response.status_code == 502
        assert response.json()["error"]["code"] == "upstream_error"
        assert response.json()["state"][0]["taskID"] == "chat"
    models.script = ["half", UpstreamUnavailable("gone")]
    response = say(client, "third", session="s", stream=stream)
    if stream:
        first, last = frames_of(response)
        assert first == {"delta": "half"}
        assert last["error"]["message"] == "gone"
    else:
        assert response.status_code == 502
    assert [m["content"] for m in client.get("/chat/s").json()["messages"]] == ["first", "first"]
    assert client.get("/chat/new").status_code == 404


def test_a_store_that_fails_is_an_error_not_an_answer(
    make_app: Callable[..., Any],
) -> None:
    from litestar.testing import TestClient as Client

    class Full:
        async def get(self, tenant_id: str, session_id: str) -> Any:
            from runtime_core.errors import NotFound

            raise NotFound("no")

        async def append(self, *args: Any) -> None:
            raise OSError("the disk is full")

    with Client(make_app({"rooms": {"sessions": Full()}})) as client:
        assert say(client, "hi").status_code == 500
        *_, last = frames_of(say(client, "hi", stream=True))
        assert last["error"]["code"] == "internal_error"
        assert "disk" not in last["error"]["message"]


def test_a_long_conversation_is_cut_to_what_the_model_takes(
    client: TestClient[Any], models: Any
) -> None:
    for turn in range(6):
        say(client, f"{turn} " + "x" * 198, session="s")
    models.context_length = 300
    assert say(client, "y" * 200, session="s").status_code == 200
    sent = models.requests[-1].messages
    assert len(sent) == 3
    assert sent[0].role == "user"
    assert sent[-1].content == "y" * 200
    assert len(client.get("/chat/s").json()["messages"]) == 14


def test_usage_nobody_reported(client: TestClient[Any], models: Any) -> None:
    models.usage = None
    assert say(client, "hello").json()["usage"]["total_tokens"] > 0
    models.usage = Usage(7, 8)
    assert say(client, "hello").json()["usage"]["total_tokens"] == 15


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "message"),
        ({"message": ""}, 400, "message"),
        ({"message": 5}, 422, "message"),
        ({"message": "a", "stream": "yes"}, 422, "stream"),
        ({"message": "a", "session": 5}, 422, "session"),
    ],
)
def test_what_is_not_a_turn(
    client: TestClient[Any], body: dict[str, Any], status: int, param: str
) -> None:
    response = client.post("/chat", json=body)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_a_name_that_cannot_be_stored_is_refused_before_the_model_is_asked(
    client: TestClient[Any], models: Any
) -> None:
    for name in ("x" * 300, "a\x00b"):
        assert say(client, "hi", session=name).status_code in (400, 422)
    assert not models.requests
