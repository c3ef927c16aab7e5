"""``chat_completion``: continue a conversation with a model's answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runtime_core.engine.closing import closing
from runtime_core.engine.handlers.asking import Answer, config_of, prompt_request, wanted
from runtime_core.engine.handlers.names import ToolNames
from runtime_core.engine.handlers.offers import offered_tools, passed_tools
from runtime_core.engine.handlers.showing import Showing
from runtime_core.engine.tokens import estimate_history
from runtime_core.errors import ContextLengthExceeded, InvalidRequest, UpstreamProtocolError
from runtime_core.types import (
    ChatChunk,
    ChatHistory,
    ChatRequest,
    Message,
    ModelRouted,
    Outcome,
    Usage,
    Value,
    Wanted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from runtime_core.engine.handlers.backstage import Backstage
    from runtime_core.protocols import TaskCall
    from runtime_core.types import DataType, Delta, ExecuteConfig, FinishReason, Tool

__all__ = ("ChatCompletionHandler",)

#: What a later turn of a chat client's run still owes to the client's request.
_LASTING = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "response_format",
)
_OVERRIDES = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "tool_choice",
    "response_format",
)


class _Turn(NamedTuple):
    """Everything that is settled before the model is asked."""

    history: ChatHistory
    wants: Wanted
    request: ChatRequest
    names: ToolNames
    showing: Showing | None
    warnings: tuple[str, ...]


class ChatCompletionHandler:
    """Asks a model of role ``chat`` and appends its answer; deltas stream as they come.

    :param backstage: has what a client was not shown of the conversation it sends.
    """

    accepts: frozenset[DataType] = frozenset(("chat_history", "openai_chat"))
    returns: DataType | None = "chat_history"
    transitions: frozenset[str] | None = frozenset(("executed", "tool-call"))

    def __init__(self, backstage: Backstage) -> None:
        self._backstage = backstage

    async def run(self, call: TaskCall) -> AsyncIterator[Delta | ModelRouted | Outcome]:
        """Ask, pass the deltas on, end with the longer history."""
        turn = await _prepare(call, self._backstage)
        answer, delta = Answer(), call.delta
        async with closing(call.models.chat(turn.wants, turn.request)) as stream:
            async for item in stream:
                if isinstance(item, ChatChunk):
                    if item.tool_calls:
                        item = turn.names.chunk(item)
                        answer.add(item)
                        for event in _calling(call, turn, item):
                            yield event
                    else:
                        answer.add(item)
                        yield delta(item)
                else:
                    answer.route = item
                    yield ModelRouted(call.task.id, item)
        yield await _outcome(call, turn, answer)


def _calling(call: TaskCall, turn: _Turn, chunk: ChatChunk) -> Iterator[Delta]:
    """Wrap a chunk with tool calls; those that the chain executes are not shown to clients."""
    if turn.showing is None:
        yield call.delta(chunk)
        return
    shown, hidden = turn.showing.parts(chunk)
    if shown is not None:
        yield call.delta(shown)
    if hidden is not None:
        yield call.delta(hidden, shown=False)


async def _prepare(call: TaskCall, backstage: Backstage) -> _Turn:
    task, config = call.task, config_of(call.task)
    history = _with_system(_history(call, backstage), task.system_instruction)
    if not history.messages:
        raise InvalidRequest(
            f"task {task.id!r} got a conversation without messages; send at least one"
        )
    base = _client_request(call)
    wants = wanted("chat", config, whole=not call.request.live)
    if not wants.models and base.model:
        wants = msgspec.structs.replace(wants, models=(base.model,))
    wants = await _measured(call, history, wants)
    offer = await offered_tools(call, config)
    names = ToolNames(tool.name for tool in offer.tools)
    request = _request(base, config, history, offer.tools, names)
    if wants.whole:
        request = msgspec.structs.replace(request, stream=False)
    showing = Showing(passed_tools(call)) if call.executing else None
    return _Turn(history, wants, request, names, showing, offer.warnings)


def _history(call: TaskCall, backstage: Backstage) -> ChatHistory:
    data = call.value.data
    if isinstance(data, ChatHistory):
        return data
    now = _now()
    messages = tuple(
        message if message.timestamp else msgspec.structs.replace(message, timestamp=now)
        for message in backstage.restored(call, data.messages)
    )
    return ChatHistory(messages, data.model)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _with_system(history: ChatHistory, instruction: str) -> ChatHistory:
    if not instruction or any(
        message.role == "system" and message.content == instruction for message in history.messages
    ):
        return history
    system = Message(role="system", content=instruction, timestamp=_now())
    return msgspec.structs.replace(history, messages=(system, *history.messages))


async def _measured(call: TaskCall, history: ChatHistory, wants: Wanted) -> Wanted:
    """Say how long the conversation is: counted where there is a limit, else estimated.

    :raises ContextLengthExceeded: it is longer than the chain's limit.
    """
    limit = call.chain.token_limit
    if limit <= 0:
        known = history.input_tokens > 0
        tokens = estimate_history(history)
        return msgspec.structs.replace(wants, context_tokens=tokens, counted=known)
    tokens = await call.tokens.count_history(history, next(iter(wants.models), history.model))
    if tokens > limit:
        raise ContextLengthExceeded(
            f"task {call.task.id!r}: the conversation has about {tokens} tokens, the chain's "
            f"token_limit is {limit}; send fewer or shorter messages"
        )
    return msgspec.structs.replace(wants, context_tokens=tokens, counted=True)


def _client_request(call: TaskCall) -> ChatRequest:
    """Return the request the conversation came with.

    A later turn (after tool calls, say) of a chat client's run keeps the client's model, sampling
    and format, but not what was meant for the first answer only.
    """
    if isinstance(call.value.data, ChatRequest):
        return call.value.data
    first = call.request.input.data
    if not isinstance(first, ChatRequest):
        return ChatRequest(model="", messages=())
    lasting: dict[str, Any] = {name: getattr(first, name) for name in _LASTING}
    return ChatRequest(messages=(), extra=first.extra, **lasting)


def _request(
    base: ChatRequest,
    config: ExecuteConfig,
    history: ChatHistory,
    tools: tuple[Tool, ...],
    names: ToolNames,
) -> ChatRequest:
    """Merge: the chain's non-empty fields win over the client's."""
    chain = prompt_request(config, (), stream=True)
    merged: dict[str, Any] = {
        name: value
        for name in (*_OVERRIDES, "model")
        if (value := getattr(chain, name, None)) is not None and value not in ("", ())
    }
    choice = base.tool_choice if config.tool_choice is None else _chosen(config, history)
    merged["messages"] = tuple(names.message(message) for message in history.messages)
    merged["tools"] = tuple(
        msgspec.structs.replace(tool, name=names.sent(tool.name)) for tool in tools
    )
    merged["tool_choice"] = _tool_choice(choice, tools, names)
    merged["parallel_tool_calls"] = base.parallel_tool_calls if tools else None
    return msgspec.structs.replace(base, **merged)


def _chosen(config: ExecuteConfig, history: ChatHistory) -> str | dict[str, Any] | None:
    """Return the chain's tool choice, which must not make a model call tools for ever."""
    answers_tools = history.messages[-1].role == "tool"
    return "auto" if answers_tools and config.tool_choice != "none" else config.tool_choice


def _tool_choice(
    choice: str | dict[str, Any] | None, tools: tuple[Tool, ...], names: ToolNames
) -> str | dict[str, Any] | None:
    """Translate a tool choice; one for a tool that is not offered would only be refused."""
    if not tools or not isinstance(choice, dict):
        return choice if tools else None
    function = choice.get("function")
    if not isinstance(function, dict) or "name" not in function:
        return choice
    if all(tool.name != function["name"] for tool in tools):
        return None
    return {**choice, "function": {**function, "name": names.sent(function["name"])}}


async def _outcome(call: TaskCall, turn: _Turn, answer: Answer) -> Outcome:
    if answer.finish_reason is None:
        raise UpstreamProtocolError("the model's answer ended without a finish reason; try again")
    text, calls = answer.text, answer.tool_calls()
    message = Message(
        role="assistant",
        content=text if text or not calls else None,
        tool_calls=calls,
        timestamp=_now(),
    )
    routed = answer.route.model if answer.route else ""
    usage = answer.usage or await _usage(call, turn, message, routed)
    finish_reason: FinishReason = "tool_calls" if calls else answer.finish_reason
    history = ChatHistory(
        messages=(*turn.history.messages, message),
        model=turn.history.model or routed,
        input_tokens=usage.prompt_tokens or turn.wants.context_tokens,
        output_tokens=usage.completion_tokens,
        finish_reason=finish_reason,
        earlier=_spent(turn.history),
    )
    transition = "tool-call" if calls else "executed"
    return Outcome(Value(history, "chat_history"), transition, warnings=turn.warnings)


def _spent(history: ChatHistory) -> Usage:
    """Return what the run's answers up to here have used."""
    earlier = history.earlier
    if history.finish_reason is None:  # no model of this run has answered yet
        return earlier
    return Usage(
        earlier.prompt_tokens + history.input_tokens,
        earlier.completion_tokens + history.output_tokens,
    )


async def _usage(call: TaskCall, turn: _Turn, message: Message, model: str) -> Usage:
    """Count what the provider did not report."""
    tokens = turn.wants.context_tokens
    if not turn.wants.counted:
        tokens = await call.tokens.count_history(turn.history, model)
    return Usage(tokens, await call.tokens.count_messages((message,), model))
