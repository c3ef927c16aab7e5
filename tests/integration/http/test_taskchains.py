"""Stored chains: every name that can be created can be fetched, updated and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

if TYPE_CHECKING:
    from litestar.testing import TestClient

CHAIN = {"id": "c", "tasks": [{"id": "a", "handler": "noop"}]}
STORED = {
    "id": "c",
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


def test_the_life_of_a_chain(client: TestClient[Any]) -> None:
    created = client.post("/taskchains", json={**CHAIN, "unknown": 1})
    assert created.status_code == 201
    assert created.json() == STORED
    assert client.get("/taskchains/c").json() == STORED
    changed = {**CHAIN, "description": "new", "debug": True}
    updated = client.put("/taskchains/c", json=changed)
    assert updated.status_code == 200
    assert updated.json() == {**STORED, "description": "new", "debug": True}
    assert client.get("/taskchains/c").json() == updated.json()
    deleted = client.delete("/taskchains/c")
    assert deleted.status_code == 200
    assert deleted.json() == "task chain c deleted"
    for response in (
        client.get("/taskchains/c"),
        client.put("/taskchains/c", json=CHAIN),
        client.delete("/taskchains/c"),
    ):
        assert response.status_code == 404
        assert "c" in response.json()["error"]["message"]


def test_posting_again_replaces(client: TestClient[Any]) -> None:
    for description in ("one", "two"):
        response = client.post("/taskchains", json={**CHAIN, "description": description})
        assert response.status_code == 201
    listed = [one for one in client.get("/taskchains").json() if one["id"] == "c"]
    assert [one["description"] for one in listed] == ["two"]


@pytest.mark.parametrize(
    "name",
    ["a b/c", "org/m3", "a,b", "100%", "%2F", "é日本", "validate", "..", "a?b#c", "a;b", "+", "/"],
)  # fmt: skip
def test_any_name_works_everywhere(client: TestClient[Any], name: str) -> None:
    assert client.post("/taskchains", json={**CHAIN, "id": name}).status_code == 201
    path = f"http://testserver.local/taskchains/{quote(name, safe='').replace('.', '%2E')}"
    assert client.get(path).json()["id"] == name
    assert client.put(path, json={**CHAIN, "id": name}).json()["id"] == name
    assert client.put(path, json={"tasks": []}).json()["id"] == name
    assert client.delete(path).json() == f"task chain {name} deleted"
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tasks": [{"id": "a"}]}, "id"),
        ({"id": "", "tasks": [{"id": "a"}]}, "id"),
        ({"id": "c"}, "tasks"),
        ({"id": "c", "tasks": []}, "tasks"),
        ({"id": 1, "tasks": []}, "id"),
        ({"id": "c", "tasks": {}}, "tasks"),
        (
            {"id": "c", "tasks": [{"transition": {"branches": [{"goto": 1}]}}]},
            "tasks.0.transition.branches.0.goto",
        ),
    ],
)
def test_what_is_not_a_chain(client: TestClient[Any], body: dict[str, Any], param: str) -> None:
    response = client.post("/taskchains", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param


def test_an_id_that_is_too_long(client: TestClient[Any]) -> None:
    response = client.post("/taskchains", json={**CHAIN, "id": "x" * 246})
    assert response.status_code == 400


def test_an_id_in_the_body_has_to_be_the_paths(client: TestClient[Any]) -> None:
    client.post("/taskchains", json=CHAIN)
    response = client.put("/taskchains/c", json={**CHAIN, "id": "d"})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "id"
    assert client.put("/taskchains/c", json={**CHAIN, "id": ""}).status_code == 200


def test_problems_are_named_without_running(client: TestClient[Any]) -> None:
    good = {"operator": "default", "goto": "end"}
    task = {"id": "a", "handler": "noop", "transition": {"branches": [good]}}
    fine = client.post("/taskchains/validate", json={"id": "c", "tasks": [task]})
    assert fine.json() == {"valid": True, "problems": []}
    bad = {"operator": "default", "goto": "nowhere"}
    task = {"id": "a", "handler": "magic", "transition": {"branches": [bad]}}
    wrong = client.post("/taskchains/validate", json={"id": "c", "tasks": [task]})
    assert wrong.status_code == 200
    assert wrong.json()["valid"] is False
    text = "\n".join(wrong.json()["problems"])
    assert "magic" in text
    assert "nowhere" in text
    assert client.get("/taskchains/c").status_code == 404


# -------------------------------------------------------------------------
# Pages
# -------------------------------------------------------------------------


def test_pages_lead_to_one_another(client: TestClient[Any]) -> None:
    names = [f"c {n}" for n in range(5)]
    for name in names:
        client.post("/taskchains", json={**CHAIN, "id": name})
    url: str | None = "/taskchains?limit=2&x=%C3%A9"
    seen: list[str] = []
    while url:
        response = client.get(url)
        assert response.status_code == 200
        page = response.json()
        assert len(page) <= 2
        seen += [one["id"] for one in page]
        link = response.headers.get("link")
        assert (link is None) == ("x-next-cursor" not in response.headers)
        url = None
        if link is not None:
            target, _, relation = link.partition("; ")
            assert relation == 'rel="next"'
            url = target[1:-1]
            assert urlsplit(url).path == "/taskchains"
            assert "x=%C3%A9" in url
    assert seen == [*reversed(names), "chat"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5", "٣", "9" * 5000, "1 2"])
def test_a_bad_limit(client: TestClient[Any], limit: str) -> None:
    for path in ("/taskchains", "/chat"):
        response = client.get(path, params={"limit": limit})
        assert response.status_code == 422
        assert response.json()["error"]["param"] == "limit"


@pytest.mark.parametrize("query", ["limit=", "limit=%2B5", "limit=1000", "limit=1", "cursor="])
def test_a_good_limit(client: TestClient[Any], query: str) -> None:
    assert client.get(f"/taskchains?{query}").status_code == 200


def test_a_cursor_is_a_time_or_one_of_ours(client: TestClient[Any]) -> None:
    old = client.get("/taskchains", params={"cursor": "2001-01-01T00:00:00Z"})
    assert old.json() == []
    for cursor in ("nonsense", "2001-01-01", "=====", "\x00"):
        response = client.get("/taskchains", params={"cursor": cursor})
        assert response.status_code == 422
        assert response.json()["error"]["param"] == "cursor"
