"""Two servers as processes, one database and one bus under them, and a place to fetch models."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import AsyncExitStack, aclosing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
    from pathlib import Path

START_S = 60


class Replica:
    """One of the servers, as its clients see it."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._errors = folder / "stderr"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime_core", "serve", "--port", "0"],
                cwd=folder,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.client = httpx.AsyncClient(timeout=START_S)

    async def started(self) -> Replica:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line.startswith("listening on "), self.log
        self.client.base_url = httpx.URL(line.removeprefix("listening on ").strip())
        return self

    @property
    def log(self) -> str:
        return self._errors.read_text()

    async def end(self) -> None:
        """Stop it as an operator does; it must end well."""
        await self.client.aclose()
        self._process.terminate()
        try:
            code = await asyncio.to_thread(self._process.wait, START_S)
        finally:
            self._process.kill()
            self._process.communicate()
        assert (code, "Traceback" in self.log) == (0, False), self.log

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def add_backend(self, name: str, type: str, url: str) -> str:
        body = {"name": name, "baseUrl": url, "type": type}
        found: str = (await self.ask("POST", "/backends", body))["id"]
        await self.ask("POST", f"/backend-affinity/internal_chat_group/backends/{found}")
        return found

    async def backend_names(self) -> set[str]:
        return {one["name"] for one in await self.ask("GET", "/state")}

    async def put_chain(self, text: str) -> None:
        task = {
            "id": "say",
            "handler": "noop",
            "prompt_template": text,
            "transition": {"branches": [{"goto": "end"}]},
        }
        await self.ask("POST", "/taskchains", {"id": "c", "tasks": [task]})

    async def run_chain(self) -> str:
        said: str = (await self.ask("POST", "/tasks", {"input": "", "chainId": "c"}))["output"]
        return said

    async def bus(self) -> dict[str, str]:
        """What the server thinks of its bus; a bus never makes it unready."""
        ready: dict[str, Any] = await self.ask("GET", "/readyz")
        assert ready["status"] == "ok"
        found: dict[str, str] = ready["checks"]["bus"]
        return found

    async def stream(self, path: str) -> AsyncGenerator[Any, None]:
        """Yield the events of a stream."""
        async with self.client.stream("GET", path) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


@pytest.fixture
async def start(
    postgresql_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[..., Any]]:
    """Start a server on the test's database; all end with the test."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    async with AsyncExitStack() as running:

        async def begin(**environ: str) -> Replica:
            there = {"DATABASE_URL": postgresql_url, "OLLAMA_HOST": "127.0.0.1:1"}
            replica = Replica(tmp_path_factory.mktemp("replica"), kept | there | environ)
            running.push_async_callback(replica.end)
            return await replica.started()

        yield begin


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., Any]]:
    """Collect a stream in the background; returns the growing list once the first part is there."""
    async with AsyncExitStack() as watching:

        async def begin(replica: Replica, path: str) -> list[Any]:
            seen: list[Any] = []
            connected = asyncio.Event()

            async def collect() -> None:
                async with aclosing(replica.stream(path)) as events:
                    connected.set()
                    async for event in events:
                        seen.append(event)

            task = asyncio.create_task(collect())

            async def end() -> None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

            watching.push_async_callback(end)
            await connected.wait()
            return seen

        yield begin


class ModelShop(ThreadingHTTPServer):
    """An Ollama whose downloads stop half-way until `go_on`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Shop)
        self.models: list[str] = []
        self.half_way = threading.Event()
        self.go_on = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Shop(BaseHTTPRequestHandler):
    server: ModelShop

    def do_GET(self) -> None:
        models = [] if self.path == "/api/ps" else self.server.models
        self._answer({"models": [{"name": name, "model": name, "digest": name} for name in models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/api/show":
            self._answer({"capabilities": ["completion"]})
            return
        layer = {"status": "pulling abc", "digest": "sha256:abc", "total": 1000}
        self._answer({**layer, "completed": 500})
        self.server.half_way.set()
        self.server.go_on.wait(START_S)
        self.server.models.append(body["model"])
        self._write({**layer, "completed": 1000})
        self._write({"status": "success"})

    def _answer(self, document: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.end_headers()
        self._write(document)

    def _write(self, document: dict[str, Any]) -> None:
        with suppress(ConnectionError):
            self.wfile.write(json.dumps(document).encode() + b"\n")
            self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def model_shop() -> Iterator[ModelShop]:
    with ModelShop() as shop:
        thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield shop
        shop.go_on.set()
        shop.shutdown()
        thread.join()
