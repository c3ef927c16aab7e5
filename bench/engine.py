"""What the task engine itself costs, in processor time: a noop step, a chat, a chunk."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import machine
from bench.report import Check, at_most, run_in_process
from runtime_core.engine.chain import decode_chain
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.engine.machine import Machine
from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.errors import ModelNotFound
from runtime_core.types import (
    ChatChunk,
    ChatRequest,
    Embeddings,
    Message,
    Routed,
    RouteExplanation,
    RunRequest,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.types import BackendConfig, ModelInfo, Wanted

__all__ = ("main", "run")

STEPS = (10, 100, 1000)
CHUNKS = 1000
_STEP_LIMIT = 60.0
_CHUNK_LIMIT = 2.0
#: How much dearer a step of the longest chain may be than one of the shortest.
_LINEAR = 1.5
_WORK = 5000


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON; 0 when every limit holds."""
    return run_in_process("engine", run, argv, __doc__)


def run(rounds: int = 5) -> dict[str, Any]:
    """Return the figures, in microseconds: medians over *rounds* interleaved rounds."""
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, figure in asyncio.run(_round()).items():
            samples.setdefault(name, []).append(figure)
    figures = {name: median(values) for name, values in samples.items()}
    return {
        "machine": machine.describe("runtime-core"),
        "rounds": rounds,
        "runs": samples,
        "figures": figures,
        "checks": _checks(figures),
    }


def _checks(figures: dict[str, float]) -> list[Check]:
    short, long = (figures[_step_name(count)] for count in (STEPS[0], STEPS[-1]))
    steps = [
        at_most(_step_name(count), figures[_step_name(count)], _STEP_LIMIT, " \u00b5s")
        for count in STEPS
    ]
    return [
        *steps,
        at_most(f"a step of {STEPS[-1]} / of {STEPS[0]}", long / short, _LINEAR),
        at_most("a chunk, machine and handler", figures[_CHUNK_NAME], _CHUNK_LIMIT, " \u00b5s"),
    ]


_CHUNK_NAME = "chunk of a chat, less the provider's share"


def _step_name(count: int) -> str:
    return f"noop step, chain of {count}"


async def _round() -> dict[str, float]:
    figures = {}
    for count in STEPS:
        engine = Machine(builtin_handlers(), _Models(0), SourceToolbox({}))
        figures[_step_name(count)] = await _run_time(engine, _noops(count), _WORK // count) / count
    figures["chat of one chunk, whole run"] = await _chat_time(1)
    alone = await _stream_time(CHUNKS)
    figures[_CHUNK_NAME] = (await _chat_time(CHUNKS) - alone) / CHUNKS
    return figures


async def _chat_time(chunks: int) -> float:
    engine = Machine(builtin_handlers(), _Models(chunks), SourceToolbox({}))
    return await _run_time(engine, _chat(), max(20, _WORK // max(chunks, 10)))


async def _run_time(engine: Machine, request: RunRequest, repeats: int) -> float:
    """Return the microseconds of one run, once everything is prepared."""
    async for _ in engine.run(request):
        pass
    began = time.process_time()
    for _ in range(repeats):
        async for _ in engine.run(request):
            pass
    return (time.process_time() - began) / repeats * 1e6


async def _stream_time(chunks: int, repeats: int = 20) -> float:
    models = _Models(chunks)
    began = time.process_time()
    for _ in range(repeats):
        async for _ in models.chat(None, None):
            pass
    return (time.process_time() - began) / repeats * 1e6


def _noops(count: int) -> RunRequest:
    tasks = [
        {
            "id": f"t{number}",
            "handler": "noop",
            "transition": _to(f"t{number + 1}" if number + 1 < count else "end"),
        }
        for number in range(count)
    ]
    chain = decode_chain({"id": "bench", "tasks": tasks, "max_steps": count})
    return RunRequest(chain=chain, input=Value("x", "string"), run_id="bench")


def _chat() -> RunRequest:
    task = {"id": "a", "handler": "chat_completion", "transition": _to("end")}
    messages = (Message(role="user", content="hello"),)
    return RunRequest(
        chain=decode_chain({"id": "bench", "tasks": [task]}),
        input=Value(ChatRequest(model="m", messages=messages), "openai_chat"),
        run_id="bench",
    )


def _to(goto: str) -> dict[str, Any]:
    return {"branches": [{"operator": "default", "goto": goto}]}


class _Models:
    """A model gateway that answers at once with as many equal chunks as asked for."""

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks
        self._chunk = ChatChunk("word ")
        self._last = ChatChunk(finish_reason="stop")

    async def chat(
        self, wanted: Wanted | None, request: ChatRequest | None
    ) -> AsyncIterator[Routed | ChatChunk]:
        yield Routed("bench", "bench", "m")
        for _ in range(self._chunks):
            yield self._chunk
        yield self._last

    async def explain(self, wanted: Wanted) -> RouteExplanation:
        return RouteExplanation(role=wanted.role, policy="bench")

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        return Routed("bench", "bench", "m"), Embeddings([[0.0]] * len(texts))

    async def models(self) -> Sequence[tuple[BackendConfig, ModelInfo]]:
        return ()

    def default_model(self, role: str) -> str:
        return "m"

    async def find(self, name: str) -> ModelInfo | None:
        return None

    def missing(self, name: str) -> ModelNotFound:
        return ModelNotFound(f"no backend has the model {name!r}", param="model")
