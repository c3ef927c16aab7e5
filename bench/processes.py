"""The processes a benchmark starts: servers under test, the fake upstream, the load generator."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import msgspec

from bench.load import Job, Result
from bench.machine import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = (
    "BenchError",
    "Load",
    "Process",
    "ServiceProcess",
    "UpstreamProcess",
    "ask",
    "free_port",
    "wait_for",
)

_POLL = 0.005
_ROOT = Path(__file__).resolve().parent.parent


class BenchError(Exception):
    """A benchmark cannot go on; the message says why and what to do."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send one request over a connection of its own; return the answer's status and body.

    :raises OSError, http.client.HTTPException: nobody answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(attempt: Callable[[], bool], process: Process, timeout: float = 90.0) -> float:
    """Try every 5 ms until it works; return the seconds since the process was spawned.

    :raises BenchError: the process died, or time is up; the message has its last output.
    """
    while True:
        with suppress(OSError, http.client.HTTPException):
            if attempt():
                return process.age
        if not process.alive:
            raise BenchError(f"{process.name} ended while starting:\n{process.output()}")
        if process.age > timeout:
            raise BenchError(f"{process.name} does not answer:\n{process.output()}")
        time.sleep(_POLL)


@contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let what is spawned inside inherit the cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A process in a session of its own; stopping it stops its children too.

    Output goes to ``<directory>/<name>.log``, unless ``stdout`` is asked for as a pipe.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        cores: Sequence[int] = (),
        environ: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        pipe = subprocess.PIPE if piped else None
        with self._log.open("ab") as log, _pinned(cores):
            self._began = time.perf_counter()
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=environ,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def age(self) -> float:
        """Seconds since it was spawned."""
        return time.perf_counter() - self._began

    def output(self) -> str:
        """Return the last lines it wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-25:])

    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return its stdin and stdout."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError(f"{self.name} was started without pipes")
        return stdin, stdout

    def stop(self, patience: float = 5.0) -> None:
        """Ask it to end, then insist after ``patience`` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                break
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


class _Helper:
    """A module of this package, run as a process that talks JSON lines."""

    module = ""

    def __init__(self, directory: Path, cores: Sequence[int]) -> None:
        self._process = Process(
            self.module,
            [sys.executable, "-m", self.module],
            directory=directory,
            cores=cores,
            environ={**os.environ, "PYTHONPATH": str(_ROOT)},
            piped=True,
        )
        self._stdin, self._stdout = self._process.pipes()
        self.tree = ProcessTree(self._process.pid)

    def kill(self) -> None:
        """End it without giving it the chance to say anything."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def _line(self) -> bytes:
        line = self._stdout.readline()
        if not line:
            raise BenchError(f"{self.module} ended:\n{self._process.output()}")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stop()


class UpstreamProcess(_Helper):
    """The fake upstream, listening on ``port``."""

    module = "bench.upstream"

    def __init__(self, directory: Path, cores: Sequence[int]) -> None:
        super().__init__(directory, cores)
        self.port: int = json.loads(self._line())["port"]


class ServiceProcess(UpstreamProcess):
    """The fake upstream, as a service with an OpenAPI document too."""

    module = "bench.service"


class Load(_Helper):
    """The load generator."""

    module = "bench.load"

    def run(self, job: Job) -> Result:
        """Run one job to its end."""
        self._stdin.write(msgspec.json.encode(job) + b"\n")
        self._stdin.flush()
        return msgspec.json.decode(self._line(), type=Result)
