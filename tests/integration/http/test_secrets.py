"""Secrets over HTTP: they come in, and nothing gives them back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from litestar.testing import TestClient

VALUE = "s3cr3t-value-of-a-service"


def store(client: TestClient[Any], name: str, value: Any = VALUE) -> Any:
    return client.put(f"/secrets/{name}", json={"value": value})


def test_the_life_of_a_secret(anywhere: TestClient[Any]) -> None:
    assert anywhere.get("/secrets").json() == []
    created = store(anywhere, "key")
    assert created.status_code == 200
    shown = created.json()
    assert list(shown) == ["name", "createdAt", "updatedAt"]
    assert shown["name"] == "key"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown["createdAt"])
    assert anywhere.get("/secrets/key").json() == shown
    assert anywhere.get("/secrets").json() == [shown]

    replaced = store(anywhere, "key", "other").json()
    assert replaced["createdAt"] == shown["createdAt"]
    assert replaced["updatedAt"] > shown["updatedAt"]

    deleted = anywhere.delete("/secrets/key")
    assert (deleted.status_code, deleted.json()) == (200, "deleted")
    for gone in (anywhere.get("/secrets/key"), anywhere.delete("/secrets/key")):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_secrets_are_listed_newest_first_in_pages(anywhere: TestClient[Any]) -> None:
    for name in ("a", "b", "c"):
        store(anywhere, name)
    first = anywhere.get("/secrets", params={"limit": 2})
    cursor = first.headers["x-next-cursor"]
    rest = anywhere.get("/secrets", params={"limit": 2, "cursor": cursor})
    assert [one["name"] for one in first.json() + rest.json()] == ["c", "b", "a"]
    for bad in ({"limit": 0}, {"cursor": "x"}):
        assert anywhere.get("/secrets", params=bad).status_code == 422


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "%C3%A4", "x" * 129, "a%0A"])
def test_a_name_that_cannot_be(anywhere: TestClient[Any], name: str) -> None:
    refused = store(anywhere, name)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "name")
    assert "1 to 128 of the characters A-Z a-z 0-9 _ . -" in refused.json()["error"]["message"]
    assert anywhere.get(f"/secrets/{name}").status_code == 404
    assert anywhere.delete(f"/secrets/{name}").status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"value": None}, {"value": ""}, {"value": 5}, {"value": [VALUE]}, VALUE, [VALUE]]
)
def test_a_value_that_cannot_be(anywhere: TestClient[Any], body: Any) -> None:
    refused = anywhere.put("/secrets/key", json=body)
    assert refused.status_code == 422
    assert VALUE not in refused.text
    assert anywhere.get("/secrets").json() == []


def test_a_value_that_is_too_long(anywhere: TestClient[Any]) -> None:
    assert store(anywhere, "key", "x" * 65536).status_code == 200
    refused = store(anywhere, "key", VALUE * 10_000)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "value")
    assert VALUE not in refused.text


def test_a_body_that_is_no_json_is_not_repeated(anywhere: TestClient[Any]) -> None:
    refused = anywhere.put(
        "/secrets/key",
        content=f'{{"value": "{VALUE}"',
        headers={"content-type": "application/json"},
    )
    assert refused.status_code == 400
    assert VALUE not in refused.text


def test_a_body_in_yaml(anywhere: TestClient[Any]) -> None:
    stored = anywhere.put(
        "/secrets/key", content=f"value: {VALUE}", headers={"content-type": "application/yaml"}
    )
    assert (stored.status_code, stored.json()["name"]) == (200, "key")
