"""The ``runtime`` command as a process: started, read, interrupted and ended as from a shell."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXECUTABLE = Path(sys.executable).parent / "runtime"
PATIENCE_S = 60


#: Makes what is started the owner of the terminal on its standard input.
AT_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Program:
    """A running command; everything it prints is kept."""

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        environ: dict[str, str],
        *,
        at_terminal: bool = False,
    ) -> None:
        self._errors = folder / f"stderr-{len(list(folder.glob('stderr-*')))}"
        command = [str(EXECUTABLE), *arguments]
        if at_terminal:
            command = [sys.executable, "-c", AT_TERMINAL, *command]
            ours, theirs = pty.openpty()
            self._reads, self._writes = ours, os.dup(ours)
            child_reads = child_writes = theirs
        else:
            child_reads, self._writes = os.pipe()
            self._reads, child_writes = os.pipe()
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=child_reads,
                stdout=child_writes,
                stderr=errors,
            )
        for descriptor in {child_reads, child_writes}:
            os.close(descriptor)
        self._printed = bytearray()
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # a terminal ends with an error, a pipe with nothing
        with suppress(OSError):
            while data := os.read(self._reads, 65536):
                with self._news:
                    self._printed += data
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        return self._printed.decode()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait_for(self, text: str) -> str:
        """Return everything printed so far, as soon as *text* is in it."""
        with self._news:
            self._news.wait_for(lambda: text in self.output or self._ended, PATIENCE_S)
        assert text in self.output, f"{self.output}\n--- stderr\n{self.errors}"
        return self.output

    def type(self, line: str) -> None:
        os.write(self._writes, f"{line}\n".encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for the end, nothing being typed any more, and return the exit code."""
        self._close()
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def _close(self) -> None:
        if self._writes != -1:
            os.close(self._writes)
            self._writes = -1

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._close()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._reads)


def clean_environ(folder: Path) -> dict[str, str]:
    """Return variables under which no model but the built-in one is found."""
    return {
        "PATH": f"{EXECUTABLE.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        # nothing answers on port 1, so that no server of the machine is taken for ours
        "PORT": "1",
        "RUNTIME_DISABLE_PLUGINS": "ollama",
        # no test asks the network for a vocabulary
        "RUNTIME_TOKENIZER": "estimate",
    }


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Return the test's programs; those still running are killed at its end."""
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


@pytest.fixture
def start(tmp_path: Path, programs: list[Program]) -> Callable[..., Program]:
    """Return what starts ``runtime ARGUMENTS`` in a folder of the test's own."""

    def begin(*arguments: str, **environ: str) -> Program:
        programs.append(Program(tmp_path, arguments, clean_environ(tmp_path) | environ))
        return programs[-1]

    return begin


@pytest.fixture
def terminal(tmp_path: Path, programs: list[Program]) -> Callable[..., Program]:
    """Return what starts ``runtime ARGUMENTS`` at a terminal."""

    def begin(*arguments: str) -> Program:
        environ = clean_environ(tmp_path) | {"TERM": "xterm"}
        programs.append(Program(tmp_path, arguments, environ, at_terminal=True))
        return programs[-1]

    return begin


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server that the module's tests share."""
    folder = tmp_path_factory.mktemp("server")
    program = Program(folder, ("serve", "--port", "0"), clean_environ(folder))
    try:
        yield address_in(program.wait_for("\n"))
    finally:
        program.kill()


def address_in(output: str) -> str:
    return output.partition("listening on ")[2].split()[0]


@pytest.fixture
def address_of() -> Callable[[str], str]:
    """Return what finds the server's URL in its output."""
    return address_in


class StallingModel(ThreadingHTTPServer):
    """A model server that begins an answer and never ends it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Stalling)
        #: Set once a client has left in the middle of an answer.
        self.left = threading.Event()

    @property
    def backends(self) -> str:
        """The setting that makes a server use this model."""
        url = f"http://127.0.0.1:{self.server_port}/v1"
        return json.dumps([{"type": "openai", "name": "stalling", "base_url": url}])


class _Stalling(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._begin("application/json")
        self.wfile.write(b'{"object": "list", "data": [{"id": "slow", "object": "model"}]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._begin("text/event-stream")
        delta = {"index": 0, "delta": {"role": "assistant", "content": "Once upon"}}
        chunk = {"id": "1", "object": "chat.completion.chunk", "model": "slow", "choices": [delta]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()
        with suppress(ConnectionError):
            self.connection.recv(1)
        self.server.left.set()

    def _begin(self, media_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stalling_model() -> Iterator[StallingModel]:
    """Return a model server that begins an answer and never ends it."""
    model = StallingModel()
    thread = threading.Thread(target=model.serve_forever)
    thread.start()
    yield model
    model.shutdown()
    thread.join()
    model.server_close()


class ModelShop(ThreadingHTTPServer):
    """A model server that models can be fetched to, in two halves of 500,000 bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Shop)
        self.models: list[str] = []
        #: What the second half ends with instead of the model.
        self.failure = ""
        self.first_half = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Shop(BaseHTTPRequestHandler):
    server: ModelShop

    def do_GET(self) -> None:
        models = [] if self.path == "/api/ps" else self.server.models
        listed = [{"name": name, "model": name, "digest": name} for name in models]
        self._answer({"models": listed})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/api/show":
            self._answer({"capabilities": ["completion"]})
            return
        layer = {"status": "pulling abc", "digest": "sha256:abc", "total": 1_000_000}
        self._answer({"status": "pulling manifest"}, {**layer, "completed": 500_000})
        self.server.first_half.set()
        self.server.go_on.wait(PATIENCE_S)
        if self.server.failure:
            self._write({"error": self.server.failure})
            return
        self.server.models.append(body["model"])
        self._write({**layer, "completed": 1_000_000})
        self._write({"status": "success"})

    def _answer(self, *documents: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.end_headers()
        for document in documents:
            self._write(document)

    def _write(self, document: dict[str, Any]) -> None:
        with suppress(ConnectionError):
            self.wfile.write(json.dumps(document).encode() + b"\n")
            self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def model_shop() -> Iterator[ModelShop]:
    """Return a model server that models can be fetched to."""
    shop = ModelShop()
    thread = threading.Thread(target=shop.serve_forever)
    thread.start()
    yield shop
    shop.go_on.set()
    shop.shutdown()
    thread.join()
    shop.server_close()
