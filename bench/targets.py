"""What is measured: the upstream itself, this server, and two other gateways."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from bench import peers
from bench.load import Job, job_body
from bench.machine import ProcessTree, Sample
from bench.processes import BenchError, Process, ask, free_port, wait_for
from bench.upstream import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ("TARGETS", "Endpoint", "Target", "direct", "litellm", "ours", "portkey")

_CHAT = "/v1/chat/completions"
_KEY = "sk-bench-0f6c2a8e4b7d4c19a3e5d8f1b2c6a790"
_CHAIN = {
    "id": "bench",
    "description": "One task: forward the chat to the model.",
    "tasks": [
        {
            "id": "chat",
            "handler": "chat_completion",
            "execute_config": {"model": MODEL, "provider": "openai"},
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}


class Endpoint(msgspec.Struct, frozen=True):
    """Where chat requests go, and with which headers."""

    port: int
    path: str
    headers: dict[str, str]


class Target:
    """One running thing to measure; ``startup`` is seconds from spawn to the first chat answer."""

    def __init__(
        self, name: str, version: str, endpoint: Endpoint, process: Process | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.endpoint = endpoint
        self._process = process
        self.trees = (ProcessTree(process.pid),) if process else ()
        self.startup = 0.0

    def sample(self) -> Sample:
        """Measure CPU and memory; zeros for the upstream itself, which shares a core."""
        return self.trees[0].sample() if self.trees else Sample(0.0, 0.0)

    def job(self, **options: object) -> Job:
        """Return a load job against this target."""
        where = msgspec.structs.asdict(self.endpoint)
        return msgspec.convert({**where, **options}, Job)

    def first_answer(self, prepare: Callable[[], bool] = lambda: True) -> None:
        """Wait until the first chat request is answered, and note how long that took."""
        if self._process is None:
            return
        wait_for(prepare, self._process)
        self.startup = wait_for(self._answers, self._process)

    def _answers(self) -> bool:
        status, body = _chat(self.endpoint)
        if status == 401:
            raise BenchError(f"{self.name} refuses the key: {body[:300]!r}")
        return status == 200

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.stop()


def _chat(endpoint: Endpoint) -> tuple[int, bytes]:
    job = Job(port=endpoint.port, path=endpoint.path, headers=endpoint.headers)
    headers = {"content-type": "application/json", **endpoint.headers}
    return ask(endpoint.port, "POST", endpoint.path, job_body(job), headers)


def _environ(**more: str) -> dict[str, str]:
    """Return an environment without the caller's settings, so that runs are alike."""
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, **more}


def direct(upstream: int, directory: Path, cores: Sequence[int]) -> Target:
    """Return the upstream itself: what every other target adds to."""
    return Target("direct", "", Endpoint(upstream, _CHAT, {}))


def ours(
    upstream: int,
    directory: Path,
    cores: Sequence[int],
    environ: Mapping[str, str] | None = None,
) -> Target:
    """Start this server: key required, metrics and access log on, a fresh SQLite database."""
    port = free_port()
    settings = _environ(
        TOKEN=_KEY,
        # as after the install command: what tests install beside it must not count
        RUNTIME_TOKENIZER="estimate",
        DATABASE_URL=f"sqlite:///{directory / 'bench.db'}",
        OPENAI_BASE_URL=f"http://127.0.0.1:{upstream}/v1",
        OPENAI_API_KEY="sk-bench",
        **(environ or {}),
    )
    command = [sys.executable, "-m", "runtime_core", "serve", "--port", str(port)]
    process = Process("ours", command, directory=directory, cores=cores, environ=settings)
    headers = {"authorization": f"Bearer {_KEY}"}
    endpoint = Endpoint(port, "/openai/bench/v1/chat/completions", headers)
    target = Target("ours", peers.own_version(), endpoint, process)
    target.first_answer(lambda: _store_chain(port, headers))
    return target


def _store_chain(port: int, headers: Mapping[str, str]) -> bool:
    body = json.dumps(_CHAIN).encode()
    sent = {"content-type": "application/json", **headers}
    status, answer = ask(port, "POST", "/taskchains", body, sent)
    if status != 201:
        raise BenchError(f"storing the chain failed with {status}: {answer[:500]!r}")
    return True


def portkey(upstream: int, directory: Path, cores: Sequence[int]) -> Target:
    """Start Portkey's gateway; provider and upstream are named in each request's headers."""
    port = free_port()
    command = ["node", str(peers.portkey_script()), f"--port={port}", "--headless"]
    environ = _environ(NODE_ENV="production")
    process = Process("portkey", command, directory=directory, cores=cores, environ=environ)
    headers = {
        "authorization": "Bearer sk-bench",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    target = Target("portkey", peers.portkey_version(), Endpoint(port, _CHAT, headers), process)
    target.first_answer()
    return target


_LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-bench
litellm_settings:
  telemetry: false
"""


def litellm(upstream: int, directory: Path, cores: Sequence[int]) -> Target:
    """Start LiteLLM's proxy: one worker, no database, master key, nothing fetched from outside."""
    port = free_port()
    config = directory / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=MODEL, upstream=upstream))
    flags = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    command = [str(peers.litellm_command()), *flags, "--num_workers", "1", "--telemetry", "False"]
    environ = _environ(
        LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", LITELLM_MASTER_KEY=_KEY
    )
    process = Process("litellm", command, directory=directory, cores=cores, environ=environ)
    endpoint = Endpoint(port, _CHAT, {"authorization": f"Bearer {_KEY}"})
    target = Target("litellm", peers.litellm_version(), endpoint, process)
    target.first_answer()
    return target


#: Every target by name; each starts with the upstream's port, a directory and cores to run on.
TARGETS: dict[str, Callable[[int, Path, Sequence[int]], Target]] = {
    "direct": direct,
    "ours": ours,
    "portkey": portkey,
    "litellm": litellm,
}
