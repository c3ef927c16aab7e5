"""The real command as a process: it starts through everything, says where, ends cleanly."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "plugins"
BROKEN = sorted(
    path.name for path in FIXTURES.iterdir() if path.is_dir() and path.name != "healthy"
)
START_S = 60


class Server:
    """A server of our own, in a folder of its own; stopped by its own process handle."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.stderr = folder / "stderr"
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        clean["RUNTIME_TOKENIZER"] = "estimate"
        with self.stderr.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime_core", "serve", "--port", "0"],
                cwd=folder,
                env=clean | environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.url = ""

    def wait_until_listening(self) -> None:
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=lambda: lines.put(self.process.stdout.readline()))
        reader.start()
        line = lines.get(timeout=START_S)
        reader.join()
        assert line.startswith("listening on http://127.0.0.1:"), self.stderr.read_text()
        self.url = line.removeprefix("listening on ").strip()

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.loads(response.read() or "null")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_S)


@pytest.fixture
def start(tmp_path):
    servers = []

    def begin(**environ: str) -> Server:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        servers.append(Server(folder, environ))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(START_S)
        server.process.stdout.close()


def site(*names: str) -> str:
    return os.pathsep.join(str(FIXTURES / name) for name in names)


def test_it_serves_through_twelve_broken_plugins_and_names_each(start):
    assert len(BROKEN) == 12
    server = start(PYTHONPATH=site("healthy", *BROKEN), RUNTIME_PLUGIN_TIMEOUT="3")
    server.wait_until_listening()
    server.get("/livez")
    reports = {one["distribution"]: one for one in server.get("/plugins")}
    log = server.stderr.read_text()
    for fixture in BROKEN:
        prefix = "zzz-acme" if fixture == "duplicate_name" else "acme"
        report = reports[f"{prefix}-{fixture.replace('_', '-')}"]
        assert report["status"] == "quarantined"
        assert report["error"]
        assert report["advice"]
        assert f"({report['distribution']} 1.0)" in log
    assert reports["acme-healthy"]["status"] == "active"
    assert server.stop() == 0


def test_strict_refuses_to_start(start):
    server = start(PYTHONPATH=site("healthy", "import_error"), RUNTIME_STRICT="1")
    assert server.process.wait(START_S) == 1
    text = server.stderr.read_text()
    assert "error: not everything can be used, and strict is set:" in text
    assert "acme-import-error 1.0" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start, number):
    server = start()
    server.wait_until_listening()
    assert server.get("/health") is None
    assert server.stop(number) == 0
    assert "Traceback" not in server.stderr.read_text()


@pytest.mark.parametrize("path", ["/state/stream", "/queue/inProgress"])
def test_streams_without_an_end_do_not_delay_the_end(start, path):
    server = start(RUNTIME_SHUTDOWN_TIMEOUT="30")
    server.wait_until_listening()
    with urllib.request.urlopen(server.url + path, timeout=START_S) as stream:
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15
        assert b"error" not in stream.read().rpartition(b"\n\n")[2]
    assert "Traceback" not in server.stderr.read_text()


def test_two_servers_do_not_get_the_same_port(start):
    first = start()
    first.wait_until_listening()
    port = first.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "runtime_core", "serve", "--port", port],
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} is in use on 127.0.0.1")
    assert first.stop() == 0


def test_a_database_that_cannot_be_used_is_told_without_a_traceback(start):
    server = start(DATABASE_URL="sqlite:////no/such/folder/runtime.db")
    assert server.process.wait(START_S) in (1, 2)
    text = server.stderr.read_text()
    assert "error: " in text
    assert "DATABASE_URL" in text
    assert "Traceback" not in text


def test_everyone_may_not_reach_an_open_server(start):
    server = start(ADDR="0.0.0.0")
    assert server.process.wait(START_S) in (1, 2)
    text = server.stderr.read_text()
    assert "TOKEN" in text
    assert "RUNTIME_ALLOW_ANONYMOUS" in text
    assert "Traceback" not in text
