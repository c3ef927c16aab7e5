"""What can be configured, and what is refused in words; names and waiting times."""

from __future__ import annotations

import asyncio
import random

import pytest
from pydantic import ValidationError
from runtime_hooks_mcp.backoff import Backoff
from runtime_hooks_mcp.endpoint import Endpoint
from runtime_hooks_mcp.names import fitted, name_of
from runtime_hooks_mcp.settings import MCPSettings
from runtime_hooks_mcp.source import MCPHooks

from runtime_core.errors import NotFound, UpstreamUnavailable
from runtime_core.types import ToolRequest


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({}, "either command, to start a program, or url"),
        ({"command": "x", "url": "http://x"}, "either command, to start a program, or url"),
        ({"url": "ftp://x"}, "url must be like https://example.com/mcp"),
        ({"url": "example.com/mcp"}, "url must be like https://example.com/mcp"),
        ({"url": "https://me:pw@example.com/mcp"}, "must not hold a user or a password"),
        ({"url": "http://x", "args": ["y"]}, "args has no meaning beside url"),
        ({"url": "http://x", "env": {"A": "b"}}, "env has no meaning beside url"),
        ({"command": "x", "headers": {"A": "b"}}, "headers has no meaning beside command"),
        ({"command": "x", "timeout": 0}, "greater than 0"),
        ({"command": "x", "timout": 5}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused_in_words(server, reason):
    with pytest.raises(ValidationError, match=reason):
        MCPSettings.model_validate({"servers": {"one": server}})


def test_a_server_needs_a_name_that_can_be_a_hooks():
    with pytest.raises(ValidationError, match="'my server' cannot be the name of a hook"):
        MCPSettings.model_validate({"servers": {"my server": {"command": "x"}}})


async def test_a_server_that_is_switched_off_is_no_hook():
    settings = MCPSettings.model_validate(
        {"servers": {"on": {"command": "x"}, "off": {"command": "x", "enabled": False}}}
    )
    source = MCPHooks(settings, {})
    assert [hook.name for hook in await source.hooks("default")] == ["on"]
    assert await source.hook("default", "off") is None
    with pytest.raises(NotFound, match="unknown MCP server 'off'; there are: on"):
        await source.call(ToolRequest(hook="off", tool="t"))


def test_names_fit_are_unique_and_stay_the_same():
    names = ["ok", "a b", "a_b", "a/b", "c d", "c/d", "e f", "", "x" * 65, "x" * 64, "ä" * 80, "ok"]
    made = fitted(names)
    assert set(made.values()) == set(names)
    assert {made[name] for name in ("ok", "a_b", "x" * 64)} == {"ok", "a_b", "x" * 64}
    assert all(0 < len(name) <= 64 and name.isascii() for name in made)
    assert made["e_f"] == "e f"
    assert fitted(reversed(names)) == made
    assert name_of("a b") != name_of("a/b")


def test_waiting_grows_to_a_minute_and_begins_anew():
    backoff = Backoff(jitter=random.Random(1))
    waits = [backoff.next() for _ in range(20)]
    assert 0.25 <= waits[0] <= 0.5
    assert all(30 <= wait <= 60 for wait in waits[8:])
    backoff.reset()
    assert backoff.next() <= 0.5


async def test_what_was_started_for_the_first_request_ends_with_the_server():
    endpoint = Endpoint(MCPSettings())
    with pytest.raises(UpstreamUnavailable):
        await endpoint.app()
    before = asyncio.all_tasks()
    async with asyncio.timeout(30):
        async with endpoint.running(None):
            first, second = await asyncio.gather(endpoint.app(), endpoint.app())
            assert first is second
    assert asyncio.all_tasks() == before
    with pytest.raises(UpstreamUnavailable):
        await endpoint.app()
