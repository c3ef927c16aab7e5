"""Registered backends: who may be one, what is shown of one, and who is told of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from runtime_core.types import BackendState, ModelInfo

if TYPE_CHECKING:
    from litestar.testing import TestClient

GPU = {"name": "gpu", "baseUrl": "http://gpu:11434", "type": "fake"}
LIVE = {
    "models": [],
    "pulledModels": [],
    "loadedModels": [],
    "reachable": False,
    "latencyMs": None,
    "breaker": "closed",
    "inFlight": 0,
}


def message(response: Any) -> str:
    text: str = response.json()["error"]["message"]
    return text


def test_the_life_of_a_backend(anywhere: TestClient[Any], fleet: Any) -> None:
    created = anywhere.post("/backends", json={**GPU, "id": "mine", "unknown": 1})
    assert created.status_code == 201
    backend = created.json()
    assert list(backend) == ["id", "name", "baseUrl", "type", "createdAt", "updatedAt"]
    assert backend["id"] != "mine"
    assert {key: backend[key] for key in GPU} == GPU
    assert fleet.told == ["default"]

    shown = anywhere.get(f"/backends/{backend['id']}").json()
    assert shown == {**backend, **LIVE}
    assert anywhere.get("/backends").json() == [shown]

    changed = {**GPU, "name": "gpu 2/new, 100%", "type": "OPEN"}
    updated = anywhere.put(f"/backends/{backend['id']}", json=changed)
    assert updated.status_code == 200
    assert updated.json() | changed == updated.json()
    assert updated.json()["createdAt"] == backend["createdAt"]
    assert updated.json()["updatedAt"] >= backend["createdAt"]
    assert anywhere.get(f"/backends/{backend['id']}").json()["type"] == "OPEN"
    assert len(fleet.told) == 2

    removed = anywhere.delete(f"/backends/{backend['id']}")
    assert (removed.status_code, removed.json()) == (200, "backend removed")
    assert len(fleet.told) == 3
    assert anywhere.get("/backends").json() == []
    for response in (
        anywhere.get(f"/backends/{backend['id']}"),
        anywhere.put(f"/backends/{backend['id']}", json=GPU),
        anywhere.delete(f"/backends/{backend['id']}"),
    ):
        assert response.status_code == 404
    assert len(fleet.told) == 3


@pytest.mark.parametrize("spelling", ["baseUrl", "baseURL"])
def test_both_spellings_of_the_address(api: TestClient[Any], spelling: str) -> None:
    body = {"name": "gpu", spelling: "http://gpu:11434", "type": "fake"}
    assert api.post("/backends", json=body).json()["baseUrl"] == "http://gpu:11434"


def test_yaml(api: TestClient[Any]) -> None:
    body = "name: gpu\nbaseUrl: http://gpu:11434\ntype: fake\n"
    headers = {"Content-Type": "application/yaml"}
    assert api.post("/backends", content=body, headers=headers).status_code == 201


@pytest.mark.parametrize("field", ["name", "baseUrl", "type"])
@pytest.mark.parametrize("value", [None, ""])
def test_every_field_is_required(api: TestClient[Any], field: str, value: str | None) -> None:
    response = api.post("/backends", json={**GPU, field: value})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == field
    created = api.post("/backends", json=GPU).json()
    assert api.put(f"/backends/{created['id']}", json={**GPU, field: value}).status_code == 422


def test_an_unknown_type_names_those_there_are(api: TestClient[Any]) -> None:
    response = api.post("/backends", json={**GPU, "type": "fax"})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "type"
    assert "'fax'" in message(response)
    assert "installed types: Loud, fake, open" in message(response)


@pytest.mark.parametrize("kind", ["fake", "FAKE", "Fake", "loud", "LOUD"])
def test_types_are_the_same_in_any_case(api: TestClient[Any], kind: str) -> None:
    assert api.post("/backends", json={**GPU, "type": kind}).json()["type"] == kind


@pytest.mark.parametrize(
    "url",
    [
        "gpu:11434",
        "gpu",
        "ftp://gpu/",
        "http://",
        "http:///path",
        "http://gpu:99999",
        "http://gpu:0",
        "http://gpu:port",
        "http://[::1",
        "http://a b",
        "http://gpu\n",
        "javascript:alert(1)",
        "echo://local",
        "file:///etc/passwd",
    ],
)
def test_an_address_is_a_url_of_a_service(api: TestClient[Any], url: str) -> None:
    response = api.post("/backends", json={**GPU, "baseUrl": url})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "baseUrl"
    assert api.get("/backends").json() == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://gpu.example/v1", "fake"),
        ("http://[::1]:8000", "fake"),
        ("http://user:word@gpu:1/a?b=c", "fake"),
        ("fake://local", "FAKE"),
    ],
)
def test_addresses_that_are(api: TestClient[Any], url: str, kind: str) -> None:
    created = api.post("/backends", json={**GPU, "baseUrl": url, "type": kind})
    assert created.json()["baseUrl"] == url


def test_names_and_addresses_are_used_once(anywhere: TestClient[Any]) -> None:
    first = anywhere.post("/backends", json=GPU).json()
    other = {"name": "cpu", "baseUrl": "http://cpu:11434", "type": "fake"}
    second = anywhere.post("/backends", json=other).json()
    for body in ({**other, "name": "gpu"}, {**other, "baseUrl": GPU["baseUrl"]}):
        assert anywhere.put(f"/backends/{second['id']}", json=body).status_code == 409
    for body in ({**other, "name": "new"}, {**other, "baseUrl": "http://new"}):
        assert anywhere.post("/backends", json=body).status_code == 409
    assert "gpu" in message(anywhere.post("/backends", json=GPU))
    assert anywhere.put(f"/backends/{first['id']}", json=GPU).status_code == 200
    assert len(anywhere.get("/backends").json()) == 2


def test_the_name_of_a_configured_backend_is_taken(api: TestClient[Any], fleet: Any) -> None:
    fleet.now = [state("static", "gpu"), state("other", "cpu", created_at="2026-01-01T00:00:00Z")]
    refused = api.post("/backends", json=GPU)
    assert refused.status_code == 409
    assert refused.json()["error"]["param"] == "name"
    assert "configuration" in message(refused)
    created = api.post("/backends", json={**GPU, "name": "cpu"})
    assert created.status_code == 201
    assert api.put(f"/backends/{created.json()['id']}", json=GPU).status_code == 409


def test_too_long_values(api: TestClient[Any]) -> None:
    response = api.post("/backends", json={**GPU, "name": "n" * 513})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "name"


def test_pages(anywhere: TestClient[Any]) -> None:
    for number in range(5):
        body = {"name": f"b{number}", "baseUrl": f"http://b{number}", "type": "fake"}
        assert anywhere.post("/backends", json=body).status_code == 201
    names: list[str] = []
    cursor = ""
    while True:
        page = anywhere.get("/backends", params={"limit": 2, "cursor": cursor})
        names += [one["name"] for one in page.json()]
        cursor = page.headers.get("x-next-cursor", "")
        if not cursor:
            break
    assert names == ["b4", "b3", "b2", "b1", "b0"]
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=x"):
        assert anywhere.get(f"/backends?{query}").status_code == 422, query


def state(backend_id: str, name: str = "gpu", **fields: Any) -> BackendState:
    given = {"reachable": True, "type": "fake", "base_url": "http://gpu:11434", **fields}
    return BackendState(id=backend_id, name=name, **given)


def test_live_state_is_shown_with_a_backend(api: TestClient[Any], fleet: Any) -> None:
    created = api.post("/backends", json=GPU).json()
    details = {"family": "llama", "families": ["llama"], "parameter_size": "3B", "other": object()}
    model = ModelInfo(
        "m:latest", 4096, size=7, digest="d", modified_at="2026-01-01T00:00:00Z", details=details
    )
    fleet.now = [
        state("someone-else", name="cpu"),
        state(
            created["id"],
            wanted=("m", "n"),
            models=(model, ModelInfo("e", can_chat=False, can_embed=True)),
            loaded=("m:latest",),
            latency=0.0123456,
            in_flight=3,
            breaker="half_open",
            checked_at="2026-01-01T00:00:01Z",
            created_at=created["createdAt"],
        ),
    ]
    shown = api.get(f"/backends/{created['id']}").json()
    assert api.get("/backends").json() == [shown]
    pulled = shown["pulledModels"]
    assert pulled[0] == {
        "name": "m:latest",
        "model": "m:latest",
        "modifiedAt": "2026-01-01T00:00:00Z",
        "size": 7,
        "digest": "d",
        "details": {
            "parentModel": "",
            "format": "",
            "family": "llama",
            "families": ["llama"],
            "parameterSize": "3B",
            "quantizationLevel": "",
        },
        "contextLength": 4096,
        "canChat": True,
        "canEmbed": False,
        "canPrompt": True,
        "canStream": True,
    }
    assert pulled[1]["contextLength"] == pulled[1]["size"] == 0
    assert pulled[1]["details"]["families"] == []
    expected = {
        "models": ["m", "n"],
        "loadedModels": ["m:latest"],
        "reachable": True,
        "latencyMs": 12.346,
        "breaker": "half_open",
        "inFlight": 3,
        "checkedAt": "2026-01-01T00:00:01Z",
    }
    assert {key: shown[key] for key in expected} == expected
    assert "error" not in shown
    assert "errorAt" not in shown


def test_an_error_is_shown_with_its_time(api: TestClient[Any], fleet: Any) -> None:
    created = api.post("/backends", json=GPU).json()
    why = {"error": "cannot be reached", "error_at": "2026-01-01T00:00:02Z"}
    fleet.now = [state(created["id"], reachable=False, **why)]
    shown = api.get(f"/backends/{created['id']}").json()
    assert (shown["error"], shown["errorAt"]) == tuple(why.values())
    assert shown["reachable"] is False


def test_ids_are_any_text(api: TestClient[Any]) -> None:
    assert api.get(f"/backends/{quote('a/b ä', safe='')}").status_code == 404
