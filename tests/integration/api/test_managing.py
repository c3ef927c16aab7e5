"""What clients that manage a server send and expect: backends, models, groups, hooks, secrets.

Each test is an exchange with the running server; names of fields, their order, and texts count.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Each name with what reads badly in a path.
ODD = "org/a b, 1%;é"

BACKEND = {"name": ODD, "baseUrl": "echo://one", "type": "Echo"}
MODEL = {"model": ODD, "contextLength": 4096, "canChat": True}
GROUP = {"name": ODD, "purposeType": f"for {ODD}"}
HOOK = {"name": ODD, "endpointUrl": "http://127.0.0.1:9", "timeoutMs": 100}

BACKEND_KEYS = ["id", "name", "baseUrl", "type", "createdAt", "updatedAt"]
MODEL_KEYS = [
    "id", "model", "contextLength", "canChat", "canEmbed", "canPrompt", "canStream", "createdAt",
    "updatedAt",
]  # fmt: skip
GROUP_KEYS = ["id", "name", "purposeType", "createdAt", "updatedAt"]
HOOK_KEYS = ["id", "name", "endpointUrl", "timeoutMs", "properties", "createdAt", "updatedAt"]

#: path, body, keys of a row, path of one row, what deleting says
KINDS = [
    ("/backends", BACKEND, BACKEND_KEYS, "/backends/{id}", "backend removed"),
    ("/models", MODEL, MODEL_KEYS, "/models/{id}", "model removed"),
    ("/groups", GROUP, GROUP_KEYS, "/groups/{id}", "deleted"),
    ("/hooks/remote", HOOK, HOOK_KEYS, "/hooks/remote/{id}", "deleted"),
]
of_each_kind = pytest.mark.parametrize(
    ("path", "body", "keys", "one", "deleted"), KINDS, ids=[kind[0] for kind in KINDS]
)


@pytest.fixture(scope="module")
def client(start_server: Callable[..., str]) -> Iterator[httpx.Client]:
    """Return a client of a server that is empty again after each test."""
    url = start_server(RUNTIME_DISABLE_PLUGINS="ollama", RUNTIME_LOG_LEVEL="warning")
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client


def test_nothing_is_an_empty_list(client: httpx.Client) -> None:
    listings = "backends", "models", "queue", "providers/configs", "hooks/remote", "secrets"
    for path in listings:
        answer = client.get(f"/{path}")
        assert (answer.status_code, answer.content) == (200, b"[]"), path
        assert "x-next-cursor" not in answer.headers
    for path in ("backend-affinity/x/groups", "model-affinity/x/models", "group-by-purpose/x"):
        assert client.get(f"/{path}").content == b"[]", path


@of_each_kind
def test_the_life_of_a_row(
    client: httpx.Client, path: str, body: Any, keys: list[str], one: str, deleted: str
) -> None:
    created = client.post(path, json=body)
    assert created.status_code == 201, created.text
    row = created.json()
    assert list(row) == keys
    assert {key: row[key] for key in body} == body
    assert row["createdAt"] == row["updatedAt"]
    assert client.post(path, json=body).status_code == 409
    where = one.format(id=quote(row["id"], safe=""))
    [listed] = [found for found in client.get(path).json() if found["id"] == row["id"]]
    assert {key: listed[key] for key in keys} == row
    replaced = client.put(where, json=body)
    assert replaced.status_code == 200
    assert list(replaced.json()) == keys
    assert replaced.json()["createdAt"] == row["createdAt"] <= replaced.json()["updatedAt"]
    gone = client.delete(where)
    assert (gone.status_code, gone.json()) == (200, deleted)
    for answer in (client.delete(where), client.put(where, json=body)):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


@of_each_kind
@pytest.mark.parametrize(
    ("media_type", "write"),
    [
        ("application/yaml", str.encode),
        ("text/yaml; charset=utf-8", str.encode),
        ("application/x-yaml", str.encode),
        ("text/yaml; encoding=base64", lambda text: base64.b64encode(text.encode())),
        ("application/x-yaml-base64", lambda text: base64.b64encode(text.encode())),
    ],
)
def test_a_row_in_yaml(
    client: httpx.Client,
    path: str,
    body: Any,
    keys: list[str],
    one: str,
    deleted: str,
    media_type: str,
    write: Callable[[str], bytes],
) -> None:
    content = write(yaml.safe_dump(body, allow_unicode=True))
    created = client.post(path, content=content, headers={"Content-Type": media_type})
    assert created.status_code == 201, created.text
    row = created.json()
    assert (list(row), {key: row[key] for key in body}) == (keys, body)
    assert client.delete(one.format(id=quote(row["id"], safe=""))).json() == deleted


@pytest.mark.parametrize("path", [kind[0] for kind in KINDS])
@pytest.mark.parametrize(
    ("media_type", "content", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"", 400),
        ("application/yaml", b"a: [", 400),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"{}", 415),
        ("application/json", b"[]", 422),
    ],
)
def test_a_body_that_cannot_be_read(
    client: httpx.Client, path: str, media_type: str, content: bytes, status: int
) -> None:
    answer = client.post(path, content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    if status == 415:
        assert "Content-Type: application/json" in answer.json()["error"]["message"]
