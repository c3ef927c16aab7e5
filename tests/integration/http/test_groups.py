"""Affinity groups, and who belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from litestar.testing import TestClient

BUILT_IN = {
    "internal_embed_group": ("Embedder", "Internal Embeddings"),
    "internal_tasks_group": ("Tasks", "Internal Tasks"),
    "internal_chat_group": ("Chat", "Internal Chat"),
}


def backend(client: TestClient[Any], name: str) -> str:
    body = {"name": name, "baseUrl": f"http://{name}", "type": "fake"}
    backend_id: str = client.post("/backends", json=body).json()["id"]
    return backend_id


def model(client: TestClient[Any], name: str) -> str:
    body = {"model": name, "contextLength": 8, "canChat": True}
    model_id: str = client.post("/models", json=body).json()["id"]
    return model_id


def test_a_new_server_has_the_built_in_groups(anywhere: TestClient[Any]) -> None:
    groups = anywhere.get("/groups").json()
    assert {one["id"]: (one["name"], one["purposeType"]) for one in groups} == BUILT_IN
    for group_id, (name, purpose) in BUILT_IN.items():
        found = anywhere.get(f"/group-by-name/{name}").json()
        assert found["id"] == group_id
        assert anywhere.get(f"/group-by-purpose/{quote(purpose)}").json() == [found]


def test_the_life_of_a_group(anywhere: TestClient[Any], fleet: Any) -> None:
    created = anywhere.post("/groups", json={"name": "g 2/ä", "purposeType": "fast", "id": "mine"})
    assert created.status_code == 201
    group = created.json()
    assert list(group) == ["id", "name", "purposeType", "createdAt", "updatedAt"]
    assert group["id"] != "mine"
    assert anywhere.get("/groups").json()[0] == group
    assert anywhere.get(f"/groups/{group['id']}").json() == group
    assert anywhere.get(f"/group-by-name/{quote('g 2/ä', safe='')}").json() == group
    assert anywhere.get("/group-by-purpose/fast").json() == [group]

    updated = anywhere.put(f"/groups/{group['id']}", json={"name": "g3"})
    assert updated.status_code == 200
    assert (updated.json()["name"], updated.json()["purposeType"]) == ("g3", "")
    assert updated.json()["createdAt"] == group["createdAt"]

    removed = anywhere.delete(f"/groups/{group['id']}")
    assert (removed.status_code, removed.json()) == (200, "deleted")
    assert fleet.told == ["default"] * 3
    for response in (
        anywhere.get(f"/groups/{group['id']}"),
        anywhere.put(f"/groups/{group['id']}", json={"name": "x"}),
        anywhere.delete(f"/groups/{group['id']}"),
        anywhere.get("/group-by-name/g3"),
    ):
        assert response.status_code == 404


def test_names_are_used_once(anywhere: TestClient[Any]) -> None:
    group = anywhere.post("/groups", json={"name": "one"}).json()
    for name in ("one", "Chat"):
        response = anywhere.post("/groups", json={"name": name})
        assert response.status_code == 409
        assert name in response.json()["error"]["message"]
    assert anywhere.put(f"/groups/{group['id']}", json={"name": "Chat"}).status_code == 409


@pytest.mark.parametrize("group_id", BUILT_IN)
def test_built_in_groups_stay(api: TestClient[Any], group_id: str) -> None:
    response = api.delete(f"/groups/{group_id}")
    assert response.status_code == 403
    assert response.json()["error"]["type"] == "authorization_error"
    assert len(api.get("/groups").json()) == 3


def test_built_in_groups_but_one_can_be_renamed(api: TestClient[Any]) -> None:
    change = {"name": "Talk", "purposeType": "p"}
    assert api.put("/groups/internal_embed_group", json=change).status_code == 422
    assert api.put("/groups/internal_chat_group", json=change).status_code == 200
    assert api.get("/group-by-name/Talk").json()["id"] == "internal_chat_group"
    assert api.get("/group-by-name/Embedder").status_code == 200


def test_groups_of_a_purpose_come_in_pages(api: TestClient[Any]) -> None:
    for number in range(3):
        api.post("/groups", json={"name": f"g{number}", "purposeType": "p"})
    first = api.get("/group-by-purpose/p?limit=2")
    assert [group["name"] for group in first.json()] == ["g2", "g1"]
    cursor = first.headers["x-next-cursor"]
    rest = api.get("/group-by-purpose/p", params={"cursor": cursor})
    assert [group["name"] for group in rest.json()] == ["g0"]
    assert api.get("/group-by-purpose/nobody").json() == []
    assert api.get("/group-by-purpose/p?limit=0").status_code == 422


def test_backends_in_groups(anywhere: TestClient[Any], fleet: Any) -> None:
    one, two = backend(anywhere, "one"), backend(anywhere, "two")
    fleet.told.clear()
    group = "/backend-affinity/internal_chat_group/backends"
    assigned = anywhere.post(f"{group}/{one}")
    assert (assigned.status_code, assigned.json()) == (201, "backend assigned")
    assert anywhere.post(f"{group}/{two}").status_code == 201
    assert anywhere.post(f"/backend-affinity/internal_tasks_group/backends/{one}").is_success
    assert fleet.told == ["default"] * 3
    again = anywhere.post(f"{group}/{one}")
    assert again.status_code == 409

    members = anywhere.get(group).json()
    assert [member["name"] for member in members] == ["two", "one"]
    assert list(members[0]) == ["id", "name", "baseUrl", "type", "createdAt", "updatedAt"]
    groups = anywhere.get(f"/backend-affinity/{one}/groups").json()
    assert [found["name"] for found in groups] == ["Tasks", "Chat"]

    removed = anywhere.delete(f"{group}/{one}")
    assert (removed.status_code, removed.json()) == (200, "backend removed")
    assert anywhere.delete(f"{group}/{one}").status_code == 404
    assert len(fleet.told) == 4
    assert [member["name"] for member in anywhere.get(group).json()] == ["two"]


def test_models_in_groups(anywhere: TestClient[Any], fleet: Any) -> None:
    model_id = model(anywhere, "org/m")
    fleet.told.clear()
    path = f"/model-affinity/internal_chat_group/models/{quote(model_id, safe='')}"
    assigned = anywhere.post(path)
    assert (assigned.status_code, assigned.json()) == (200, "model assigned")
    assert anywhere.post(path).status_code == 409
    (member,) = anywhere.get("/model-affinity/internal_chat_group/models").json()
    assert member["model"] == "org/m"
    groups = anywhere.get(f"/model-affinity/{quote(model_id, safe='')}/groups").json()
    assert [group["name"] for group in groups] == ["Chat"]
    removed = anywhere.delete(path)
    assert (removed.status_code, removed.json()) == (200, "model removed")
    assert anywhere.delete(path).status_code == 404
    assert fleet.told == ["default"] * 2


def test_models_stay_in_the_embedding_group(api: TestClient[Any]) -> None:
    model_id = model(api, "m")
    path = f"/model-affinity/internal_embed_group/models/{model_id}"
    assert api.post(path).status_code == 200
    assert api.delete(path).status_code == 403
    assert api.delete("/model-affinity/internal_embed_group/models/nobody").status_code == 403
    assert len(api.get("/model-affinity/internal_embed_group/models").json()) == 1


@pytest.mark.parametrize("kind", ["backend", "model"])
def test_unknown_members_and_groups(anywhere: TestClient[Any], kind: str) -> None:
    member = {"backend": backend, "model": model}[kind](anywhere, "known")
    for group_id, member_id in (("nobody", member), ("internal_chat_group", "nobody")):
        path = f"/{kind}-affinity/{group_id}/{kind}s/{member_id}"
        response = anywhere.post(path)
        assert response.status_code == 409
        assert "nobody" in response.json()["error"]["message"]
        assert anywhere.delete(path).status_code == 404
    assert anywhere.get(f"/{kind}-affinity/nobody/{kind}s").json() == []
    assert anywhere.get(f"/{kind}-affinity/nobody/groups").json() == []


def test_who_is_deleted_is_in_no_group(anywhere: TestClient[Any]) -> None:
    backend_id, model_id = backend(anywhere, "b"), model(anywhere, "m")
    group = anywhere.post("/groups", json={"name": "g"}).json()["id"]
    for path in (f"/backend-affinity/{group}/backends", f"/model-affinity/{group}/models"):
        member = backend_id if "backends" in path else model_id
        assert anywhere.post(f"{path}/{member}").is_success
    assert anywhere.delete(f"/groups/{group}").status_code == 200
    assert anywhere.get(f"/backend-affinity/{backend_id}/groups").json() == []
    assert anywhere.get(f"/model-affinity/{model_id}/groups").json() == []
    assert anywhere.post(f"/backend-affinity/internal_chat_group/backends/{backend_id}").is_success
    assert anywhere.delete(f"/backends/{backend_id}").status_code == 200
    assert anywhere.get("/backend-affinity/internal_chat_group/backends").json() == []
