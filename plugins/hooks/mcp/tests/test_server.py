"""Chains and hooks as an MCP server, as the SDK's own client sees it over a socket."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
import runtime_hooks_local
import runtime_hooks_mcp
import uvicorn
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from runtime_core import hookimpl, http
from runtime_core.app import create_app
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.errors import TaskFailed
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.types import Outcome, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

PATIENCE = 60
ERAS = ("2026-07-28", "legacy")


class Gate:
    """A task handler that waits, and tells what becomes of it."""

    accepts = frozenset(("string", "json"))
    returns = None
    transitions = None

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def run(self, call: Any) -> AsyncIterator[Outcome]:
        self.begun.set()
        try:
            await self.go.wait()
        except BaseException:
            self.cancelled.set()
            raise
        yield Outcome(call.value, "ok")


class Refuse:
    accepts = frozenset(("string",))
    returns = "string"
    transitions = frozenset(())

    async def run(self, call: Any) -> AsyncIterator[Outcome]:
        raise TaskFailed(f"will not do {call.value.data}")
        yield


class Answer:
    """Returns what the task's prompt template names, as JSON."""

    accepts = frozenset(("string", "json", "chat_history"))
    returns = "json"
    transitions = None

    async def run(self, call: Any) -> AsyncIterator[Outcome]:
        data = call.value.data
        shown = (
            {"given": data} if isinstance(data, (str, dict, list)) else {"type": call.value.type}
        )
        yield Outcome(Value(shown, "json"), "ok")


class Talk(Answer):
    accepts = frozenset(("chat_history",))


class Extra:
    """A plugin of the tests."""

    def __init__(self) -> None:
        self.gate = Gate()

    @hookimpl
    def register_task_handlers(self) -> Any:
        return {"gate": self.gate, "refuse": Refuse(), "answer": Answer(), "talk": Talk()}


class Running:
    """The server, on a socket."""

    def __init__(self, url: str, gate: Gate, stop: Callable[[], Awaitable[None]]) -> None:
        self.url = url
        self.gate = gate
        self.stop = stop

    @asynccontextmanager
    async def client(self, mode: str = ERAS[0], key: str = "") -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as plain,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=plain), mode=mode, cache=None
            ) as client,
        ):
            yield client

    async def store(
        self, chain_id: str, *handlers: str, key: str = "", task: Any = None, **fields: Any
    ) -> None:
        tasks = [
            {
                "id": f"t{number}",
                "handler": handler,
                **(task or {}),
                "transition": {
                    "branches": [
                        {
                            "operator": "default",
                            "goto": f"t{number + 1}" if number + 1 < len(handlers) else "end",
                        }
                    ]
                },
            }
            for number, handler in enumerate(handlers)
        ]
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{self.url}/taskchains",
                json={"id": chain_id, "tasks": tasks, **fields},
                headers={"X-API-Key": key} if key else {},
            )
        assert answer.status_code == 201, answer.text

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.post(f"{self.url}/mcp", json=body, headers=headers)


@pytest.fixture
def serve(tmp_path) -> Callable[..., AbstractAsyncContextManager[Running]]:
    @asynccontextmanager
    async def serving(
        token: str | None = None, *, itself: bool = False, **mcp: Any
    ) -> AsyncIterator[Running]:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if itself:
            mcp["servers"] = {"itself": {"url": f"{url}/mcp", "refresh": 0.1}}
        extra = Extra()
        settings = Settings(
            database_url=f"sqlite:///{tmp_path}/test.db",
            token=token,
            plugins={"mcp-hooks": mcp},
            tokenizer="estimate",
        )
        plugins = Plugins.of(
            {"mcp-hooks": runtime_hooks_mcp, "local-hooks": runtime_hooks_local, "extra": extra},
            settings=settings,
            task_handlers=builtin_handlers(),
            routes=http.kernel_routes(),
        )
        assert not plugins.quarantined, plugins.quarantined
        app = create_app(settings, plugins)
        with listener:
            server = uvicorn.Server(
                uvicorn.Config(app, ws="none", log_config=None, timeout_graceful_shutdown=1)
            )
            running = asyncio.create_task(server.serve([listener]))
            async with asyncio.timeout(PATIENCE):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.005)

            async def stop() -> None:
                server.should_exit = True
                await running

            try:
                yield Running(url, extra.gate, stop)
            finally:
                await stop()

    return serving


@pytest.fixture(params=ERAS)
def era(request) -> str:
    return request.param


def said(result: Any) -> str:
    return "\n".join(part.text for part in result.content)


async def test_chains_are_tools(serve, era):
    async with serve() as server:
        await server.store("echo it", "noop", description="Echoes.")
        async with server.client(era) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            [made] = [name for name in tools if name.startswith("echo_it_")]
            assert set(tools) == {made, "chat"}
            assert tools[made].description == "Echoes."
            assert tools[made].input_schema["required"] == ["input"]
            result = await client.call_tool(made, {"input": "hello"})
    assert (said(result), result.is_error) == ("hello", False)


async def test_the_schema_says_what_a_chain_takes(serve):
    async with serve() as server:
        await server.store("both", "answer")
        await server.store("talks", "talk")
        await server.store("texts", "refuse")
        await server.store("broken", "no_such_handler")
        async with server.client() as client:
            listed = (await client.list_tools()).tools
    taken = {tool.name: tool.input_schema["properties"]["input"] for tool in listed}
    assert [one["type"] for one in taken["both"]["anyOf"]] == ["string", "object"]
    assert taken["talks"]["type"] == taken["texts"]["type"] == "string"
    assert "type" not in taken["broken"]


async def test_text_and_data_reach_the_chain_as_what_they_are(serve, era):
    async with serve() as server:
        await server.store("any", "answer")
        await server.store("talks", "talk")
        async with server.client(era) as client:
            text = await client.call_tool("any", {"input": "hello"})
            data = await client.call_tool("any", {"input": {"a": [1]}})
            talk = await client.call_tool("talks", {"input": "hello"})
    assert text.structured_content == {"given": "hello"}
    assert data.structured_content == {"given": {"a": [1]}}
    assert said(data) == '{"given":{"a":[1]}}'
    assert talk.structured_content == {"type": "chat_history"}


async def test_a_run_that_fails_is_a_result_that_says_why(serve, era):
    async with serve() as server:
        await server.store("refuses", "refuse")
        await server.store("broken", "no_such_handler")
        async with server.client(era) as client:
            refused = await client.call_tool("refuses", {"input": "this"})
            broken = await client.call_tool("broken", {"input": "this"})
            missing = await client.call_tool("refuses", {})
    assert refused.is_error
    assert "will not do this" in said(refused)
    assert broken.is_error
    assert "no_such_handler" in said(broken)
    assert missing.is_error
    assert "'input' is missing" in said(missing)


async def test_an_unknown_tool_is_an_error_of_the_protocol(serve, era):
    async with serve() as server, server.client(era) as client:
        with pytest.raises(MCPError, match="there is no tool 'nope'"):
            await client.call_tool("nope", {"input": ""})
        with pytest.raises(MCPError, match="there is no tool 'echo__echo'"):
            await client.call_tool("echo__echo", {"input": ""})


async def test_only_the_chains_allowed_are_offered(serve):
    async with serve(chains=("one", "gone")) as server:
        await server.store("one", "noop")
        await server.store("two", "noop")
        async with server.client() as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["one"]
            with pytest.raises(MCPError, match="no tool 'two'"):
                await client.call_tool("two", {"input": ""})


async def test_chains_need_not_be_offered(serve):
    async with serve(offer_chains=False) as server, server.client() as client:
        assert (await client.list_tools()).tools == []
        with pytest.raises(MCPError, match="no tool 'chat'"):
            await client.call_tool("chat", {"input": ""})


async def test_many_chains_come_in_pages(serve, era):
    async with serve() as server:
        await asyncio.gather(*(server.store(f"c{number}", "noop") for number in range(130)))
        async with server.client(era) as client:
            first = await client.list_tools()
            second = await client.list_tools(cursor=first.next_cursor)
            names = [tool.name for tool in (*first.tools, *second.tools)]
            assert second.next_cursor is None
            assert set(names) == {"chat", *(f"c{number}" for number in range(130))}
            assert len(names) == 131
            with pytest.raises(MCPError, match="cursor"):
                await client.list_tools(cursor="nonsense")


async def test_a_name_is_listed_once_however_many_pages_there_are(serve):
    async with serve(offer_hooks=True) as server:
        await server.store("echo__echo", "noop")
        for number in range(101):
            await server.store(f"chain-{number}", "noop")
        names, cursor = [], None
        async with server.client() as client:
            while True:
                page = await client.list_tools(cursor=cursor)
                names += [tool.name for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert said(await client.call_tool("echo__echo", {"input": "chain"})) == "chain"
    assert names.count("echo__echo") == 1
    assert len(names) == len(set(names))


async def test_hooks_are_offered_where_wanted(serve, era):
    async with serve(offer_hooks=True) as server, server.client(era) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"echo__echo", "print__print", "chat"} <= set(names)
        result = await client.call_tool("echo__echo", {"input": "hello"})
        failed = await client.call_tool("echo__echo", {})
    assert said(result) == "hello"
    assert failed.is_error
    assert "needs the argument 'input'" in said(failed)


@pytest.mark.parametrize("asked", [False, True])
async def test_hooks_of_mcp_servers_only_where_asked_for(serve, toolserver, asked):
    tools = toolserver(tools=("add", "two words/ünïcode")).model_dump()
    async with (
        serve(offer_hooks=True, offer_mcp=asked, servers={"tools": tools}) as server,
        server.client() as client,
    ):
        add = {"name": "tools", "tool_name": "add", "args": {"a": 1, "b": 2}}
        await server.store("adds", "hook", task={"hook": add})
        async with asyncio.timeout(PATIENCE):
            while (result := await client.call_tool("adds", {"input": ""})).is_error:
                assert "is being connected" in said(result)
        assert said(result) == "3"
        listed = [tool.name for tool in (await client.list_tools()).tools]
        names = [name for name in listed if name.startswith("tools__")]
        if not asked:
            assert not names
            with pytest.raises(MCPError, match="no tool 'tools__add'"):
                await client.call_tool("tools__add", {"a": 1, "b": 2})
            return
        assert said(await client.call_tool("tools__add", {"a": 1, "b": 2})) == "3"
        [made] = [name for name in names if name != "tools__add"]
        assert said(await client.call_tool(made, {})) == "called two words/ünïcode"


async def test_fifty_calls_at_once(serve, era):
    async with serve() as server:
        await server.store("any", "answer")
        async with server.client(era) as client:
            results = await asyncio.gather(
                *(client.call_tool("any", {"input": str(number)}) for number in range(50))
            )
    assert [one.structured_content["given"] for one in results] == [str(n) for n in range(50)]


async def test_a_client_that_cancels_ends_the_run(serve):
    async with serve() as server:
        await server.store("waits", "gate")
        async with server.client() as client:
            calling = asyncio.create_task(client.call_tool("waits", {"input": ""}))
            async with asyncio.timeout(PATIENCE):
                await server.gate.begun.wait()
                calling.cancel()
                await server.gate.cancelled.wait()


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_a_client_that_goes_away_ends_the_run(serve, version):
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = {"name": "waits", "arguments": {"input": ""}, "_meta": meta}
    headers = {
        "MCP-Protocol-Version": version,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "waits",
        "Accept": "application/json, text/event-stream",
    }
    async with serve() as server:
        await server.store("waits", "gate")
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        posting = asyncio.create_task(server.post(body, **headers))
        async with asyncio.timeout(PATIENCE):
            await server.gate.begun.wait()
            posting.cancel()
            await server.gate.cancelled.wait()


async def test_steps_are_told_as_progress(serve):
    told: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message))

    async with serve() as server:
        await server.store("three", "noop", "noop", "noop")
        async with server.client() as client:
            result = await client.call_tool("three", {"input": "x"}, progress_callback=progress)
    assert said(result) == "x"
    assert told == [(1, "t0"), (2, "t1"), (3, "t2")]


async def test_a_chain_that_calls_itself_comes_to_an_end(serve, era):
    async with serve(itself=True) as server:
        await server.store("one", "noop")
        again = {"hook": {"name": "itself", "tool_name": "again"}}
        await server.store("again", "hook", task=again)
        async with server.client(era) as client, asyncio.timeout(PATIENCE):
            result = await client.call_tool("again", {"input": "x"})
            while "is not there" in said(result) or "has no tool" in said(result):
                result = await client.call_tool("again", {"input": "x"})
    assert result.is_error
    assert said(result).count("itself.again: ") == 5
    assert "5 MCP servers have passed this call on" in said(result)


LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


async def test_a_key_is_needed_as_everywhere(serve):
    async with serve(token="root-key") as server:
        for headers in ({}, {"X-API-Key": "wrong"}):
            answer = await server.post(LIST, **headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
        await server.store("one", "noop", key="root-key")
        async with server.client(key="root-key") as client:
            assert said(await client.call_tool("one", {"input": "in"})) == "in"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "https://[::1]:8"}, 200),
        ({"Origin": "https://good.example"}, 200),
        ({"Origin": "https://good.example.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": ""}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:80"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "known.example:8081"}, 200),
        ({"Host": "192.0.2.7:8081"}, 200),
        ({"Host": "evil.example", "Origin": "http://localhost"}, 403),
    ],
)
async def test_pages_of_other_sites_are_refused(serve, headers, status):
    async with serve(
        allowed_origins=("https://good.example",), allowed_hosts=("known.example",)
    ) as server:
        answer = await server.post(LIST, **headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["type"] == "authorization_error"


async def test_with_a_key_any_name_will_do(serve):
    async with serve(token="root-key") as server:
        key = {"X-API-Key": "root-key"}
        assert (await server.post(LIST, Host="api.example", **key)).status_code == 200
        assert (await server.post(LIST, Origin="http://evil.example", **key)).status_code == 403


async def test_what_is_no_message_is_refused_in_words(serve):
    async with serve() as server, httpx.AsyncClient() as client:
        url = f"{server.url}/mcp"
        empty = await client.post(url)
        broken = await client.post(url, content=b"{", headers={"Content-Type": "application/json"})
        method = await client.get(url)
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "bad_request")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, -32700)
    assert (method.status_code, method.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
)
async def test_other_content_types_are_refused_in_words(serve, kind):
    async with serve() as server, httpx.AsyncClient() as client:
        answer = await client.post(
            f"{server.url}/mcp", content=b"{}", headers={"Content-Type": kind}
        )
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]["message"]


async def test_a_hostile_name_costs_nothing(serve, era):
    async with serve(offer_hooks=True) as server, server.client(era) as client:
        name = "_" * 20_000
        async with asyncio.timeout(5):
            with pytest.raises(MCPError, match="there is no tool '____") as raised:
                await client.call_tool(name, {})
    assert len(str(raised.value)) < 500


async def test_the_body_limit_holds(serve):
    async with serve() as server:
        answer = await server.post({**LIST, "params": {"x": "x" * 11_000_000}})
    assert answer.status_code == 413


async def test_a_server_that_stops_ends_what_runs(serve, era):
    async with serve() as server:
        await server.store("waits", "gate")
        async with server.client(era) as client:
            calling = asyncio.create_task(client.call_tool("waits", {"input": ""}))
            async with asyncio.timeout(PATIENCE):
                await server.gate.begun.wait()
                await server.stop()
            assert server.gate.cancelled.is_set()
            with pytest.raises(MCPError):
                await calling


def test_the_sdk_is_not_imported_before_it_is_needed():
    import subprocess

    code = (
        "import sys, runtime_hooks_mcp, runtime_hooks_mcp.routes as r; "
        "from runtime_core.types import PluginContext as C; "
        "s = runtime_hooks_mcp.settings_model()(); "
        "runtime_hooks_mcp.register_hook_sources(C('mcp-hooks', s)); "
        "sys.exit(bool({'mcp', 'mcp_types', 'httpx2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
