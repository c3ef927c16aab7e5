"""Who answered, in headers; and who would, without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.types import Routed, Wanted

if TYPE_CHECKING:
    from litestar.testing import TestClient

ROUTED = {
    "x-backend": "fake",
    "x-model": "m1",
    "x-attempts": "1",
    "server-timing": "route;dur=0.500, backend;dur=250.000",
}


def about(response: Any) -> dict[str, str]:
    assert response.status_code == 200, response.text
    return {name: value for name, value in response.headers.items() if name in ROUTED}


def asking(chain: Any) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("/execute", {"prompt": "hi"}),
        ("/tasks", {"input": "hi", "chain": chain()}),
        ("/chat", {"message": "hi"}),
        ("/chat", {"message": "hi", "stream": True}),
        ("/embed", {"text": "hi"}),
    ]


def test_answers_of_models_say_whose_they_are(api: TestClient[Any], chain: Any) -> None:
    for path, body in asking(chain):
        assert about(api.post(path, json=body)) == ROUTED, path


def test_answers_of_no_model_say_nothing(api: TestClient[Any], chain: Any) -> None:
    assert about(api.post("/tasks", json={"input": "hi", "chain": chain("noop")})) == {}


def test_the_last_model_asked_counts(api: TestClient[Any], models: Any, chain: Any) -> None:
    two = chain()
    two["tasks"][0]["transition"]["branches"][0]["goto"] = "b"
    two["tasks"].append({**chain()["tasks"][0], "id": "b"})
    routes = iter([models.route, Routed("second", "fake", "m2", 3)])

    class Taking(type(models)):  # type: ignore[misc]
        route = property(lambda self: next(routes), lambda self, value: None)

    models.__class__ = Taking
    found = about(api.post("/tasks", json={"input": "hi", "chain": two}))
    assert (found["x-backend"], found["x-model"], found["x-attempts"]) == ("second", "m2", "3")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("gpu 2, attic", "gpu 2, attic"),
        ("100%", "100%25"),
        ("ä", "%C3%A4"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"),
        ("half \ud800", "half ?"),
    ],
)
def test_names_fit_in_headers(api: TestClient[Any], models: Any, name: str, sent: str) -> None:
    models.route = Routed(name, "fake", name)
    response = api.post("/embed", json={"text": "hi"})
    assert response.headers["x-backend"] == response.headers["x-model"] == sent
    assert "x-evil" not in response.headers


def test_an_explanation(api: TestClient[Any], models: Any) -> None:
    response = api.post("/route/explain", json={"model": "m1"})
    assert response.status_code == 200
    assert response.json() == {
        "role": "chat",
        "policy": "preference",
        "candidates": [{"backend": "fake", "provider": "fake", "model": "m1"}],
        "rejected": [
            {"backend": "old", "provider": "fake", "model": "m1", "reason": "unreachable"}
        ],
    }
    assert models.requests == []


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, Wanted("chat")),
        ({"role": None, "model": ""}, Wanted("chat")),
        ({"role": "embed", "models": ["a", "b"]}, Wanted("embed", ("a", "b"))),
        ({"model": "b", "models": ["a", "b"]}, Wanted("chat", ("b", "a"))),
        ({"role": "task", "providers": ["p"]}, Wanted("task", (), ("p",))),
        ({"contextTokens": 9000}, Wanted("chat", context_tokens=9000)),
    ],
)
def test_what_can_be_asked_about(
    api: TestClient[Any], models: Any, body: dict[str, Any], wanted: Wanted
) -> None:
    assert api.post("/route/explain", json=body).status_code == 200
    assert models.explained == wanted


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "poet"}, "role"),
        ({"models": "m1"}, "models"),
        ({"contextTokens": -1}, "contextTokens"),
    ],
)
def test_what_cannot_be_asked_about(
    api: TestClient[Any], models: Any, body: dict[str, Any], param: str
) -> None:
    response = api.post("/route/explain", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (422, param)
    assert models.explained is None
