"""Asking a model on a task's behalf, and gathering its answer while it streams."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from runtime_core.engine.closing import closing
from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import (
    ChatChunk,
    ChatRequest,
    ExecuteConfig,
    FunctionCall,
    ModelRouted,
    Routed,
    ToolCall,
    Wanted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import TaskCall
    from runtime_core.types import (
        DataType,
        Delta,
        FinishReason,
        Message,
        ModelRole,
        Task,
        ToolCallDelta,
        Usage,
    )

__all__ = ("PROMPTABLE", "Answer", "ask", "config_of", "prompt_request", "wanted")

#: The input types that have a text to put before a model.
PROMPTABLE: frozenset[DataType] = frozenset(
    ("string", "int", "float", "bool", "chat_history", "openai_chat")
)
_PLAIN = ExecuteConfig()


class Answer:
    """A model's answer, put together from its chunks."""

    __slots__ = ("_calls", "_texts", "finish_reason", "route", "usage")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, _PartialCall] = {}
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.route: Routed | None = None

    def add(self, chunk: ChatChunk) -> None:
        """Take in the next chunk."""
        if chunk.text:
            self._texts.append(chunk.text)
        if chunk.tool_calls:
            for piece in chunk.tool_calls:
                self._calls.setdefault(piece.index, _PartialCall()).add(piece)
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
        if chunk.usage is not None:
            self.usage = chunk.usage

    @property
    def text(self) -> str:
        """The text, exact to the byte."""
        return "".join(self._texts)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the model's order; a call that came without an id gets one."""
        return tuple(self._calls[index].whole() for index in sorted(self._calls))


class _PartialCall:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, piece: ToolCallDelta) -> None:
        self.id = piece.id or self.id
        self.name = piece.name or self.name
        self.arguments.append(piece.arguments)

    def whole(self) -> ToolCall:
        call_id = self.id or f"call_{uuid.uuid4().hex[:24]}"
        return ToolCall(call_id, FunctionCall(self.name, "".join(self.arguments)))


def config_of(task: Task) -> ExecuteConfig:
    """Return the task's ``execute_config``, an empty one when it has none."""
    return task.execute_config or _PLAIN


def wanted(
    role: ModelRole, config: ExecuteConfig, *, context_tokens: int = 0, whole: bool = False
) -> Wanted:
    """Say which models *config* asks for, in order of preference.

    :param whole: nobody sees the answer before its end.
    """
    models = dict.fromkeys(name for name in (config.model, *config.models) if name)
    providers = dict.fromkeys(name for name in (config.provider, *config.providers) if name)
    return Wanted(role, tuple(models), tuple(providers), context_tokens, whole)


def prompt_request(
    config: ExecuteConfig, messages: tuple[Message, ...], *, stream: bool
) -> ChatRequest:
    """Build the request of a prompt, every sampling field included."""
    return ChatRequest(
        model=config.model,
        messages=messages,
        stream=stream,
        response_format=config.response_format,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        stop=config.stop,
        seed=config.seed,
    )


async def ask(
    call: TaskCall, wants: Wanted, request: ChatRequest, answer: Answer
) -> AsyncIterator[Delta | ModelRouted]:
    """Ask the best backend, yielding its chunks as events and gathering them in *answer*."""
    async with closing(call.models.chat(wants, request)) as stream:
        async for item in stream:
            if isinstance(item, ChatChunk):
                answer.add(item)
                yield call.delta(item)
            else:
                answer.route = item
                yield ModelRouted(call.task.id, item)
    if answer.finish_reason is None:
        raise UpstreamProtocolError("the model's answer ended without a finish reason; try again")
