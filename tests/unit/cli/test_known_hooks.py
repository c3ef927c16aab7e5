"""What the command line says of hooks."""

from __future__ import annotations

from typing import Any

import pytest

from runtime_core.cli.hook import _row
from runtime_core.cli.known_hooks import all_hooks

REGISTERED = {"name": "a", "id": "1", "endpointUrl": "http://a"}


class Server:
    """Answers as a server with one remote hook does."""

    def __init__(self, row: dict[str, Any], error: str) -> None:
        self.answers = {
            "/hooks": [{"name": "a", "type": "remote", **row}],
            "/hooks/remote": [REGISTERED | {"error": error}],
        }

    async def ask(self, method: str, path: str, *_: object, **__: object) -> Any:
        assert method == "GET"
        return self.answers[path], {}


@pytest.mark.parametrize(
    ("row", "error", "state"),
    [
        ({"error": "away"}, "away", "out: away"),
        ({"tools": [{"function": {"name": "go"}}]}, "", "1 tool: go"),
        (
            {"tools": [{"function": {"name": "go"}}]},
            "its document is away",
            "1 tool: go; warning: its document is away",
        ),
    ],
    ids=["out", "well", "with an old document"],
)
async def test_a_remote_hook_is_what_it_offers(row: dict[str, Any], error: str, state: str) -> None:
    [hook] = await all_hooks(Server(row, error))
    assert _row(hook) == ("a", "remote", "http://a", "1", state)


async def test_a_remote_hook_whose_name_another_hook_has_is_shown() -> None:
    server = Server({"type": "local", "tools": [{"function": {"name": "go"}}]}, "")
    known, hidden = await all_hooks(server)
    assert _row(known) == ("a", "local", "-", "-", "1 tool: go")
    reason = "not used: a hook of the type local has this name; register it under another"
    assert _row(hidden) == ("a", "remote", "http://a", "1", f"out: {reason}")
