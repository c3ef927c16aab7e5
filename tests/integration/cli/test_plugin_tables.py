"""A plugin with a table on a server as a process: started, upgraded, too old, and left out."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = Path(__file__).parents[2] / "fixtures" / "tables"

#: What installing a release of the plugin leaves.
METADATA = "Metadata-Version: 2.1\nName: acme-notes\nVersion: {release}.0\n"


@pytest.fixture
def release(tmp_path: Path) -> Callable[[int], dict[str, str]]:
    """Return what installs a release of the plugin: the variables of who uses it."""

    def install(number: int) -> dict[str, str]:
        folder = tmp_path / f"release-{number}"
        info = folder / "acme_notes.dist-info"
        if not info.exists():
            info.mkdir(parents=True)
            (info / "METADATA").write_text(METADATA.format(release=number))
            module = {1: "acme_notes_first", 2: "acme_notes"}[number]
            (info / "entry_points.txt").write_text(f"[runtime_core.plugins]\nnotes = {module}\n")
        return {"PYTHONPATH": f"{folder}{os.pathsep}{TABLES}"}

    return install


@pytest.fixture
def serve(start: Callable[..., Any], address_of: Callable[[str], str]) -> Callable[..., Any]:
    """Return what starts a server, gives its URL to *work*, and stops it."""

    def run(work: Callable[[str], None], **environ: str) -> None:
        program = start("serve", "--port", "0", **environ)
        work(address_of(program.wait_for("\n")))
        program.process.send_signal(signal.SIGTERM)
        assert program.end() == 0
        assert "Traceback" not in program.errors

    return run


def call(url: str, tool: str, **arguments: str) -> Any:
    hook = {"name": "notes", "tool_name": tool, "args": arguments}
    task = {"id": "t", "handler": "hook", "hook": hook, "transition": {"branches": []}}
    task["transition"] = {"branches": [{"operator": "default", "goto": "end"}]}
    body = {"input": "", "chain": {"id": "c", "tasks": [task]}}
    return httpx.post(f"{url}/tasks", json=body).json()


def test_rows_survive_restarts_and_upgrades(serve: Any, release: Any) -> None:
    def write(url: str) -> None:
        assert "output" in call(url, "write", name="a", body="kept")
        taken = call(url, "write", name="a", body="again")
        assert "name 'a' is taken by another note" in taken["error"]["message"]

    serve(write, **release(1))

    def read(url: str) -> None:
        assert call(url, "read", name="a")["output"] == "kept"

    serve(read, **release(1))

    def read_colour(url: str) -> None:
        assert call(url, "read", name="a")["output"] == "kept (yellow)"

    serve(read_colour, **release(2))


def test_a_plugin_that_is_too_old_is_named_with_the_way_out(
    start: Callable[..., Any], serve: Any, release: Any
) -> None:
    new, old = release(2), release(1)
    migrated = start("migrate", **new)
    assert migrated.end() == 0
    assert "plugin notes: now at revision 0002\n" in migrated.output
    again = start("migrate", **new)
    assert again.end() == 0
    assert "plugin notes: already at revision 0002\n" in again.output

    for command in (("serve", "--port", "0"), ("migrate",)):
        refused = start(*command, **old)
        assert refused.end() == 1
        assert "error: plugin 'notes': its tables have schema revision '0002'" in refused.errors
        assert "RUNTIME_DISABLE_PLUGINS" in refused.errors
        assert "Traceback" not in refused.errors

    def well(url: str) -> None:
        assert httpx.get(f"{url}/readyz").status_code == 200

    serve(well, **old, RUNTIME_DISABLE_PLUGINS="ollama,notes")


def test_doctor_tells_the_revisions_of_plugins(start: Callable[..., Any], release: Any) -> None:
    def said(environ: dict[str, str]) -> str:
        program = start("doctor", **environ)
        program.end()
        return " ".join(program.output.split())

    new, old = release(2), release(1)
    assert "notes" not in said(new).partition("ok database")[2]
    assert start("migrate").end() == 0
    missing = "ok database tables of plugin notes are not there: the next start makes them"
    assert missing in said(new)
    assert start("migrate", **old).end() == 0
    assert "ok database tables of plugin notes are at revision 0001" in said(old)
    behind = (
        "warn database tables of plugin notes are at revision 0001, the plugin wants 0002 what to "
        "do: runtime migrate (a start does it too)"
    )
    assert behind in said(new)
    assert start("migrate", **new).end() == 0
    ahead = (
        "fail database tables of plugin notes are at revision 0002, newer than the plugin (0001) "
        "what to do: install the newer release, or add notes to RUNTIME_DISABLE_PLUGINS"
    )
    assert ahead in said(old)
