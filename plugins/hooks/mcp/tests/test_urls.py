"""MCP servers behind a URL."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from runtime_hooks_mcp.settings import ServerSettings

from runtime_core.errors import TaskFailed, TimedOut, UpstreamError, UpstreamUnavailable
from runtime_core.testing.loopback import serve
from runtime_core.types import ToolRequest


@pytest.fixture(params=["new", "old"])
def web(request, start_web):
    return start_web() if request.param == "new" else start_web("old")


@pytest.fixture
async def server(web, keep):
    async with keep(ServerSettings(url=web.url)) as kept:
        await kept.up()
        yield kept


async def test_its_tools_can_be_called(server):
    assert len(server.link.info.tools) == 18
    assert await server.call("add", a=1, b=2) == "3"
    assert await server.call("data", x=1) == {"given": {"x": 1}}
    with pytest.raises(TaskFailed, match="no\nluck"):
        await server.call("fail")


async def test_calls_run_side_by_side(server, tmp_path, appears):
    waiting = asyncio.create_task(server.call("wait", folder=str(tmp_path)))
    await appears(tmp_path / "begun")
    answers = await asyncio.gather(*(server.call("add", a=n, b=1) for n in range(50)))
    assert answers == [str(n + 1) for n in range(50)]
    assert not waiting.done()
    (tmp_path / "go").touch()
    assert await waiting == "waited"


async def test_a_cancelled_call_is_cancelled_in_the_server(server, tmp_path, appears):
    waiting = asyncio.create_task(server.call("wait", folder=str(tmp_path)))
    await appears(tmp_path / "begun")
    waiting.cancel()
    await appears(tmp_path / "cancelled")
    assert await server.call("add", a=1, b=2) == "3"


async def test_a_call_that_takes_too_long_is_given_up(web, keep, tmp_path, appears):
    async with keep(ServerSettings(url=web.url, timeout=0.3)) as kept:
        await kept.up()
        with pytest.raises(TimedOut, match=r"no answer within 0\.3 s"):
            await kept.call("wait", folder=str(tmp_path))
        await appears(tmp_path / "cancelled")


async def test_the_time_to_connect_is_no_time_to_live(web, server, keep):
    """The first link has waited for the server to be up."""
    async with keep(ServerSettings(url=web.url, connect_timeout=1)) as kept:
        await kept.up()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):
                await kept.link.changed()


async def test_a_list_that_changes_is_read_again(server):
    await server.call("grow")
    info = await server.until(lambda info: any(tool.name == "grown" for tool in info.tools))
    assert len(info.tools) == 19


async def test_one_that_dies_fails_its_calls_and_is_found_again(web, server, tmp_path, appears):
    waiting = asyncio.create_task(server.call("wait", folder=str(tmp_path)))
    await appears(tmp_path / "begun")
    web.kill()
    with pytest.raises(UpstreamUnavailable):
        await waiting
    info = await server.until(lambda info: info.error)
    assert info.tools == ()
    with pytest.raises(UpstreamUnavailable, match="is not there"):
        await server.call("add", a=1, b=2)
    web.start()
    await server.up()
    assert await server.call("add", a=1, b=2) == "3"


async def test_one_that_was_restarted_unnoticed_is_connected_anew(web, keep):
    async with keep(ServerSettings(url=web.url, refresh=3600)) as kept:
        await kept.up()
        web.kill()
        web.start()
        await kept.until(lambda info: info.error)
        await kept.up()
        assert await kept.call("add", a=1, b=2) == "3"


async def test_a_result_that_is_too_large_spares_the_connection(web, keep):
    async with keep(ServerSettings(url=web.url, max_message=65536)) as kept:
        await kept.up()
        with pytest.raises(UpstreamError):
            await kept.call("large", bytes=500_000)
        assert await kept.call("add", a=1, b=2) == "3"


class Scripted:
    """A server that speaks HTTP and answers as the test wants."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.headers: list[dict[str, str]] = []

    async def respond(self, request, exchange):
        self.headers.append(request.headers)
        status, headers, body = self.answer(request)
        exchange.begin(status, headers)
        await exchange.send(body)
        exchange.end()


@pytest.fixture
def scripted(keep):
    """Keep a link to a scripted server; gives what the link says first, and the server."""

    async def ask(answer, **fields):
        server = Scripted(answer)
        async with (
            serve(server.respond, lambda: None) as url,
            keep(ServerSettings(url=f"{url}/mcp", **fields), key="s3cret") as kept,
        ):
            info = await kept.until(lambda info: "being connected" not in info.error)
        return info, server

    return ask


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (401, JSON, b'{"detail": "who are you"}', 'it answered 401.*"who are you"'),
        (500, {}, b"<h1>oops</h1>", "it answered 500.*oops"),
        (200, JSON, b"{broken", "Failed to parse JSON"),
        (200, JSON, b"\xff\xfe", "Failed to parse JSON"),
        (200, JSON, b"x" * 100_000, "larger than max_message"),
        (200, {"content-type": "text/html"}, b"<h1>hello</h1>", "Unexpected content type"),
        (200, {"content-type": "text/event-stream"}, b"data: {broken\n\n", "Failed to parse"),
        (200, {"content-type": "text/event-stream"}, b"", "ended without a response"),
        (302, {"location": "http://169.254.169.254/"}, b"", "Redirect to .* not followed"),
        (202, {}, b"", "202 Accepted"),
        (404, {}, b"", "Not Found|does not speak MCP"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_the_reason(scripted, status, headers, body, reason):
    info, _ = await scripted(lambda request: (status, headers, body), max_message=65536)
    assert info.error
    assert re.search(reason, info.error), info.error


async def test_nobody_there_is_the_reason(keep, start_web):
    web = start_web()
    web.kill()
    async with keep(ServerSettings(url=web.url)) as kept:
        info = await kept.until(lambda info: "being connected" not in info.error)
    assert "cannot be reached" in info.error


async def test_headers_are_sent_with_their_secrets(scripted):
    _, server = await scripted(
        lambda request: (401, {}, b"not s3cret"), headers={"X-Key": "a {{secret:key}}"}
    )
    assert server.headers[0]["x-key"] == "a s3cret"
    assert server.headers[0]["user-agent"].startswith("runtime-api/")


async def test_a_secret_sent_back_is_not_shown(scripted):
    info, _ = await scripted(
        lambda request: (401, {}, b"Bearer s3cret is wrong"),
        headers={"Authorization": "Bearer {{secret:key}}"},
    )
    assert "401" in info.error
    assert "s3cret" not in info.error


async def test_a_secret_in_an_argument_belongs_into_the_headers(server):
    request = ToolRequest(
        hook="tools", tool="data", arguments={"k": "{{secret:key}}"}, secrets={"k": ("key",)}
    )
    with pytest.raises(TaskFailed, match=r"into headers of \[plugins\.mcp-hooks\.servers\.tools\]"):
        await server.link.call(request)


async def test_a_metadata_address_is_never_called(keep):
    async with keep(ServerSettings(url="http://169.254.169.254/mcp")) as kept:
        info = await kept.until(lambda info: "being connected" not in info.error)
    assert "cannot be reached" in info.error
    assert "169.254.169.254" in info.error


async def test_a_header_with_a_line_break_is_not_sent(keep, start_web):
    web = start_web()
    settings = ServerSettings(url=web.url, headers={"X-Key": "{{secret:key}}"})
    async with keep(settings, key="a\r\nX-Other: b") as kept:
        info = await kept.until(lambda info: "being connected" not in info.error)
    assert "'x-key' holds line breaks" in info.error


def listing(tools):
    def answer(request):
        message = json.loads(request.body)
        if message["method"] == "server/discover":
            return 404, {}, b""
        if message["method"] == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "s", "version": "1"},
            }
        elif message["method"] == "tools/list":
            result = tools(message.get("params") or {})
        else:
            return 202, {}, b""
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return 200, JSON, json.dumps(reply).encode()

    return answer


async def test_a_list_without_end_is_not_followed_for_ever(scripted):
    tool = {"name": "t", "inputSchema": {"type": "object"}}
    info, _ = await scripted(
        listing(lambda params: {"tools": [tool], "nextCursor": params.get("cursor", "") + "x"})
    )
    assert "has no end" in info.error


async def test_a_list_in_circles_is_not_followed_for_ever(scripted):
    info, server = await scripted(listing(lambda params: {"tools": [], "nextCursor": "again"}))
    assert "has no end" in info.error
    assert len(server.headers) < 12


async def test_tools_of_the_wrong_shape_are_the_reason(scripted):
    info, _ = await scripted(listing(lambda params: {"tools": [{"name": "a"}, {"name": "b"}]}))
    assert info.error == "its list of tools makes no sense: tools.0.inputSchema: Field required"
    assert info.tools == ()
