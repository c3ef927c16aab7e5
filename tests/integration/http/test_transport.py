"""What is true for every route: ids, errors, keys, limits, methods, CORS, compression, logs."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import (
    ClientException,
    InternalServerException,
    NotFoundException,
    PermissionDeniedException,
)
from litestar.params import FromQuery, JSONBody  # noqa: TC002 - Litestar evaluates annotations
from litestar.testing import TestClient
from pydantic import SecretStr

from runtime_core.errors import (
    Conflict,
    Forbidden,
    NoBackendAvailable,
    RateLimited,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamRateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def client(shared: TestClient[Any]) -> TestClient[Any]:
    return shared


def error_of(response: Any) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"]
    return error


# -------------------------------------------------------------------------
# Request ids and logs
# -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/version", "/nothing", "/taskchains?limit=0"])
def test_every_answer_has_a_request_id(client: TestClient[Any], path: str) -> None:
    made = {client.get(path).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    assert all(UUID4.fullmatch(one) for one in made)
    given = client.get(path, headers={"X-Request-ID": "mine-1:a/b"})
    assert given.headers["x-request-id"] == "mine-1:a/b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "a\tb", "<script>"])
def test_a_strange_request_id_is_replaced(client: TestClient[Any], given: str) -> None:
    response = client.get("/health", headers={"X-Request-ID": given.encode()})
    assert UUID4.fullmatch(response.headers["x-request-id"])


def test_one_line_a_request(client: TestClient[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="runtime.access"):
        client.get("/taskchains/no%0Asuch?key=secret", headers={"X-Request-ID": "r1"})
    (record,) = [one for one in caplog.records if one.name == "runtime.access"]
    assert re.fullmatch(r"GET /taskchains/no%0Asuch 404 \d+\.\d ms", record.getMessage())


def test_json_lines_carry_the_numbers_as_fields(
    make_app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        TestClient(make_app(log_format="json")) as client,
        caplog.at_level(logging.INFO, logger="runtime.access"),
    ):
        client.get("/version")
    (record,) = [one for one in caplog.records if one.name == "runtime.access"]
    assert (record.http_method, record.http_path, record.http_status) == ("GET", "/version", 200)  # type: ignore[attr-defined]


# -------------------------------------------------------------------------
# Errors
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "retry_after"),
    [
        (Conflict("c"), 409, "invalid_request_error", "conflict", None),
        (Forbidden("f"), 403, "authorization_error", "forbidden", None),
        (RateLimited("r", retry_after=1.2), 429, "rate_limit_error", "rate_limit_exceeded", "2"),
        (UpstreamRateLimited("r"), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (UpstreamError("u"), 502, "api_error", "upstream_error", None),
        (
            UpstreamContextExceeded("u"),
            400,
            "invalid_request_error",
            "context_length_exceeded",
            None,
        ),
        (
            NoBackendAvailable("n", retry_after=0.1),
            503,
            "api_error",
            "no_backend_available",
            "1",
        ),
        (TimedOut("t"), 504, "api_error", "timeout", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_on_the_wire(
    make_app: Callable[..., Any],
    error: Exception,
    status: int,
    kind: str,
    code: str,
    retry_after: str | None,
) -> None:
    @get("/fails")
    async def fails() -> None:
        raise error

    with TestClient(make_app({"routes": [fails]})) as client:
        response = client.get("/fails")
    assert response.status_code == status
    found = error_of(response)
    assert (found["type"], found["code"]) == (kind, code)
    assert "param" not in found
    assert response.headers.get("retry-after") == retry_after


def test_our_own_faults_are_logged_and_not_shown(
    make_app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    @get("/breaks")
    async def breaks() -> None:
        raise ZeroDivisionError("the secret reason")

    with TestClient(make_app({"routes": [breaks]})) as client:
        response = client.get("/breaks", headers={"X-Request-ID": "r9"})
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    assert "secret" not in response.text
    assert "the secret reason" in caplog.text
    assert "request r9 failed" in caplog.text


@pytest.mark.parametrize(
    ("raised", "status", "code", "message"),
    [
        (NotFoundException("a plugin's thing is missing"), 404, "not_found", "a plugin's thing"),
        (PermissionDeniedException("not you"), 403, "forbidden", "not you"),
        (ClientException("odd"), 400, "bad_request", "odd"),
        (InternalServerException("the secret"), 500, "internal_error", "internal error"),
    ],
)
def test_the_frameworks_errors_have_the_same_shape(
    make_app: Callable[..., Any], raised: Exception, status: int, code: str, message: str
) -> None:
    @get("/raises")
    async def raises() -> None:
        raise raised

    with TestClient(make_app({"routes": [raises]})) as client:
        response = client.get("/raises")
    assert response.status_code == status
    error = error_of(response)
    assert error["code"] == code
    assert error["message"].startswith(message)


def test_a_wrong_query_value_is_422_with_its_name(make_app: Callable[..., Any]) -> None:
    @get("/counts")
    async def counts(size: FromQuery[int], depth: FromQuery[int] = 1) -> None: ...

    with TestClient(make_app({"routes": [counts]})) as client:
        for query, param in (("size=x", "size"), ("size=1&depth=y", "depth")):
            response = client.get(f"/counts?{query}")
            assert response.status_code == 422
            assert error_of(response)["param"] == param
        assert client.get("/counts").status_code == 422


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/nothing", "/Health", "/health/", "//health", "/version/x"])
def test_unknown_paths_are_404_in_json(client: TestClient[Any], method: str, path: str) -> None:
    response = client.request(method, f"http://testserver.local{path}")
    assert response.status_code == 404
    error = error_of(response)
    assert error["message"] == "serverops: not found"
    assert error["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/version", "GET, HEAD"),
        ("GET", "/execute", "POST"),
        ("DELETE", "/taskchains", "GET, HEAD, POST"),
        ("OPTIONS", "/taskchains", "GET, HEAD, POST"),
        ("POST", "/taskchains/x", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/taskchains/validate", "DELETE, GET, HEAD, POST, PUT"),
    ],
)
def test_wrong_methods_are_405_with_the_right_ones(
    client: TestClient[Any], method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    assert error_of(response)["code"] == "method_not_allowed"


def test_head_answers_like_get_without_the_body(client: TestClient[Any]) -> None:
    for path in ("/version", "/taskchains", "/taskchains/chat", "/livez", "/docs", "/health"):
        get_, head = client.get(path), client.head(path)
        assert head.status_code == get_.status_code == 200
        assert head.content == b""
        assert head.headers.get("content-type") == get_.headers.get("content-type")
    assert client.head("/version").headers["content-length"] == str(
        len(client.get("/version").content)
    )
    assert client.head("/nothing").status_code == 404


# -------------------------------------------------------------------------
# Bodies
# -------------------------------------------------------------------------

LIMIT = 2048


@pytest.fixture
def small(make_app: Callable[..., Any]) -> Any:
    with TestClient(make_app(max_body=LIMIT)) as client:
        yield client


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT * 50])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large(small: TestClient[Any], size: int, declared: bool) -> None:
    body = b'{"prompt": "' + b"x" * (size - 14) + b'"}'
    content: Any = body if declared else iter([body[:100], body[100:]])
    response = small.post("/execute", content=content)
    assert response.status_code == 413
    error = error_of(response)
    assert error["code"] == "request_too_large"
    assert "RUNTIME_MAX_BODY" in error["message"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_just_fits(small: TestClient[Any], declared: bool) -> None:
    body = b'{"prompt": "' + b"x" * (LIMIT - 14) + b'"}'
    content: Any = body if declared else iter([body[:100], body[100:]])
    response = small.post("/execute", content=content)
    assert response.status_code == 200
    assert len(response.json()["response"]) == LIMIT - 14


@pytest.mark.parametrize("path", ["/execute", "/tasks", "/embed", "/chat", "/taskchains"])
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "bad_request"),
        (b"{", "application/json", 400, "bad_request"),
        (b'"\xff"', "application/json", 400, "bad_request"),
        (b"[" * 5000, "application/json", 400, "bad_request"),
        (b"[]", "application/json", 422, "unprocessable_entity"),
        (b"[1, 2", "application/json", 400, "bad_request"),
        (b"null", "application/json", 422, "unprocessable_entity"),
        (b"a: [", "application/yaml", 400, "bad_request"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "unsupported_media"),
        (b"{}", "text/plain", 415, "unsupported_media"),
    ],
)
def test_bodies_no_route_can_read(
    client: TestClient[Any], path: str, body: bytes, content_type: str, status: int, code: str
) -> None:
    response = client.post(path, content=body, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_without_a_content_type_a_body_is_json(client: TestClient[Any]) -> None:
    request = client.build_request("POST", "/execute", content=b'{"prompt": "hi"}')
    request.headers.pop("content-type", None)
    assert client.send(request).json()["response"] == "hi"


def test_a_plugins_route_reads_bodies_the_same_way(make_app: Callable[..., Any]) -> None:
    @post("/sum", status_code=200)
    async def add(data: JSONBody[dict[str, int]]) -> Response[int]:
        return Response(sum(data.values()))

    with TestClient(make_app({"routes": [add]})) as client:
        yaml = {"Content-Type": "text/yaml"}
        assert client.post("/sum", content=b"a: 1\nb: 2", headers=yaml).json() == 3
        assert client.post("/sum", json={"a": 1.0}).json() == 1
        assert client.post("/sum", json={"a": "1"}).status_code == 422
        assert client.post("/sum").status_code == 400


def test_dependencies_are_resolved_without_a_task_each(make_app: Callable[..., Any]) -> None:
    tasks = []

    def note() -> Provide:
        async def noted() -> str:
            tasks.append(asyncio.current_task())
            return "noted"

        return Provide(noted)

    @get("/noted", dependencies={"a": note(), "b": note(), "c": note()})
    async def noted(
        a: NamedDependency[str], b: NamedDependency[str], c: NamedDependency[str]
    ) -> str:
        tasks.append(asyncio.current_task())
        return a + b + c

    with TestClient(make_app({"routes": [noted]})) as client:
        assert client.get("/noted").text == "noted" * 3
    assert len(tasks) == 4
    assert len(set(tasks)) == 1


# -------------------------------------------------------------------------
# Keys
# -------------------------------------------------------------------------


@pytest.fixture
def locked(make_app: Callable[..., Any]) -> Any:
    with TestClient(make_app(token=SecretStr("s3cret"), cors_origins=("https://a.example",))) as c:
        yield c


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "s3cret"},
        {"X-API-Key": "Bearer s3cret"},
        {"Authorization": "Bearer s3cret"},
        {"Authorization": "Bearer s3cret", "X-API-Key": "other"},
    ],
)
def test_the_key_opens(locked: TestClient[Any], headers: dict[str, str]) -> None:
    assert locked.get("/version", headers=headers).status_code == 200
    assert locked.get("/nothing", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "other"}, {"Authorization": "Basic s3cret"}, {"X-API-Key": ""}]
)
@pytest.mark.parametrize(
    "path", ["/version", "/metrics", "/docs", "/openapi.json", "/nothing", "/health/x"]
)
def test_without_the_key_nothing_opens(
    locked: TestClient[Any], headers: dict[str, str], path: str
) -> None:
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        response = locked.request(method, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            error = error_of(response)
            assert (error["type"], error["code"]) == ("authentication_error", "unauthorized")
            assert "s3cret" not in response.text


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_health_needs_no_key(locked: TestClient[Any], path: str) -> None:
    assert locked.get(path).status_code == 200
    assert locked.head(path).status_code == 200


def test_a_large_body_is_not_read_without_a_key(locked: TestClient[Any]) -> None:
    assert locked.post("/execute", content=b"x" * 20_000_000).status_code == 401


# -------------------------------------------------------------------------
# CORS
# -------------------------------------------------------------------------

PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-api-key",
}


def test_cors_is_off_unless_configured(client: TestClient[Any]) -> None:
    origin = {"Origin": "https://a.example"}
    assert client.options("/execute", headers={**origin, **PREFLIGHT}).status_code == 405
    headers = client.get("/version", headers=origin).headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_known_origin_may_ask(locked: TestClient[Any]) -> None:
    origin = {"Origin": "https://a.example"}
    preflight = locked.options("/execute", headers={**origin, **PREFLIGHT})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://a.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "content-type, x-api-key"
    for key, status in (("s3cret", 200), ("wrong", 401)):
        response = locked.get("/version", headers={**origin, "X-API-Key": key})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        assert "origin" in response.headers["vary"].lower()
        assert "access-control-allow-credentials" not in response.headers


def test_another_origin_may_not(locked: TestClient[Any]) -> None:
    for origin in ("https://b.example", "https://a.example.evil", "null"):
        headers = {"Origin": origin}
        assert locked.options("/execute", headers={**headers, **PREFLIGHT}).status_code == 401
        response = locked.get("/version", headers={**headers, "X-API-Key": "s3cret"})
        assert "access-control-allow-origin" not in response.headers
        assert "origin" in response.headers["vary"].lower()


def test_all_origins(make_app: Callable[..., Any]) -> None:
    with TestClient(make_app(cors_origins=("*",))) as client:
        response = client.get("/version", headers={"Origin": "https://any.example"})
        assert response.headers["access-control-allow-origin"] == "*"


# -------------------------------------------------------------------------
# Compression
# -------------------------------------------------------------------------


def test_gzip_above_a_kilobyte(client: TestClient[Any]) -> None:
    def ask(size: int, accept: str) -> Any:
        body = {"prompt": "x" * size}
        return client.post("/execute", json=body, headers={"Accept-Encoding": accept})

    large = ask(2000, "gzip")
    assert large.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in large.headers["vary"].lower()
    assert int(large.headers["content-length"]) < 1000
    assert large.json()["response"] == "x" * 2000
    assert "content-encoding" not in ask(900, "gzip").headers
    assert "content-encoding" not in ask(2000, "identity").headers
    huge = ask(400_000, "gzip, br")
    assert huge.headers["content-encoding"] == "gzip"
    assert len(huge.json()["response"]) == 400_000


def test_what_is_compressed_already_is_not_again(client: TestClient[Any]) -> None:
    with client.stream(
        "GET", "/docs/swagger-ui.css", headers={"Accept-Encoding": "gzip"}
    ) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw).startswith(b".swagger-ui")


def test_streams_are_not_compressed(client: TestClient[Any]) -> None:
    response = client.post(
        "/chat",
        json={"message": "word " * 2000, "stream": True},
        headers={"Accept-Encoding": "gzip"},
    )
    assert "content-encoding" not in response.headers
    assert json.loads(response.text.split("\n\n")[0].removeprefix("data: ")) == {"delta": "word"}
