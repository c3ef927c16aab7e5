"""Bodies that are broken, wrong, huge or deep: each gets its row of the error table."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

#: Every route that reads a body: a good one, and a field with what it cannot be.
ROUTES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/execute": ({"prompt": "hi", "model_name": "echo"}, {"prompt": 5}),
    "/tasks": (
        {"input": "/echo {}", "chainId": "echo"},
        {"templateVars": {"a": 1}},
    ),
    "/chat": ({"message": "hi", "chain": "echo-chat"}, {"stream": "yes"}),
    "/embed": ({"text": "hi"}, {"texts": ["a", 1]}),
    "/taskchains": ({"id": "x", "tasks": [{"id": "a", "handler": "noop"}]}, {"tasks": 5}),
    "/taskchains/validate": ({"id": "x"}, {"debug": "very"}),
    "/v1/chat/completions": (
        {"model": "echo", "messages": [{"role": "user", "content": "hi"}]},
        {"messages": "hi"},
    ),
    "/openai/echo-chat/v1/chat/completions": (
        {"model": "echo", "messages": [{"role": "user", "content": "hi"}]},
        {"temperature": "hot"},
    ),
    "/v1/embeddings": ({"model": "echo-embed", "input": "hi"}, {"encoding_format": "hex"}),
}

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "half": b'{"prompt": "h',
    "a missing value": b'{"prompt": }',
    "a comma too many": b'{"prompt": "hi",}',
    "more after the end": b'{"prompt": "hi"} {"prompt": "hi"}',
    "single quotes": b"{'prompt': 'hi'}",
    "NaN": b'{"prompt": NaN}',
    "a control character": b'{"prompt": "a\x01b"}',
    "a NUL": b"\x00",
    "no UTF-8 in a text": b'{"prompt": "\xff\xfe", "message": "\xff", "text": "\xff"}',
    "no UTF-8 in a key": b'{"\xc3\x28": 1}',
    "UTF-16": '{"prompt": "hi"}'.encode("utf-16"),
    "random bytes": bytes(range(256)),
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep lists without an end": b"[" * 100_000,
    "deep objects": b'{"input":' * 50_000 + b"1" + b"}" * 50_000,
    "a deep unknown field": b'{"unknown":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}

NO_YAML: dict[str, bytes] = {
    "half": b'prompt: "h',
    "tabs": b"prompt:\n\t- a",
    "an unknown anchor": b"prompt: *nowhere",
    "a Python object": b"prompt: !!python/object/apply:os.system ['echo harmed']",
    "two documents": b"prompt: a\n---\nprompt: b",
    "no UTF-8": b"prompt: \xff\xfe\xff",
    "deep": b"[" * 5000 + b"]" * 5000,
    "laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9))
        for name in range(ord("b"), ord("j"))
    ),
    "an endless circle": b"&a [*a]",
}


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(server: Any) -> Any:
    async with server.client() as client:
        for handler, name in (("chat_completion", "echo-chat"), ("prompt_to_string", "echo")):
            transition = {"branches": [{"operator": "default", "goto": "end"}]}
            config = {"model": "echo"}
            task = {"id": "a", "handler": handler, "execute_config": config}
            chain = {"id": name, "tasks": [{**task, "transition": transition}]}
            assert (await client.post("/taskchains", json=chain)).status_code == 201
        yield client


def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    assert 10 < len(error["message"]) < 1000, error["message"]
    if "/v1/" in response.url.path:
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert error["request_id"] == response.headers["x-request-id"]
    return error


async def test_what_is_good_is_taken(client: httpx.AsyncClient, route: str) -> None:
    """Otherwise everything below would be refused for another reason."""
    body, _ = ROUTES[route]
    response = await client.post(route, json={**body, "unknown": {"field": [None]}, "": 1})
    if route == "/embed":
        # the default model of this server hangs, on purpose
        assert response.status_code == 504
    else:
        assert response.status_code in (200, 201), response.text


@pytest.mark.parametrize("what", MALFORMED)
async def test_no_json(client: httpx.AsyncClient, route: str, what: str) -> None:
    check(await client.post(route, content=MALFORMED[what]), 400, "bad_request")


@pytest.mark.parametrize("what", NO_YAML)
async def test_no_yaml(client: httpx.AsyncClient, route: str, what: str) -> None:
    began = time.monotonic()
    headers = {"content-type": "application/yaml"}
    response = await client.post(route, content=NO_YAML[what], headers=headers)
    assert time.monotonic() - began < 3
    check(response, 400, "bad_request")


@pytest.mark.parametrize("value", ["[]", '"text"', "5", "true", "[[]]", "1.5"])
async def test_no_object(client: httpx.AsyncClient, route: str, value: str) -> None:
    error = check(await client.post(route, content=value), 422, "unprocessable_entity")
    assert "object" in error["message"]


async def test_a_field_of_the_wrong_type(client: httpx.AsyncClient, route: str) -> None:
    good, wrong = ROUTES[route]
    error = check(await client.post(route, json=good | wrong), 422, "unprocessable_entity")
    (name,) = wrong
    assert error["param"].partition(".")[0] == name
    assert name in error["message"]


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", ";;", "a/b/c"],
)
async def test_another_media_type(client: httpx.AsyncClient, route: str, media: str) -> None:
    headers = {"content-type": media}
    error = check(
        await client.post(route, content=b'{"prompt": "hi"}', headers=headers),
        415,
        "unsupported_media",
    )
    assert "Content-Type: application/json" in error["message"]


@pytest.mark.parametrize("declared", [True, False])
async def test_twenty_megabytes(client: httpx.AsyncClient, route: str, declared: bool) -> None:
    """Refused before it is read where its size is told, else as soon as it is too much."""
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        for _ in range(320):
            sent += 65536
            yield b"x" * 65536

    content = b'{"prompt": "' + b"x" * (20 << 20) + b'"}' if declared else pieces()
    try:
        response = await client.post(route, content=content)
    except OSError:
        pytest.fail("the connection broke before there was an answer")
    error = check_large(response)
    assert "RUNTIME_MAX_BODY" in error["message"]


def check_large(response: httpx.Response) -> dict[str, Any]:
    return check(response, 413, "request_too_large")


async def test_numbers_without_end(client: httpx.AsyncClient, route: str) -> None:
    good, _ = ROUTES[route]
    for number in ("1e999", "-1e999", "9" * 5000, "1" + "0" * 400 + ".5"):
        text = json.dumps(good)[:-1] + f', "unknown": {number}, "seed": {number}}}'
        response = await client.post(route, content=text)
        assert response.status_code in (200, 201, 400, 422, 504), response.text


async def test_many_small_things(client: httpx.AsyncClient, route: str) -> None:
    """Nine megabytes of the smallest values are read or refused, and soon."""
    good, _ = ROUTES[route]
    text = json.dumps(good)[:-1] + ', "unknown": [' + ",".join(["{}"] * 3_000_000) + "]}"
    began = time.monotonic()
    response = await client.post(route, content=text)
    assert time.monotonic() - began < 10
    assert response.status_code < 500 or route == "/embed", response.text


async def test_base64_of_yaml(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/x-yaml-base64"}
    body = base64.b64encode(b"prompt: hi\nmodel_name: echo\n")
    answer = await client.post("/execute", content=body, headers=headers)
    assert answer.json()["response"] == "hi"
    for content in (b"no base64!", base64.b64encode(b"prompt: [")):
        check(await client.post("/execute", content=content, headers=headers), 400, "bad_request")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n{}",
        b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"NOT HTTP AT ALL\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["length", "negative", "chunk", "words", "TLS", "header", "path", "HTTP/2"],
)
async def test_what_is_no_request(server: Any, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_bytes)
    async with asyncio.timeout(5):
        line = await reader.readline()
    assert line.split(b" ")[1:2] in ([b"400"], [b"404"], [b"431"], []), line
    writer.close()
    await writer.wait_closed()
