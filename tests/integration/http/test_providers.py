"""Keys of providers: stored, never shown, and what is registered along with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from litestar.testing import TestClient

KEY = "sk-proj-abcdefghijklmnop"
NEVER = "0001-01-01T00:00:00Z"


def configure(client: TestClient[Any], kind: str = "open", **body: Any) -> Any:
    return client.post(f"/providers/{kind}/configure", json={"apiKey": KEY, **body})


def test_the_life_of_a_configuration(anywhere: TestClient[Any], fleet: Any) -> None:
    assert anywhere.get("/providers/open/status").json() == {
        "configured": False,
        "updatedAt": NEVER,
        "provider": "open",
    }
    assert anywhere.get("/providers/configs").json() == []
    assert anywhere.get("/providers/open/config").status_code == 404

    done = configure(anywhere, modelName="ignored")
    assert done.status_code == 200
    status = done.json()
    assert status == {"configured": True, "updatedAt": status["updatedAt"], "provider": "open"}
    assert status["updatedAt"] > NEVER
    assert anywhere.get("/providers/open/status").json() == status
    shown = {"APIKey": "sk-…mnop", "Type": "open"}
    assert anywhere.get("/providers/open/config").json() == shown
    assert anywhere.get("/providers/configs").json() == [shown]

    again = configure(anywhere)
    assert again.status_code == 409
    assert "upsert" in again.json()["error"]["message"]
    assert configure(anywhere, apiKey="another-key-that-is-long", upsert=True).status_code == 200
    assert anywhere.get("/providers/open/config").json()["APIKey"] == "ano…long"

    deleted = anywhere.delete("/providers/open/config")
    assert (deleted.status_code, deleted.json()) == (200, "Provider config deleted successfully")
    assert anywhere.delete("/providers/open/config").status_code == 404
    assert fleet.told == ["default"] * 3
    assert len(anywhere.get("/backends").json()) == 1


@pytest.mark.parametrize("key", ["k", "sk-12", "fifteen-letters"])
def test_no_part_of_a_short_key_is_shown(api: TestClient[Any], key: str) -> None:
    configure(api, apiKey=key)
    assert api.get("/providers/open/config").json()["APIKey"] == "…"


@pytest.mark.parametrize("key", ["", None])
def test_a_key_is_required(api: TestClient[Any], key: str | None) -> None:
    response = configure(api, apiKey=key)
    assert (response.status_code, response.json()["error"]["param"]) == (422, "apiKey")
    assert api.get("/backends").json() == []


def test_a_provider_with_an_address_becomes_a_backend(anywhere: TestClient[Any]) -> None:
    configure(anywhere)
    (backend,) = anywhere.get("/backends").json()
    expected = {"id": "open", "name": "open", "type": "open"}
    assert {key: backend[key] for key in expected} == expected
    assert backend["baseUrl"] == "https://api.open.example/v1"
    assert anywhere.get("/backend-affinity/open/groups").json() == []


def test_the_backend_is_rewritten_only_when_asked_to(anywhere: TestClient[Any]) -> None:
    configure(anywhere)
    moved = {"name": "mine", "baseUrl": "http://proxy", "type": "open"}
    assert anywhere.put("/backends/open", json=moved).status_code == 200
    anywhere.delete("/providers/open/config")
    configure(anywhere)
    assert anywhere.get("/backends/open").json()["baseUrl"] == "http://proxy"
    configure(anywhere, upsert=True)
    backend = anywhere.get("/backends/open").json()
    assert (backend["name"], backend["baseUrl"]) == ("open", "https://api.open.example/v1")
    anywhere.delete("/backends/open")
    assert configure(anywhere).status_code == 409
    assert anywhere.get("/backends").json() == []
    configure(anywhere, upsert=True)
    assert anywhere.get("/backends/open").status_code == 200


@pytest.mark.parametrize("upsert", [False, True])
@pytest.mark.parametrize(
    "taken", [{"name": "open"}, {"baseUrl": "https://api.open.example/v1"}], ids=str
)
def test_a_backend_that_is_there_already_is_kept(
    anywhere: TestClient[Any], taken: dict[str, str], upsert: bool
) -> None:
    body = {"name": "mine", "baseUrl": "http://proxy", "type": "open", **taken}
    mine = anywhere.post("/backends", json=body).json()
    assert configure(anywhere, upsert=upsert).status_code == 200
    assert [one["id"] for one in anywhere.get("/backends").json()] == [mine["id"]]
    assert anywhere.get("/providers/open/status").json()["configured"] is True


def test_a_provider_without_an_address_only_has_a_key(api: TestClient[Any]) -> None:
    assert configure(api, "fake").json()["provider"] == "fake"
    assert api.get("/backends").json() == []


def test_types_are_the_same_in_any_case(api: TestClient[Any]) -> None:
    assert configure(api, "OPEN").json()["provider"] == "open"
    assert configure(api, "Open").status_code == 409
    assert api.get("/providers/oPen/status").json()["configured"] is True
    assert api.get("/providers/OPEN/config").json()["Type"] == "open"
    assert configure(api, "loud").json()["provider"] == "Loud"
    assert api.get("/providers/LOUD/status").json()["configured"] is True
    assert api.delete("/providers/OPEN/config").status_code == 200


def test_an_unknown_provider_names_those_there_are(api: TestClient[Any]) -> None:
    for response in (configure(api, "fax"), api.get("/providers/fax/status")):
        assert response.status_code == 404
        assert "installed types: Loud, fake, open" in response.json()["error"]["message"]
    assert api.get("/providers/fax/config").status_code == 404
    assert api.delete("/providers/fax/config").status_code == 404


def test_pages(api: TestClient[Any]) -> None:
    for kind in ("fake", "open", "Loud"):
        configure(api, kind)
    first = api.get("/providers/configs?limit=2")
    assert len(first.json()) == 2
    cursor = first.headers["x-next-cursor"]
    rest = api.get("/providers/configs", params={"cursor": cursor})
    assert len(rest.json()) == 1
    assert api.get("/providers/configs?limit=0").status_code == 422


def test_keys_are_in_no_answer(api: TestClient[Any]) -> None:
    texts = [configure(api).text, configure(api).text, configure(api, upsert=True).text]
    for path in ("/providers/configs", "/providers/open/config", "/backends", "/state"):
        texts.append(api.get(path).text)
    assert "abcdefgh" not in "".join(texts)
