"""Upstreams that hang, break off, lie or talk nonsense: a clear answer, and nothing is left."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def event(data: bytes) -> bytes:
    return chunked(b"data: " + data + b"\n\n")


def delta(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event(json.dumps({"id": "x", "model": "gpt-fake", "choices": [choice]}).encode())


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
JSON = "content-type: application/json"
DEEP = b'{"choices":' + b"[" * 100_000

#: What goes wrong before the first piece of an answer: how the upstream behaves, what it says.
EARLY: dict[str, tuple[str, tuple[bytes, ...], int, str]] = {
    "hangs": ("hang", (), 504, "timeout"),
    "hangs after its headers": ("hang", (HEAD,), 504, "timeout"),
    "closes": ("close", (), 502, "upstream_error"),
    "closes after its headers": ("close", (HEAD,), 502, "upstream_error"),
    "resets": ("reset", (), 502, "upstream_error"),
    "resets after its headers": ("reset", (HEAD,), 502, "upstream_error"),
    "speaks no HTTP": ("close", (b"\x00\xff\xfe not HTTP at all\r\n\r\n",), 502, "upstream_error"),
    "ends before it begins": ("close", (HEAD, END), 502, "upstream_error"),
    "ends without an answer": ("close", (HEAD, event(b"[DONE]"), END), 502, "upstream_error"),
    "sends a page": (
        "close",
        (whole(b"<html>Welcome!</html>", "200 OK", "content-type: text/html"),),
        502,
        "upstream_error",
    ),
    "sends half of its JSON": ("close", (whole(b'{"choices": [', "200 OK", JSON),), 502, ""),
    "sends less than it said": (
        "close",
        (b'HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{"choices": [',),
        502,
        "upstream_error",
    ),
    "sends an event of nonsense": ("close", (HEAD, event(b"{nonsense"), END), 502, ""),
    "sends no UTF-8": (
        "close",
        (HEAD, event(b'{"choices":[{"delta":{"content":"\xff\xfe"}}]}'), END),
        502,
        "upstream_error",
    ),
    "sends other types": ("close", (HEAD, event(b'{"choices":[{"delta":5}]}'), END), 502, ""),
    "nests deeply": ("close", (HEAD, event(DEEP), END), 502, "upstream_error"),
    "sends bad chunks": ("close", (HEAD, b"zz\r\nhello\r\n"), 502, "upstream_error"),
    "redirects": (
        "close",
        (whole(b"", "302 Found", "location: http://127.0.0.1:1/"),),
        502,
        "upstream_error",
    ),
    "says no": ("close", (whole(b'{"error": "no"}', "400 Bad", JSON),), 502, "upstream_error"),
    "knows no such key": ("close", (whole(b"", "401 Unauthorized", JSON),), 502, "upstream_error"),
    "broke": ("close", (whole(b"oops", "500 Oops"),), 502, "upstream_error"),
    "is overloaded": ("close", (whole(b"", "503 Busy"),), 502, "upstream_error"),
    "asks for patience": (
        "close",
        (whole(b"", "429 Slow Down", "retry-after: 7"),),
        429,
        "rate_limit_exceeded",
    ),
    "reports an error as an answer": (
        "close",
        (HEAD, event(b'{"error":{"message":"overloaded"}}'), END),
        502,
        "upstream_error",
    ),
}

#: What goes wrong after the first two pieces.
MIDWAY: dict[str, tuple[str, tuple[bytes, ...], str]] = {
    "hangs": ("hang", (), "timeout"),
    "closes": ("close", (), "upstream_error"),
    "ends without a reason": ("close", (event(b"[DONE]"), END), "upstream_error"),
    "ends half a piece": ("close", (chunked(b'data: {"choices": [{"del'), END), "upstream_error"),
    "resets": ("reset", (), "upstream_error"),
    "turns to nonsense": ("close", (event(b"{nonsense"), END), "upstream_error"),
    "reports an error": (
        "close",
        (event(b'{"error":{"message":"overloaded"}}'), END),
        "upstream_error",
    ),
}


def check_error(response: httpx.Response, status: int, code: str, *, openai: bool) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error["code"] == (code or "upstream_error")
    assert error["type"] == ("rate_limit_error" if status == 429 else "api_error")
    assert len(error["message"]) > 10
    assert "sk-fake" not in response.text
    assert "Traceback" not in response.text
    if openai:
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert error["request_id"] == response.headers["x-request-id"]
        assert response.json()["runId"] == response.headers["x-run-id"]


@pytest.mark.parametrize("how", EARLY)
async def test_before_the_answer(server: Any, ask: Any, upstreams: Any, how: str) -> None:
    """Streams have not begun yet: they fail with a status, as everything else does."""
    kind, said, status, code = EARLY[how]
    server.upstream.behave = getattr(upstreams, kind)(*said)
    async with server.client() as client:
        response = await client.post(ask.path, json=ask.body, headers=ask.headers)
    if ask.path == "/tasks" and ask.streams:
        # the run itself is what is shown: it has begun with its first step
        assert response.status_code == 200
        assert error_of(response)["code"] == (code or "upstream_error")
        return
    check_error(response, status, code, openai=ask.openai)
    if status == 429:
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("how", MIDWAY)
async def test_in_the_middle(server: Any, ask: Any, upstreams: Any, how: str) -> None:
    kind, said, code = MIDWAY[how]
    begun = (HEAD, delta("  one"), delta("\n\n two"))
    server.upstream.behave = getattr(upstreams, kind)(*begun, *said)
    async with server.client() as client:
        response = await client.post(ask.path, json=ask.body, headers=ask.headers)
    if not ask.streams:
        status = 504 if code == "timeout" else 502
        check_error(response, status, code, openai=ask.openai)
        return
    assert response.status_code == 200
    assert "one" in response.text
    assert "two" in response.text
    assert "[DONE]" not in response.text
    assert error_of(response)["code"] == code


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return the error of a stream's last frame; no frame before it has one."""
    *frames, last, rest = response.text.split("\n\n")
    assert rest == ""
    assert not any('"error":{"message"' in frame for frame in frames)
    error: dict[str, Any] = json.loads(last.removeprefix("data: "))["error"]
    return error


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ((HEAD,), chunked(b"data: " + b"x" * 65536)),
        ((HEAD, b"ffffffff\r\n"), b"x" * 65536),
        ((b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[",), b'"x",' * 16384),
        ((b"HTTP/1.1 200 OK\r\nx-header: ",), b"x" * 65536),
        ((b"HTTP/1.1 500 Oops\r\n\r\n",), b"x" * 65536),
    ],
    ids=["an event", "a chunk", "a document", "a header", "an error"],
)
async def test_what_never_ends(patient: Any, upstreams: Any, said: Any, again: bytes) -> None:
    """Nothing is read without end into memory, however long there is to read it."""
    patient.upstream.behave = upstreams.forever(*said, again=again)
    async with patient.client() as client:
        response = await client.post("/execute", json={"prompt": "hi"})
    check_error(response, 502, "upstream_error", openai=False)


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/openai/ask/v1/embeddings"])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        (("hang",), 504),
        (("close",), 502),
        (("reset",), 502),
        (("close", whole(b'{"data": [', "200 OK", JSON)), 502),
        (("close", whole(b'{"data": []}', "200 OK", JSON)), 502),
        (("close", whole(b'{"data": [{"embedding": "no", "index": 0}]}', "200 OK", JSON)), 502),
        (("close", whole(b"", "429 Slow Down", "retry-after: 7")), 429),
    ],
    ids=["hangs", "closes", "resets", "half", "none", "nonsense", "patience"],
)
async def test_embeddings(
    server: Any, upstreams: Any, path: str, how: tuple[Any, ...], status: int
) -> None:
    kind, *said = how
    server.upstream.behave = getattr(upstreams, kind)(*said)
    body = {"text": "hi"} if path == "/embed" else {"input": "hi", "model": "text-embedding-fake"}
    async with server.client() as client:
        response = await client.post(path, json=body)
    assert response.status_code == status, response.text
    code = {504: "timeout", 502: "upstream_error", 429: "rate_limit_exceeded"}[status]
    assert response.json()["error"]["code"] == code


async def test_nothing_is_left_open(server: Any, upstreams: Any) -> None:
    """Forty calls that fail in every way, three times over: not one file more than after once."""

    async def all_ways() -> None:
        for kind, said, *_ in (*EARLY.values(), *MIDWAY.values()):
            server.upstream.behave = getattr(upstreams, kind)(*said)
            async with server.client() as client:
                await asyncio.gather(
                    client.post("/execute", json={"prompt": "hi"}),
                    client.post("/chat", json={"message": "hi", "stream": True}),
                )

    await all_ways()
    files, tasks = await server.open_files(), len(asyncio.all_tasks())
    for _ in range(2):
        await all_ways()
    assert await server.open_files() <= files + 2
    assert len(asyncio.all_tasks()) <= tasks + 2
