"""Handlers that put one prompt before a model and read its answer as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.engine.closing import closing
from runtime_core.engine.handlers import answers
from runtime_core.engine.handlers.asking import (
    PROMPTABLE,
    Answer,
    ask,
    config_of,
    prompt_request,
    wanted,
)
from runtime_core.engine.handlers.structured import as_json, json_format, schema_problem
from runtime_core.engine.values import prompt_text
from runtime_core.errors import ContextLengthExceeded, InvalidRequest
from runtime_core.types import ExecuteConfig, Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from runtime_core.protocols import TaskCall, TaskHandler
    from runtime_core.types import DataType, Delta, ModelRouted, Outcome, Task

__all__ = ("PromptHandler", "prompt_handlers")

_BOOLEANS = frozenset(("true", "false"))


class PromptHandler:
    """Asks a model of role ``task`` and reads the answer with *read*.

    *response_format* makes the ``response_format`` of a task that does not bring its own;
    *problem* says what keeps a task from running.
    """

    accepts = PROMPTABLE

    def __init__(
        self,
        returns: DataType,
        read: Callable[[str, Task], Outcome],
        *,
        transitions: frozenset[str] | None = None,
        response_format: Callable[[Task], dict[str, Any]] | None = None,
        problem: Callable[[Task], str | None] | None = None,
    ) -> None:
        self.returns: DataType | None = returns
        self.transitions = transitions
        self._read = read
        self._response_format = response_format
        self._problem = problem

    def problems(self, task: Task) -> Sequence[str]:
        """Name what keeps the task from running."""
        problem = self._problem(task) if self._problem is not None else None
        return () if problem is None else (problem,)

    async def run(self, call: TaskCall) -> AsyncIterator[Delta | ModelRouted | Outcome]:
        """Ask, then read."""
        config = self._config(call.task)
        request = prompt_request(config, _messages(call), stream=call.request.live)
        answer = Answer()
        wants = wanted("task", config, whole=not call.request.live)
        async with closing(ask(call, wants, request, answer)) as events:
            async for event in events:
                yield event
        yield self._read(answer.text, call.task)

    def _config(self, task: Task) -> ExecuteConfig:
        config = config_of(task)
        if self._response_format is None or config.response_format is not None:
            return config
        return _with_format(config, self._response_format(task))


def _with_format(config: ExecuteConfig, response_format: dict[str, Any]) -> ExecuteConfig:
    return msgspec.structs.replace(config, response_format=response_format)


def _messages(call: TaskCall) -> tuple[Message, ...]:
    task = call.task
    prompt = prompt_text(call.value)
    if not prompt.strip():
        raise InvalidRequest(f"task {task.id!r} has an empty prompt; give it a text to work on")
    user = Message(role="user", content=prompt)
    messages: tuple[Message, ...] = (user,)
    if task.system_instruction:
        messages = (Message(role="system", content=task.system_instruction), user)
    _check_limit(call, prompt)
    return messages


def _check_limit(call: TaskCall, prompt: str) -> None:
    limit = call.chain.token_limit
    if limit > 0:
        model = next(iter(wanted("task", config_of(call.task)).models), "")
        tokens = call.tokens.count(f"{call.task.system_instruction}\n{prompt}", model)
        if tokens > limit:
            raise ContextLengthExceeded(
                f"task {call.task.id!r}: the prompt has about {tokens} tokens, the chain's "
                f"token_limit is {limit}"
            )


def prompt_handlers() -> Mapping[str, TaskHandler]:
    """Return the handlers named ``prompt_to_*``."""
    return {
        "prompt_to_string": PromptHandler("string", answers.as_string),
        "prompt_to_condition": PromptHandler(
            "bool",
            answers.as_condition,
            transitions=_BOOLEANS,
            problem=answers.condition_problem,
        ),
        "prompt_to_int": PromptHandler("int", answers.as_int),
        "prompt_to_float": PromptHandler("float", answers.as_float),
        "prompt_to_range": PromptHandler("string", answers.as_range),
        "prompt_to_js": PromptHandler(
            "json", answers.as_js, transitions=frozenset(("ok", "empty_js"))
        ),
        "prompt_to_json": PromptHandler(
            "json",
            as_json,
            transitions=frozenset(("ok",)),
            response_format=json_format,
            problem=schema_problem,
        ),
    }
