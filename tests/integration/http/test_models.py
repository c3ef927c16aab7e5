"""Declared models: by id and by name, what may be declared, and what may not be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from litestar.testing import TestClient

MODEL = {"model": "llama3.2:3b", "contextLength": 8192, "canChat": True, "canStream": True}


def test_the_life_of_a_model(anywhere: TestClient[Any], fleet: Any) -> None:
    created = anywhere.post("/models", json={**MODEL, "id": "mine", "unknown": 1})
    assert created.status_code == 201
    model = created.json()
    assert list(model) == [
        *("id", "model", "contextLength", "canChat", "canEmbed", "canPrompt", "canStream"),
        *("createdAt", "updatedAt"),
    ]
    assert model["id"] == model["model"] == "llama3.2:3b"
    assert (model["canChat"], model["canEmbed"], model["canStream"]) == (True, False, True)
    assert anywhere.get("/models").json() == [model]

    changed = {"model": "llama3.2:1b", "contextLength": 4096.0, "canPrompt": True}
    updated = anywhere.put("/models/llama3.2:3b", json={**changed, "id": "llama3.2:3b"})
    assert updated.status_code == 200
    assert updated.json() | changed == updated.json()
    assert updated.json()["id"] == "llama3.2:3b"
    assert updated.json()["canChat"] is False
    assert updated.json()["createdAt"] == model["createdAt"]

    assert anywhere.delete("/models/llama3.2:3b").status_code == 404  # its id, not its name
    removed = anywhere.delete("/models/llama3.2:1b")
    assert (removed.status_code, removed.json()) == (200, "model removed")
    assert anywhere.get("/models").json() == []
    assert fleet.told == ["default"] * 3
    assert anywhere.delete("/models/llama3.2:1b").status_code == 404
    assert anywhere.put("/models/llama3.2:3b", json=MODEL).status_code == 404


@pytest.mark.parametrize("name", ["org/m3", "a b", "100%", "ä,;?*'\"", "..", "m?purge=true"])
def test_any_name_works_everywhere(anywhere: TestClient[Any], name: str) -> None:
    assert anywhere.post("/models", json={**MODEL, "model": name}).status_code == 201
    path = f"/models/{quote(name, safe='').replace('.', '%2E')}"
    assert anywhere.put(path, json={**MODEL, "model": name, "contextLength": 1}).status_code == 200
    assert anywhere.delete(path).json() == "model removed"


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": ""}, 400, "model"),
        ({"model": None}, 400, "model"),
        ({"contextLength": 0}, 400, "contextLength"),
        ({"contextLength": None}, 400, "contextLength"),
        ({"contextLength": -1}, 422, "contextLength"),
        ({"contextLength": 2**31}, 400, "contextLength"),
        ({"contextLength": 5.5}, 422, "contextLength"),
        ({"contextLength": "8192"}, 422, "contextLength"),
        ({"canChat": False, "canStream": False}, 400, "canChat"),
        ({"canChat": "yes"}, 422, "canChat"),
        ({"model": "m" * 513}, 400, "model"),
        ({"model": 7}, 422, "model"),
    ],
)
def test_what_cannot_be_declared(
    api: TestClient[Any], fleet: Any, change: dict[str, Any], status: int, param: str
) -> None:
    for response in (
        api.post("/models", json=MODEL | change),
        api.put("/models/x", json=MODEL | change),
    ):
        assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert fleet.told == []


def test_the_longest_context(api: TestClient[Any]) -> None:
    response = api.post("/models", json={**MODEL, "contextLength": 2**31 - 1})
    assert response.json()["contextLength"] == 2**31 - 1


def test_the_id_of_a_replacement_is_the_paths(api: TestClient[Any]) -> None:
    api.post("/models", json=MODEL)
    response = api.put("/models/llama3.2:3b", json={**MODEL, "id": "other"})
    assert (response.status_code, response.json()["error"]["param"]) == (422, "id")
    assert api.put("/models/llama3.2:3b", json={**MODEL, "id": ""}).status_code == 200


def test_names_are_used_once(anywhere: TestClient[Any]) -> None:
    anywhere.post("/models", json=MODEL)
    assert anywhere.post("/models", json=MODEL).status_code == 409
    anywhere.post("/models", json={**MODEL, "model": "other"})
    response = anywhere.put("/models/other", json=MODEL)
    assert response.status_code == 409
    assert "llama3.2:3b" in response.json()["error"]["message"]


def test_the_configured_embedding_model_stays(api: TestClient[Any]) -> None:
    api.post("/models", json={"model": "embedder", "contextLength": 512, "canEmbed": True})
    response = api.delete("/models/embedder?purge=true")
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"
    assert [model["model"] for model in api.get("/models").json()] == ["embedder"]


@pytest.mark.parametrize(
    ("query", "cancelled"),
    [("?purge=true", True), ("?purge=1", False), ("?purge=", False), ("", False)],
)
def test_purging_cancels_downloads(
    api: TestClient[Any], downloads: Any, query: str, cancelled: bool
) -> None:
    api.post("/models", json=MODEL)
    assert api.delete(f"/models/llama3.2:3b{query}").status_code == 200
    assert downloads.cancelled == ([("default", "llama3.2:3b")] if cancelled else [])


def test_nothing_is_purged_that_is_not_there(api: TestClient[Any], downloads: Any) -> None:
    assert api.delete("/models/llama3.2:3b?purge=true").status_code == 404
    assert downloads.cancelled == []


def test_pages(anywhere: TestClient[Any]) -> None:
    for number in range(3):
        anywhere.post("/models", json={**MODEL, "model": f"m{number}"})
    first = anywhere.get("/models?limit=2")
    assert [model["model"] for model in first.json()] == ["m2", "m1"]
    cursor = first.headers["x-next-cursor"]
    rest = anywhere.get("/models", params={"limit": 2, "cursor": cursor})
    assert [model["model"] for model in rest.json()] == ["m0"]
    assert "x-next-cursor" not in rest.headers
    older = anywhere.get("/models", params={"cursor": first.json()[1]["createdAt"]})
    assert [model["model"] for model in older.json()] == ["m0"]
