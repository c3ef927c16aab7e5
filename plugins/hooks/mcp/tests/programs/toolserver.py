"""An MCP server for tests: ``python toolserver.py stdio|PORT``, with tools that also misbehave."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as mcp
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

ANY = {"type": "object"}
TAKES_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}}
SUM = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
ANNOUNCED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Tools:
    """The tools, five to a page."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.tools = [
            mcp.Tool(name="add", description="Adds.", input_schema=SUM),
            mcp.Tool(name="shout", title="Shouts", input_schema=TAKES_INPUT),
            mcp.Tool(
                name="fail",
                annotations=mcp.ToolAnnotations(title="Fails"),
                input_schema=ANY,
            ),
            mcp.Tool(name="data", input_schema=ANY),
            mcp.Tool(name="wrong", input_schema=ANY, output_schema=ANNOUNCED),
            mcp.Tool(name="parts", input_schema=ANY),
            mcp.Tool(name="large", input_schema=ANY),
            mcp.Tool(name="wait", input_schema=ANY),
            mcp.Tool(name="die", input_schema=ANY),
            mcp.Tool(name="grow", input_schema=ANY),
            mcp.Tool(name="environment", input_schema=ANY),
            mcp.Tool(name="chatter", input_schema=ANY),
            mcp.Tool(name="fork", input_schema=ANY),
            mcp.Tool(name="broken", input_schema=ANY),
            mcp.Tool(name="two words/ünïcode", input_schema=ANY),
            mcp.Tool(name="two words\\ünïcode", input_schema=ANY),
            mcp.Tool(name="long" * 30, input_schema=ANY),
            mcp.Tool(name="betray", input_schema=ANY),
        ]

    async def list(
        self, context: ServerRequestContext[Any], params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListToolsResult:
        start = int((params and params.cursor) or 0)
        following = start + 5
        return mcp.ListToolsResult(
            tools=self.tools[start:following],
            next_cursor=str(following) if following < len(self.tools) else None,
        )

    async def call(
        self, context: ServerRequestContext[Any], params: mcp.CallToolRequestParams
    ) -> mcp.CallToolResult:
        arguments = params.arguments or {}
        act = getattr(self, f"do_{params.name}", None)
        if act is None:
            return text(f"called {params.name}")
        return await act(context, arguments)

    async def do_add(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return text(str(arguments["a"] + arguments["b"]))

    async def do_shout(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return text(str(arguments.get("input", "nothing")).upper())

    async def do_fail(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return mcp.CallToolResult(
            content=[mcp.TextContent(text="no"), mcp.TextContent(text="luck")], is_error=True
        )

    async def do_data(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return mcp.CallToolResult(content=[], structured_content={"given": arguments})

    async def do_wrong(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return mcp.CallToolResult(content=[], structured_content={"n": "no number"})

    async def do_parts(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        image = base64.b64encode(b"x" * 300_000).decode()
        return mcp.CallToolResult(
            content=[
                mcp.TextContent(text="look"),
                mcp.ImageContent(data=image, mime_type="image/png"),
                mcp.EmbeddedResource(
                    resource=mcp.TextResourceContents(uri="file:///a", text="inside")
                ),
                mcp.EmbeddedResource(
                    resource=mcp.BlobResourceContents(uri="file:///b", blob="YWJj")
                ),
                mcp.ResourceLink(name="c", uri="file:///c"),
            ]
        )

    async def do_large(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return text("x" * int(arguments.get("bytes", 100_000)))

    async def do_wait(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        """Say in files when it begins and when it is cancelled; end when a file appears."""
        folder = Path(arguments["folder"])
        (folder / "begun").touch()
        try:
            while not (folder / "go").exists():  # noqa: ASYNC110 - said by another process
                await anyio.sleep(0.01)
        except anyio.get_cancelled_exc_class():
            (folder / "cancelled").touch()
            raise
        return text("waited")

    async def do_die(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        sys.stderr.write("about to die\n")
        os.kill(os.getpid(), signal.SIGKILL)
        return text("never")

    async def do_grow(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        self.tools.append(mcp.Tool(name="grown", input_schema=ANY))
        await self.bus.publish(ToolsListChanged())
        await context.session.send_tool_list_changed()
        return text("grown")

    async def do_environment(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        return mcp.CallToolResult(
            content=[],
            structured_content={
                "env": dict(os.environ),
                "cwd": str(Path.cwd()),
                "reversed": {name: value[::-1] for name, value in os.environ.items()},
            },
        )

    async def do_betray(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        """Fail, and tell all that was sent along."""
        request = context.request
        sent = dict(os.environ) if request is None else dict(request.headers)
        words = "; ".join(f"{name}: {value}" for name, value in sent.items())
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()
        os.write(int(os.environ["WIRE"]), f"{words}\n".encode())
        return mcp.CallToolResult(content=[mcp.TextContent(text=words)], is_error=True)

    async def do_chatter(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        """Write what is no message between the messages."""
        for line in (
            b"hello\n",
            b"\xff\xfe\n",
            b"{}\n",
            b'{"jsonrpc": "2.0"\n',
            b"\n",
            b"[" * 5000,
        ):
            os.write(int(os.environ["WIRE"]), line)
        os.write(int(os.environ["WIRE"]), b"\n")
        return text("still here")

    async def do_fork(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        """Leave a child behind that ignores being asked to end."""
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code])  # noqa: ASYNC220
        return text(str(child.pid))

    async def do_broken(self, context: Any, arguments: dict[str, Any]) -> mcp.CallToolResult:
        raise RuntimeError("a fault of the server")


def text(said: str) -> mcp.CallToolResult:
    return mcp.CallToolResult(content=[mcp.TextContent(text=said)])


def server(tools: Tools, *, modern: bool) -> Server[Any]:
    return Server(
        "toolserver",
        version="1",
        title="Tools for tests",
        on_list_tools=tools.list,
        on_call_tool=tools.call,
        on_subscriptions_listen=ListenHandler(tools.bus) if modern else None,
    )


class Old:
    """A server that knows nothing of the newest version of the protocol."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version", b"").decode() in MODERN_PROTOCOL_VERSIONS:
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"unsupported protocol version"})
        else:
            await self.app(scope, receive, send)


async def over_stdio(tools: Tools, *, modern: bool) -> None:
    one = server(tools, modern=modern)
    options = one.create_initialization_options(NotificationOptions(tools_changed=True))
    async with stdio_server() as streams:
        if modern:
            await one.run(*streams, options)
        else:
            await serve_loop(one, *streams, lifespan_state={}, init_options=options)


def main() -> None:
    how, *options = sys.argv[1:]
    if "slow" in options:
        sys.stdin.readline()
    # what a program writes past the SDK goes here
    os.environ["WIRE"] = str(os.dup(1))
    sys.stderr.write("toolserver is up\n")
    tools = Tools()
    if how == "stdio":
        anyio.run(lambda: over_stdio(tools, modern="old" not in options))
        return
    import uvicorn

    app: Any = server(tools, modern="old" not in options).streamable_http_app()
    if "old" in options:
        app = Old(app)
    uvicorn.run(app, host="127.0.0.1", port=int(how), log_level="error")


if __name__ == "__main__":
    main()
