from __future__ import annotations

import httpx
import pytest

from runtime_core.cli.client import Failure, Server, one_line, path_of, url_of


def server(answer, **options) -> Server:
    """Return a server that answers every request with *answer*, or what it returns or raises."""

    def respond(request: httpx.Request) -> httpx.Response:
        return answer(request) if callable(answer) else answer

    return Server("http://s:1", transport=httpx.MockTransport(respond), **options)


async def failure_of(answer) -> Failure:
    async with server(answer) as asked:
        with pytest.raises(Failure) as caught:
            await asked.ask("GET", "/things")
    return caught.value


async def events_of(answer) -> list[dict]:
    async with server(answer) as asked:
        return [event async for event in asked.events("/tasks", {"input": 1})]


def refuse(request):
    raise httpx.ConnectError("refused", request=request)


# -------------------------------------------------------------------------
# Answers
# -------------------------------------------------------------------------


async def test_an_answer_and_its_headers():
    seen = []

    def answer(request):
        seen.append((request.method, str(request.url), request.content, request.headers))
        return httpx.Response(200, json={"a": 1}, headers={"X-Next-Cursor": "c"})

    async with server(answer, token="k") as asked:
        found, headers = await asked.ask("POST", "/t", {"ü": 1}, params={"limit": "2"})
    assert (found, headers["x-next-cursor"]) == ({"a": 1}, "c")
    method, url, content, sent = seen[0]
    assert (method, url, content) == ("POST", "http://s:1/t?limit=2", '{"ü":1}'.encode())
    assert (sent["x-api-key"], sent["content-type"]) == ("k", "application/json")


async def test_an_envelope_becomes_one_line():
    body = {"error": {"message": "nobody can:\n- a on b\n- c\x1b[31m\nis out"}, "runId": "r1"}
    failure = await failure_of(httpx.Response(503, json=body))
    assert failure.message == "nobody can: a on b; c [31m is out"
    assert (failure.status, failure.run_id) == (503, "r1")


async def test_the_run_is_also_named_by_a_header():
    response = httpx.Response(502, json={"error": {"message": "x"}}, headers={"X-Run-ID": "r2"})
    assert (await failure_of(response)).run_id == "r2"


async def test_a_missing_key_says_where_one_is_given():
    failure = await failure_of(httpx.Response(401, json={"error": {"message": "no"}}))
    assert failure.message == "no; a key is given with --token or TOKEN"
    failure = await failure_of(httpx.Response(403, json={"error": {"message": "no"}}))
    assert failure.message == "no"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(502, html="<h1>Bad\n gateway</h1>"), "http://s:1 answered 502 Bad Gateway: "
         "<h1>Bad gateway</h1>"),
        (httpx.Response(502), "http://s:1 answered 502 Bad Gateway"),
        (httpx.Response(404, html="<h1>Not here</h1>"), "http://s:1 answered /things with 404 Not "
         "Found; is it a server of this kind?"),
        (httpx.Response(501, text="POST?"), "http://s:1 answered /things with 501 Not Implemented; "
         "is it a server of this kind?"),
        (httpx.Response(404, json={"error": {"message": "serverops: not found"}}), "http://s:1 has "
         "no /things; correct the address, or install the plugin that answers there (see there: "
         "runtime plugins)"),
        (httpx.Response(404, json={"error": {"message": "task chain 'a' not found"}}),
         "task chain 'a' not found"),
        (httpx.Response(500, json={"error": "text only"}), "text only"),
        (httpx.Response(500, json={"error": None}), "the server gives no reason"),
        (httpx.Response(500, json=["x"]), 'http://s:1 answered 500 Internal Server Error: ["x"]'),
        (httpx.Response(200, html="<p>"), "http://s:1 answered /things with something else than "
         "JSON; is it a server of this kind?"),
        (refuse, "no server answers at http://s:1; start one with: runtime serve"),
    ],
)  # fmt: skip
async def test_what_is_no_answer(answer, message):
    assert (await failure_of(answer)).message == message


async def test_patience_has_an_end():
    def answer(request):
        raise httpx.ReadTimeout("slow", request=request)

    assert "took too long" in (await failure_of(answer)).message


@pytest.mark.parametrize(
    ("answer", "alive"),
    [
        (httpx.Response(200, json={"status": "ok"}), True),
        (httpx.Response(200, text="OK"), False),
        (httpx.Response(200, json=["ok"]), False),
        (httpx.Response(404, json={"error": {}}), False),
        (refuse, False),
    ],
)
async def test_only_a_server_of_this_kind_is_taken_for_one(answer, alive):
    async with server(answer) as asked:
        assert await asked.alive() is alive


# -------------------------------------------------------------------------
# Streams
# -------------------------------------------------------------------------


async def test_events_come_as_they_are_cut():
    """A line separator of Unicode is text, not the end of a line."""
    body = ': hi\n\ndata: {"text": "a\u2028b\x85c"}\n\ndata: {"n": 1}\n\ndata: [DONE]\n\n'

    async def pieces():
        for byte in body.encode():
            yield bytes([byte])

    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(200, content=pieces())

    assert await events_of(answer) == [{"text": "a\u2028b\x85c"}, {"n": 1}]
    assert seen[0].headers["accept"] == "text/event-stream"
    assert seen[0].content == b'{"input":1}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('data: {"error": {"message": "broke"}, "runId": "r"}\n\n', "broke"),
        ("data: {\n\n", "http://s:1 sent an event that is not JSON"),
        ("data: []\n\n", "http://s:1 sent an event that is no object"),
    ],
)
async def test_a_stream_that_fails(body, message):
    with pytest.raises(Failure) as caught:
        await events_of(httpx.Response(200, text=body))
    assert caught.value.message == message


async def test_a_stream_that_breaks_off():
    async def pieces():
        yield b'data: {"n": 1}\n\n'
        raise httpx.RemoteProtocolError("gone")

    with pytest.raises(Failure) as caught:
        await events_of(httpx.Response(200, content=pieces()))
    assert caught.value.message == (
        "the server at http://s:1 went away before its answer was complete"
    )


async def test_a_stream_that_is_refused():
    with pytest.raises(Failure) as caught:
        await events_of(httpx.Response(400, json={"error": {"message": "no"}}))
    assert (caught.value.message, caught.value.status) == ("no", 400)


async def test_closing_the_events_closes_the_connection():
    class Stream(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self):
            yield b'data: {"n": 1}\n\n'
            yield b'data: {"n": 2}\n\n'

        async def aclose(self):
            self.closed = True

    stream = Stream()
    async with server(httpx.Response(200, stream=stream)) as asked:
        events = asked.events("/tasks", {})
        assert await anext(events) == {"n": 1}
        assert not stream.closed
        await events.aclose()
        assert stream.closed


# -------------------------------------------------------------------------
# Addresses
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
        ("localhost:9", "http://localhost:9"),
        ("https://example.org/runtime", "https://example.org/runtime"),
        ("[::1]:8081", "http://[::1]:8081"),
    ],
)
async def test_addresses(given, url):
    async with Server(given) as asked:
        assert asked.url == url


@pytest.mark.parametrize(
    "given", ["", "http://", "ftp://x", "http://x:port", "http://x:99999", "http://x y", "::1"]
)
def test_what_is_no_address(given):
    with pytest.raises(Failure, match="is no address of a server; one is"):
        Server(given)


@pytest.mark.parametrize(
    ("addr", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("fe80::1", "http://[fe80::1]:1"),
        ("box", "http://box:1"),
    ],
)
def test_where_a_server_of_this_machine_is_reached(addr, url):
    assert url_of(addr, 1) == url


def test_paths_hold_any_name():
    assert path_of("taskchains", "a/b ü%?#") == "/taskchains/a%2Fb%20%C3%BC%25%3F%23"


def test_one_line():
    assert one_line("a\n  b\tc\x07") == "a b c"
    assert one_line("these:\n- x\n- y") == "these: x; y"
