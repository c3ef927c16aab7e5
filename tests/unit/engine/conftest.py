"""Scripted models and hooks, and the machine over them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct, field

from runtime_core.engine.chain import decode_chain
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.engine.machine import Machine
from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.engine.values import to_value
from runtime_core.errors import NotFound, RuntimeCoreError
from runtime_core.types import (
    ChatChunk,
    Delta,
    Embeddings,
    HookInfo,
    Routed,
    RunFinished,
    RunRequest,
    StepFinished,
    Tool,
    ToolCallDelta,
    Usage,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from runtime_core.types import Message, RunEvent, Step, ToolRequest, Wanted


class ScriptedModels:
    """A model gateway that answers from a script and remembers what it was asked.

    An answer is a list of chunks, of exceptions to raise and of callables to await.
    """

    def __init__(self) -> None:
        self.script: deque[list[Any]] = deque()
        self.asked: list[tuple[Wanted, Any]] = []
        self.route = Routed("backend", "echo", "routed-model")
        self.open = 0

    def answers(self, *parts: Any) -> None:
        """Add one answer to the script; a text is one chunk and its end."""
        if len(parts) == 1 and isinstance(parts[0], str):
            parts = (ChatChunk(parts[0]), ChatChunk(finish_reason="stop"))
        self.script.append(list(parts))

    def calls(self, *calls: tuple[str, str], text: str = "") -> None:
        """Add an answer that calls tools, each a name and its arguments' JSON text."""
        pieces = tuple(
            ToolCallDelta(index, f"call-{index}", name, arguments)
            for index, (name, arguments) in enumerate(calls)
        )
        self.answers(ChatChunk(text, pieces), ChatChunk(finish_reason="tool_calls"))

    @property
    def requests(self) -> list[Any]:
        return [request for _, request in self.asked]

    async def chat(self, wanted: Wanted, request: Any) -> AsyncIterator[Routed | ChatChunk]:
        self.asked.append((wanted, request))
        parts = self.script.popleft()
        self.open += 1
        try:
            if not isinstance(parts[0], Exception):
                yield self.route
            for part in parts:
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, ChatChunk):
                    yield part
                else:
                    await part()
        finally:
            self.open -= 1

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        self.asked.append((wanted, list(texts)))
        parts = self.script.popleft()
        if isinstance(parts[0], Exception):
            raise parts[0]
        return self.route, Embeddings(parts[0])

    async def models(self) -> list[Any]:
        return []

    def default_model(self, role: str) -> str:
        return ""

    async def find(self, name: str) -> None:
        return None


class ScriptedHooks:
    """A hook source whose tools are functions of the call."""

    def __init__(self) -> None:
        self.tools: dict[tuple[str, str], Any] = {}
        self.errors: dict[str, str] = {}
        self.asked: list[ToolRequest] = []

    def add(self, hook: str, tool: str, result: Any) -> None:
        """Add a tool; *result* is a value, an exception, or an async function of the call."""
        self.tools[hook, tool] = result

    async def hooks(self, tenant_id: str) -> list[HookInfo]:
        names = dict.fromkeys(hook for hook, _ in self.tools) | dict.fromkeys(self.errors)
        return [
            HookInfo(
                name=name,
                type="scripted",
                tools=tuple(
                    Tool(tool, f"does {tool}") for hook, tool in self.tools if hook == name
                ),
                error=self.errors.get(name, ""),
            )
            for name in names
        ]

    async def call(self, request: ToolRequest) -> Value:
        self.asked.append(request)
        result = self.tools.get((request.hook, request.tool), NotFound(f"no {request.tool!r}"))
        if isinstance(result, Exception):
            raise result
        return result if isinstance(result, Value) else await result(request)


class Result(Struct):
    """What came out of a run."""

    events: list[Any] = field(default_factory=list)
    error: RuntimeCoreError | None = None

    @property
    def steps(self) -> list[Step]:
        return [event.step for event in self.events if isinstance(event, StepFinished)]

    @property
    def path(self) -> list[str]:
        return [step.task_id for step in self.steps]

    @property
    def deltas(self) -> list[Delta]:
        return [event for event in self.events if isinstance(event, Delta)]

    @property
    def output(self) -> Any:
        return self._finished.output

    @property
    def output_type(self) -> str:
        return self._finished.output_type

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.output.messages

    @property
    def _finished(self) -> RunFinished:
        if self.error is not None:
            raise AssertionError(f"the run failed: {self.error}") from self.error
        assert isinstance(self.events[-1], RunFinished)
        return self.events[-1]


class Bench:
    """The machine over scripted surroundings; tasks end the chain unless they say more."""

    def __init__(self) -> None:
        self.models = ScriptedModels()
        self.hooks = ScriptedHooks()
        self.printed: list[str] = []
        self.slept: list[float] = []
        self.handlers = dict(builtin_handlers())
        self.machine = self.new_machine()

    def new_machine(self, **options: Any) -> Machine:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return Machine(
            self.handlers,
            self.models,
            SourceToolbox({"scripted": self.hooks}),
            **{"sleep": sleep, "jitter": lambda: 1.0, "printer": self.printed.append, **options},
        )

    def chain(self, *tasks: dict[str, Any], **fields: Any) -> Any:
        """Decode a chain; tasks without transition go on to the next one."""
        ids = [task["id"] for task in tasks]
        following = [*ids[1:], "end"]
        default = [
            {"id": task["id"], "transition": _to(goto), **task}
            for task, goto in zip(tasks, following, strict=True)
        ]
        return decode_chain({"id": "test", "tasks": default, **fields})

    def request(self, chain: Any, data: Any = "hello", kind: str = "", **fields: Any) -> RunRequest:
        value = data if isinstance(data, Value) else to_value(data, kind or None)
        return RunRequest(chain=chain, input=value, run_id="run-1", **fields)

    def start(self, chain: Any, *args: Any, **fields: Any) -> AsyncIterator[RunEvent]:
        return self.machine.run(self.request(chain, *args, **fields))

    async def run(self, chain: Any, *args: Any, **fields: Any) -> Result:
        """Run to the end; an error of the run is part of the result."""
        result = Result()
        try:
            async for event in self.start(chain, *args, **fields):
                result.events.append(event)
        except RuntimeCoreError as error:
            result.error = error
        return result

    async def one(self, task: dict[str, Any], *args: Any, **fields: Any) -> Result:
        """Run a chain of one task."""
        return await self.run(self.chain({"id": "a", **task}), *args, **fields)


def _to(goto: str, **branch: Any) -> dict[str, Any]:
    return {"branches": [{"operator": "default", "goto": goto, **branch}]}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def goto() -> Callable[..., dict[str, Any]]:
    """Make a transition of one default branch."""
    return _to


@pytest.fixture
def chunk() -> type[ChatChunk]:
    return ChatChunk


@pytest.fixture
def usage() -> type[Usage]:
    return Usage
