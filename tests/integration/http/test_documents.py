"""Documents about the server: health, version, metrics, plugins, and its own description."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from litestar import Response, get, post
from litestar.di import NamedDependency  # noqa: TC002 - likewise
from litestar.exceptions import LitestarException
from litestar.params import FromPath, JSONBody  # noqa: TC002 - Litestar evaluates annotations
from litestar.testing import TestClient
from msgspec import Struct
from pydantic import SecretStr

from runtime_core import __version__
from runtime_core.errors import NoBackendAvailable
from runtime_core.http import check_routes
from runtime_core.types import PluginReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Order(Struct):
    """What a plugin's route takes."""

    size: int


@post("/plugin/{name:str}/orders", status_code=200)
async def order(name: FromPath[str], data: JSONBody[Order]) -> Order:
    """Order something."""
    return data


@pytest.fixture
def client(shared: TestClient[Any]) -> TestClient[Any]:
    return shared


def test_health_is_empty(client: TestClient[Any]) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    assert response.content == b""
    assert "content-type" not in response.headers
    assert response.headers["content-length"] == "0"


def test_liveness_and_readiness(client: TestClient[Any]) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    checks = {"database": {"status": "ok"}, "plugins": {"status": "ok"}}
    assert ready.json() == {"status": "ok", "checks": checks}


def test_not_ready(make_app: Callable[..., Any]) -> None:
    async def no_backends() -> None:
        raise NoBackendAvailable("no backend is configured")

    report = PluginReport(
        name="bad", distribution="d", version="1", status="quarantined", error="e", advice="a"
    )
    build = {"health_checks": {"backends": no_backends}, "rooms": {"plugins": (report,)}}
    with TestClient(make_app(build)) as client:
        response = client.get("/readyz")
        assert response.status_code == 503
        body = response.json()
        assert body["status"] == "fail"
        assert body["checks"]["backends"] == {
            "status": "fail",
            "reason": "no backend is configured",
        }
        assert "bad" in body["checks"]["plugins"]["reason"]
        assert client.get("/livez").status_code == client.get("/health").status_code == 200
        (plugin,) = client.get("/plugins").json()
        assert plugin == {
            "name": "bad",
            "distribution": "d",
            "version": "1",
            "status": "quarantined",
            "hooks": [],
            "error": "e",
            "advice": "a",
        }


def test_version(client: TestClient[Any], make_app: Callable[..., Any]) -> None:
    version = client.get("/version").json()
    assert list(version) == ["version", "nodeInstanceID", "tenancy"]
    assert version["version"] == f"v{__version__}"
    assert re.fullmatch(r"[0-9a-f]{8}", version["nodeInstanceID"])
    with TestClient(make_app()) as other:
        again = other.get("/version").json()
    assert again["nodeInstanceID"] != version["nodeInstanceID"]
    assert again["tenancy"] == version["tenancy"]


def test_metrics_count_by_template(make_app: Callable[..., Any], chain: Any) -> None:
    with TestClient(make_app()) as client:
        client.get("/taskchains/a")
        client.get("/taskchains/b")
        client.get("/made/up/1")
        client.request("BREW", "/made/up/2")
        client.post("/tasks", json={"input": "x", "chain": chain("noop")})
        client.post("/tasks", json={"input": "x", "chain": {"tasks": []}})
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    text = response.text
    count = "runtime_http_request_seconds_count"
    assert f'{count}{{method="GET",route="/taskchains/{{chain_id}}",status="404"}} 2.0' in text
    assert f'{count}{{method="GET",route="unmatched",status="404"}} 1.0' in text
    assert f'{count}{{method="other",route="unmatched",status="404"}} 1.0' in text
    assert 'runtime_run_seconds_count{status="ok"} 1.0' in text
    assert 'runtime_run_seconds_count{status="invalid_chain"} 1.0' in text
    assert "runtime_http_requests_in_flight 1.0" in text
    assert "made" not in text


# -------------------------------------------------------------------------
# The description
# -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> Iterator[dict[str, Any]]:
    from runtime_core import http
    from runtime_core.http.build import ROOMS
    from runtime_core.settings import Settings

    # who only reads the description asks none of the rooms
    app = http.build(Settings(), rooms=dict.fromkeys(ROOMS, object()), routes=[order])
    with TestClient(app) as client:
        response = client.get("/openapi.json")
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        yield response.json()


ASKING = {("/chat", "post"), ("/backends/{backend_id}/models/{model}", "delete")}
STORED = ("/chat", "/taskchains", "/backend", "/model", "/group", "/providers", "/queue")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_route_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    assert {(path, method) for path, method, _ in operations(document)} == {
        ("/health", "get"),
        ("/livez", "get"),
        ("/readyz", "get"),
        ("/version", "get"),
        ("/metrics", "get"),
        ("/plugins", "get"),
        ("/execute", "post"),
        ("/tasks", "post"),
        ("/embed", "post"),
        ("/defaultmodel", "get"),
        ("/hooks", "get"),
        ("/supported", "get"),
        ("/secrets", "get"),
        ("/secrets/{name}", "get"),
        ("/secrets/{name}", "put"),
        ("/secrets/{name}", "delete"),
        ("/chat", "post"),
        ("/chat", "get"),
        ("/chat/{session_id}", "get"),
        ("/chat/{session_id}", "delete"),
        ("/taskchains", "post"),
        ("/taskchains", "get"),
        ("/taskchains/validate", "post"),
        ("/taskchains/{chain_id}", "get"),
        ("/taskchains/{chain_id}", "put"),
        ("/taskchains/{chain_id}", "delete"),
        ("/backends", "post"),
        ("/backends", "get"),
        ("/backends/{backend_id}", "get"),
        ("/backends/{backend_id}", "put"),
        ("/backends/{backend_id}", "delete"),
        ("/state", "get"),
        ("/state/stream", "get"),
        ("/models", "post"),
        ("/models", "get"),
        ("/models/{model}", "put"),
        ("/models/{model}", "delete"),
        ("/groups", "post"),
        ("/groups", "get"),
        ("/groups/{group_id}", "get"),
        ("/groups/{group_id}", "put"),
        ("/groups/{group_id}", "delete"),
        ("/group-by-name/{name}", "get"),
        ("/group-by-purpose/{purpose}", "get"),
        ("/backend-affinity/{group_id}/backends/{backend_id}", "post"),
        ("/backend-affinity/{group_id}/backends/{backend_id}", "delete"),
        ("/backend-affinity/{group_id}/backends", "get"),
        ("/backend-affinity/{backend_id}/groups", "get"),
        ("/model-affinity/{group_id}/models/{model_id}", "post"),
        ("/model-affinity/{group_id}/models/{model_id}", "delete"),
        ("/model-affinity/{group_id}/models", "get"),
        ("/model-affinity/{model_id}/groups", "get"),
        ("/providers/{provider_type}/configure", "post"),
        ("/providers/{provider_type}/status", "get"),
        ("/providers/configs", "get"),
        ("/providers/{provider_type}/config", "get"),
        ("/providers/{provider_type}/config", "delete"),
        ("/route/explain", "post"),
        ("/queue", "get"),
        ("/queue/{model}", "delete"),
        ("/queue/cancel", "delete"),
        ("/queue/inProgress", "get"),
        ("/backends/{backend_id}/models/{model}", "delete"),
        ("/plugin/{name}/orders", "post"),
    }


def test_operations_say_what_they_take_and_answer(document: dict[str, Any]) -> None:
    identifiers = []
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        identifiers.append(operation["operationId"])
        assert operation["summary"], where
        assert operation["description"], where
        for code in ("400", "401", "404", "422", "500"):
            schema = operation["responses"][code]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}, where
        if method in ("post", "put") and "-affinity" not in path:
            assert set(operation["requestBody"]["content"]) == {
                "application/json",
                "application/yaml",
            }, where
            assert {"413", "415"} <= set(operation["responses"]), where
            if not path.startswith("/plugin"):
                assert "example" in operation["requestBody"]["content"]["application/json"], where
        asks = path in ("/execute", "/tasks", "/embed") or (path, method) in ASKING
        assert ("502" in operation["responses"]) == asks, where
        stores = path.startswith(STORED) and path != "/taskchains/validate"
        assert ("503" in operation["responses"]) == (asks or stores or path == "/readyz"), where
    assert len(identifiers) == len(set(identifiers))


def test_the_parameters_of_listings_are_described(document: dict[str, Any]) -> None:
    for path in ("/taskchains", "/chat"):
        parameters = document["paths"][path]["get"]["parameters"]
        assert {(one["name"], one["in"], one["required"]) for one in parameters} == {
            ("limit", "query", False),
            ("cursor", "query", False),
        }


def test_nothing_of_the_inside_is_described(document: dict[str, Any]) -> None:
    text = str(document)
    for word in ("tenant_id", "NamedDependency", "ChainRunner", "health_checks", "Litestar"):
        assert word not in text


def test_keys_are_described(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    queue: deque[Any] = deque([document])
    found = 0
    while queue:
        node = queue.popleft()
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                found += 1
                assert reference.removeprefix("#/components/schemas/") in schemas
            queue.extend(node.values())
        elif isinstance(node, list):
            queue.extend(node)
    assert found > 50
    assert schemas["Chain"]["properties"]["tasks"]["items"] == {"$ref": "#/components/schemas/Task"}
    assert schemas["Order"]["required"] == ["size"]


def test_tools_can_read_it(document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    read = [result.ok() for result in schema.get_all_operations()]
    assert len(read) == len(list(operations(document)))


class Odd(Struct):
    """A body with a type that has no words in a schema."""

    what: Callable[..., Any]


def test_a_route_nobody_can_describe_is_left_out(
    make_app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    @get("/odd/{name:str}")
    async def odd(name: FromPath[str]) -> Response[Odd]:
        """Do something odd."""
        return Response(Odd(print))

    with TestClient(make_app({"routes": [odd, order]})) as client:
        described = client.get("/openapi.json").json()["paths"]
    assert "/odd/{name}" not in described
    assert {"/plugin/{name}/orders", "/version"} <= set(described)
    assert "odd" in caplog.text


def test_a_body_nobody_can_decode_is_refused_when_mounting() -> None:
    @post("/either")
    async def either(data: JSONBody[list[int] | list[str]]) -> None: ...

    with pytest.raises(TypeError, match="not supported"):
        check_routes([either])


def test_a_parameter_nothing_is_given_for_is_refused_when_mounting() -> None:
    @get("/unknown")
    async def unknown(room: NamedDependency[str]) -> None: ...

    with pytest.raises(LitestarException, match="room"):
        check_routes([unknown])
    check_routes([order])


# -------------------------------------------------------------------------
# The interactive page
# -------------------------------------------------------------------------


def test_the_page_brings_everything_along(client: TestClient[Any]) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"(?:https?:)?//", page.text.replace("<!doctype", ""))
    files = re.findall(r'(?:src|href)="([^":]+)"', page.text)
    assert len(files) == 3
    for file in files:
        response = client.get(f"/{file}")
        assert response.status_code == 200
        assert response.text
    assert "http" not in client.get("/docs/start.js").text
    assert client.get("/docs/start.js").headers["content-type"].startswith("text/javascript")
    plain = client.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    assert plain.text == client.get("/docs/swagger-ui.css").text


@pytest.mark.parametrize("name", ["other.js", "..%2Fbuild.py", "swagger-ui.LICENSE", "docs.html"])
def test_no_other_file_is_served(client: TestClient[Any], name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_page_is_behind_the_key(make_app: Callable[..., Any]) -> None:
    with TestClient(make_app(token=SecretStr("k"))) as client:
        for path in ("/docs", "/docs/start.js", "/openapi.json", "/metrics", "/plugins"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"X-API-Key": "k"}).status_code == 200
