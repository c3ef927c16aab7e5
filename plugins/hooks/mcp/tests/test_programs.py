"""MCP servers that are programs."""

from __future__ import annotations

import asyncio
import logging
import re
import sys

import anyio
import psutil
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification
from runtime_hooks_mcp.settings import ServerSettings
from runtime_hooks_mcp.stdio import _write

from runtime_core.errors import (
    NotFound,
    TaskFailed,
    TimedOut,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.types import ToolRequest, Value


@pytest.fixture(params=["new", "old"])
async def server(request, keep, toolserver):
    options = () if request.param == "new" else ("old",)
    async with keep(toolserver(*options)) as kept:
        await kept.up()
        yield kept


async def test_its_tools_are_listed_with_names_that_fit(server):
    info = server.link.info
    names = [tool.name for tool in info.tools]
    assert (info.name, info.type, info.description) == ("tools", "mcp", "Tools for tests")
    assert names[:3] == ["add", "shout", "fail"]
    assert len(names) == len(set(names)) == 18
    assert sum(name.startswith("two_words__n_code_") for name in names) == 2
    assert all(len(name) <= 64 and name.replace("-", "_").isidentifier() for name in names)


async def test_descriptions_fall_back_on_titles(server):
    said = {tool.name: tool.description for tool in server.link.info.tools}
    assert (said["add"], said["shout"], said["fail"]) == ("Adds.", "Shouts", "Fails")
    assert said["data"] == "The tool 'data' of the MCP server 'tools'."


async def test_schemas_are_passed_on(server):
    [add] = [tool for tool in server.link.info.tools if tool.name == "add"]
    assert add.parameters["required"] == ["a", "b"]


async def test_results_are_text_or_json(server):
    assert await server.call("add", a=1, b=2) == "3"
    assert await server.call("data", x=[1]) == {"given": {"x": [1]}}


async def test_made_names_reach_the_tools_they_stand_for(server):
    called = {
        await server.call(tool.name)
        for tool in server.link.info.tools
        if tool.name.startswith(("two_", "long"))
    }
    assert called == {
        "called two words/ünïcode",
        "called two words\\ünïcode",
        f"called {'long' * 30}",
    }


async def test_parts_are_described_without_their_bytes(server):
    assert await server.call("parts") == [
        {"type": "text", "text": "look"},
        {"type": "image", "mimeType": "image/png", "bytes": 300_000},
        {"type": "resource", "uri": "file:///a", "text": "inside"},
        {"type": "resource", "uri": "file:///b", "bytes": 3},
        {"type": "resource_link", "uri": "file:///c", "name": "c"},
    ]


async def test_a_failure_is_told_in_the_tools_words(server):
    with pytest.raises(TaskFailed, match=r"tools\.fail: no\nluck"):
        await server.call("fail")


async def test_a_result_that_breaks_its_announcement_is_refused(server):
    with pytest.raises(UpstreamProtocolError, match="makes no sense"):
        await server.call("wrong")


async def test_a_fault_of_the_server_is_an_upstream_error(server):
    with pytest.raises(UpstreamRejected):
        await server.call("broken")
    assert await server.call("add", a=1, b=2) == "3"


async def test_a_result_that_is_too_large_is_refused(keep, toolserver):
    async with keep(toolserver(max_result=1024)) as kept:
        await kept.up()
        assert len(await kept.call("large", bytes=1000)) == 1000
        with pytest.raises(TaskFailed, match="100000 bytes, more than max_result"):
            await kept.call("large")


async def test_a_message_that_is_too_large_ends_the_connection(keep, toolserver):
    async with keep(toolserver(max_message=65536)) as kept:
        await kept.up()
        with pytest.raises(UpstreamUnavailable, match="larger than max_message"):
            await kept.call("large", bytes=200_000)
        await kept.until(lambda info: info.error)
        await kept.up()
        assert await kept.call("add", a=1, b=2) == "3"


async def test_the_task_input_is_passed_where_the_tool_takes_it(server):
    def task(tool: str, **arguments: object) -> ToolRequest:
        return ToolRequest(
            hook="tools", tool=tool, arguments=arguments, input=Value("hi", "string")
        )

    assert (await server.link.call(task("shout"))).data == "HI"
    assert (await server.link.call(task("shout", input="own"))).data == "OWN"
    assert (await server.link.call(task("data"))).data == {"given": {}}


async def test_an_unknown_tool_is_named_with_those_there_are(server):
    with pytest.raises(NotFound, match=r"no tool 'nope'.*add, shout"):
        await server.call("nope")


async def test_arguments_that_are_no_json_do_no_harm(server):
    with pytest.raises(TaskFailed, match="cannot be sent"):
        await server.call("shout", input="\ud800")
    assert await server.call("shout", input="fine") == "FINE"


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


async def test_a_call_that_takes_too_long_is_given_up_and_cancelled(
    keep, toolserver, tmp_path, appears
):
    async with keep(toolserver(timeout=0.2)) as kept:
        await kept.up()
        with pytest.raises(TimedOut, match=r"no answer within 0\.2 s"):
            await kept.call("wait", folder=str(tmp_path))
        await appears(tmp_path / "cancelled")


async def test_one_that_dies_fails_its_calls_at_once_and_is_restarted(server, tmp_path, appears):
    waiting = asyncio.create_task(server.call("wait", folder=str(tmp_path)))
    await appears(tmp_path / "begun")
    for call in (server.call("die"), waiting):
        with pytest.raises(UpstreamUnavailable, match="exit code -9"):
            await call
    down = await server.until(lambda info: info.error)
    assert down.tools == ()
    await server.up()
    assert await server.call("add", a=1, b=2) == "3"


async def test_a_call_while_it_is_down_says_why(keep, toolserver):
    async with keep(toolserver("slow")) as kept:
        with pytest.raises(UpstreamUnavailable, match="is being connected"):
            await kept.call("add", a=1, b=2)


async def test_a_list_that_changes_is_read_again(server):
    await server.call("grow")
    info = await server.until(lambda info: any(tool.name == "grown" for tool in info.tools))
    assert len(info.tools) == 19
    assert await server.call("grown") == "called grown"


async def test_one_that_is_slow_to_start_gets_its_time(keep, toolserver):
    async with keep(toolserver("slow", connect_timeout=0.3)) as kept:
        info = await kept.until(lambda info: "being connected" not in info.error)
        assert "did not answer within 0.3 s" in info.error


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "no-such-program"}, "there is no program 'no-such-program'"),
        ({"command": "/"}, "there is no program '/'"),
        ({"command": "false"}, "the program ended, exit code 1"),
        ({"command": "sh", "args": ("-c", "echo why >&2; exit 3")}, "exit code 3: why"),
        ({"command": "true", "cwd": "/no/such/folder"}, "cannot be started"),
        ({"command": "cat"}, "does not speak MCP|did not answer|does not answer|no sense|failed"),
    ],
)
async def test_what_cannot_work_says_so_and_is_tried_again(keep, fields, reason):
    settings = ServerSettings(**fields, connect_timeout=5)
    async with keep(settings, {"PATH": "/usr/bin:/bin"}) as kept:
        info = await kept.until(lambda info: "being connected" not in info.error)
        assert re.search(reason, info.error), info.error


async def test_that_it_ended_because_we_left_is_no_reason(keep, caplog):
    with caplog.at_level(logging.WARNING, "runtime.mcp"):
        async with keep(ServerSettings(command="cat"), {"PATH": "/usr/bin:/bin"}):
            async with asyncio.timeout(60):
                while caplog.text.count("connecting again") < 10:  # noqa: ASYNC110 - only logged
                    await asyncio.sleep(0.01)
    assert "does not speak MCP" in caplog.text
    assert "the program ended" not in caplog.text


async def test_garbage_between_the_messages_is_logged_and_skipped(server, caplog):
    with caplog.at_level(logging.WARNING, "runtime.mcp"):
        assert await server.call("chatter") == "still here"
    assert "wrote what is no message" in caplog.text
    assert await server.call("add", a=1, b=2) == "3"


async def test_what_it_says_on_its_error_stream_is_logged(keep, toolserver, caplog):
    with caplog.at_level(logging.INFO, "runtime.mcp"):
        async with keep(toolserver()) as kept:
            await kept.up()
    assert "MCP server 'tools': toolserver is up" in caplog.text


async def test_it_gets_no_other_environment_than_configured(keep, toolserver, tmp_path):
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/h", "LANG": "C", "TOKEN": "root", "USER": "me"}
    settings = toolserver(env={"API_KEY": "{{secret:key}}", "WIDTH": "80"}, cwd=str(tmp_path))
    async with keep(settings, environ, key="s3cret") as kept:
        await kept.up()
        told = await kept.call("environment")
    given = {name: told["env"][name] for name in ("PATH", "HOME", "LANG", "API_KEY", "WIDTH")}
    assert given == {
        "PATH": "/usr/bin:/bin",
        "HOME": "/h",
        "LANG": "C",
        "API_KEY": "***",
        "WIDTH": "80",
    }
    assert told["reversed"]["API_KEY"] == "terc3s"
    assert not {"TOKEN", "USER"} & set(told["env"])
    assert told["cwd"] == str(tmp_path)


async def test_a_secret_is_not_shown_in_the_reason(keep):
    settings = ServerSettings(
        command="sh", args=("-c", "echo bad key $KEY >&2; exit 1"), env={"KEY": "{{secret:key}}"}
    )
    async with keep(settings, {"PATH": "/usr/bin:/bin"}, key="s3cret") as kept:
        info = await kept.until(lambda info: "exit code" in info.error)
    assert info.error.endswith("bad key ***")


async def test_secrets_are_in_no_result_failure_or_log(keep, toolserver, caplog):
    caplog.set_level(logging.DEBUG)
    settings = toolserver(env={"KEY": "Bearer {{secret:key}}", "WIDTH": "80"})
    async with keep(settings, key="s3cret word") as kept:
        await kept.up()
        assert await kept.call("shout", input="80 s3cret") == "80 S3CRET"
        assert await kept.call("data", a=["s3cret word", 7]) == {"given": {"a": ["***", 7]}}
        with pytest.raises(TaskFailed) as failure:
            await kept.call("betray")
    assert "KEY: ***; WIDTH: 80" in failure.value.message
    assert "s3cret" not in failure.value.message
    assert "wrote what is no message" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_secret_in_an_argument_is_refused(server):
    request = ToolRequest(
        hook="tools",
        tool="data",
        arguments={"key": "Bearer {{secret:key}}"},
        secrets={"key": ("key",)},
    )
    with pytest.raises(TaskFailed) as failure:
        await server.link.call(request)
    assert failure.value.message == (
        "the argument 'key' names {{secret:key}}, and arguments for MCP servers are sent without "
        "secrets: put the credential into env of [plugins.mcp-hooks.servers.tools]"
    )


async def test_what_looks_like_a_secret_and_comes_from_a_model_is_a_text(server):
    said = "{{secret:key}}"
    assert await server.call("data", key=said) == {"given": {"key": said}}


async def test_missing_arguments_are_named(server):
    with pytest.raises(TaskFailed, match=r"tools\.add: the required arguments are missing: a, b"):
        await server.call("add")


async def test_arguments_no_parser_takes_are_refused_at_once(server):
    nested = []
    for _ in range(98):
        nested = [nested]
    assert await server.call("data", a=nested) == {"given": {"a": nested}}
    with pytest.raises(TaskFailed, match="more than 100 levels"):
        await server.call("data", a=[nested])


async def test_a_source_that_was_left_has_no_tools(keep, toolserver):
    async with keep(toolserver()) as kept:
        await kept.up()
    assert kept.link.info.tools == ()
    assert kept.link.info.error == "it is not connected"


async def test_stopping_leaves_no_process_behind(keep, toolserver):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    async with keep(toolserver()) as kept:
        await kept.up()
        child = psutil.Process(int(await kept.call("fork")))
        started = {process.pid for process in psutil.Process().children(recursive=True)} - before
        assert len(started) == 2
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    left = {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    }
    assert not left & started


async def test_tools_can_be_chosen(keep, toolserver):
    async with keep(toolserver(tools=("add", "two words/ünïcode"))) as kept:
        info = await kept.up()
        add, made = [tool.name for tool in info.tools]
        assert (add, made[:18]) == ("add", "two_words__n_code_")
        assert await kept.call(made) == "called two words/ünïcode"
        with pytest.raises(NotFound):
            await kept.call("shout")


async def test_without_a_name_the_only_tool_is_called(keep, toolserver):
    async with keep(toolserver(tools=("add",))) as kept:
        await kept.up()
        assert await kept.call("", a=20, b=22) == "42"


def test_writing_to_one_that_is_gone_leaves_the_reason_to_its_reader():
    """The loop the server runs on raises what no other does for a pipe that is closed."""
    import uvloop

    async def write() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "", stdin=asyncio.subprocess.PIPE
        )
        await process.wait()
        process.stdin.transport.abort()
        outgoing, outbox = anyio.create_memory_object_stream(1)
        notification = JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")
        outgoing.send_nowait(SessionMessage(notification))
        outgoing.close()
        await _write(process, outbox)

    uvloop.run(write())
