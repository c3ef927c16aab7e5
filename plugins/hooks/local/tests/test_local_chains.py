"""The local hooks in chains, on a whole server but for its sockets."""

from __future__ import annotations

import json

import pytest
import runtime_hooks_local
from pydantic import SecretStr

from runtime_core.app import compose
from runtime_core.engine.chain import decode_chain
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.errors import TaskFailed
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.types import RunFinished, RunRequest, Value


@pytest.fixture
async def kernel(service):
    settings = Settings(
        database_url="sqlite:///:memory:",
        tokenizer="estimate",
        secret_key=SecretStr("sixteen-characters"),
        plugins={"local-hooks": {"private_hosts": [service.host]}},
    )
    plugins = Plugins.of(
        {"local-hooks": runtime_hooks_local}, settings=settings, task_handlers=builtin_handlers()
    )
    async with compose(settings, plugins).running() as kernel:
        await kernel.secrets.put("default", "key", "s3cret-value")
        await kernel.secrets.put("default", "other", "0ther-value")
        yield kernel


@pytest.fixture
def run(kernel):
    async def run_hook(hook, args, text="in"):
        call = {"name": hook, "tool_name": hook, "args": args}
        task = {
            "id": "t",
            "handler": "hook",
            "hook": call,
            "transition": {"branches": [{"goto": "end"}]},
        }
        chain = decode_chain({"id": "c", "tasks": [task]})
        request = RunRequest(chain=chain, input=Value(text, "string"), run_id="r")
        events = [event async for event in kernel.runner.run(request)]
        (finished,) = [event for event in events if isinstance(event, RunFinished)]
        return finished.output

    return run_hook


async def test_a_chain_sends_its_secret(run, service):
    headers = '{"Authorization": "Bearer {{secret:key}}", "X-For": "{{.input}}"}'
    result = await run("webhook", {"url": f"{service.url}/echo", "headers": headers})
    assert service.last.headers["authorization"] == "Bearer s3cret-value"
    assert json.loads(service.last.body)["message"] == "in"
    assert "s3cret-value" not in str(result)


async def test_an_input_cannot_name_a_secret(run, service):
    headers = {"Authorization": "Bearer {{secret:key}}", "X-For": "{{.input}}"}
    arguments = {"url": f"{service.url}/echo", "headers": headers}
    await run("webhook", arguments, "{{secret:other}}")
    assert service.last.headers["x-for"] == "{{secret:other}}"
    assert "0ther-value" not in str(service.last)


async def test_a_secret_that_is_not_there_is_named(run, service):
    with pytest.raises(TaskFailed, match="there is no secret 'gone'"):
        await run("webhook", {"url": service.url, "headers": {"X-Key": "{{secret:gone}}"}})
    assert service.requests == []


@pytest.mark.parametrize(
    ("hook", "args", "result"),
    [
        ("time", {"time": "{{.input}}", "add": "1d"}, "2026-01-02T00:00:00Z"),
        ("echo", {}, "2026-01-01"),
    ],
)
async def test_other_hooks_in_chains(run, hook, args, result):
    assert await run(hook, args, "2026-01-01") == result


async def test_http_get_in_a_chain(run, service):
    assert await run("http_get", {"url": f"{service.url}/{{{{.input}}}}"}, "page") == {"ok": True}
    assert service.last.path == "/page"
