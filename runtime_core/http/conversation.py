"""One turn of a stored conversation: what the chain is given, and what is kept of its answer."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from runtime_core.engine.tokens import estimate_messages, is_long
from runtime_core.engine.values import text_of_value
from runtime_core.http.wire.times import rfc3339
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    Message,
    RunFinished,
    Usage,
    Value,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime_core.protocols import ModelGateway, TokenCounter
    from runtime_core.types import Chain, ExecuteConfig, Role

__all__ = ("asked_model", "context_length", "new_message", "reply_of", "trimmed", "usage_of")

#: Tokens left for the answer when the chain does not say how long it may be: at most these, and
#: at most a quarter of what the model takes.
_ANSWER = 1024


def new_message(role: Role, content: str) -> Message:
    """Return a message of now."""
    return Message(
        role=role, content=content, id=str(uuid.uuid4()), timestamp=rfc3339(datetime.now(UTC))
    )


async def context_length(chain: Chain, models: ModelGateway) -> tuple[int | None, int | None]:
    """Return how many tokens fit in the model the chain talks to, and how long its answer may be.

    The first is None when that is not known; the chain's ``token_limit`` counts too.
    """
    config = _config(chain)
    limits = [chain.token_limit] if chain.token_limit > 0 else []
    name = asked_model(chain, models)
    found = await models.find(name) if name else None
    if found is not None and found.context_length:
        limits.append(found.context_length)
    return min(limits, default=None), config.max_tokens if config else None


def asked_model(chain: Chain, models: ModelGateway) -> str:
    """Return the name of the model the chain talks to, "" when that is not known before a run."""
    config = _config(chain)
    name = (config and (config.model or next(iter(config.models), ""))) or ""
    name = name or models.default_model("chat")
    return "" if "{{" in name else name


async def trimmed(
    messages: Sequence[Message],
    limit: int | None,
    answer: int | None = None,
    *,
    tokens: TokenCounter,
    model: str = "",
) -> tuple[Message, ...]:
    """Return the newest of *messages* that fit in *limit* tokens with an answer of *answer*.

    The last one always stays; what is kept begins with something a user said.
    """
    if limit is None:
        return tuple(messages)
    room = limit - (answer if answer is not None else min(_ANSWER, limit // 4))
    # a token has a byte at least, and the estimate is one for every four
    if estimate_messages(messages) * 4 <= room:
        return tuple(messages)
    count = partial(tokens.count_message, model=model)
    if is_long(messages):
        return await asyncio.to_thread(_newest, messages, room, count)
    return _newest(messages, room, count)


def _newest(
    messages: Sequence[Message], room: int, count: Callable[[Message], int]
) -> tuple[Message, ...]:
    first = len(messages) - 1
    used = count(messages[first])
    while first > 0:
        used += count(messages[first - 1])
        if used > room:
            break
        first -= 1
    while first < len(messages) - 1 and first > 0 and messages[first].role != "user":
        first += 1
    return tuple(messages[first:])


def reply_of(event: RunFinished) -> Message:
    """Return what the chain answered, as a message of the assistant."""
    output = event.output
    last: Message | None = None
    if isinstance(output, ChatHistory):
        last = output.messages[-1] if output.messages else None
    elif isinstance(output, ChatCompletion):
        last = output.message
    else:
        return new_message("assistant", text_of_value(Value(output, event.output_type)))
    return new_message("assistant", text_of(last) if last is not None else "")


def usage_of(event: RunFinished, reported: Usage) -> Usage:
    """Return the tokens of a turn: as the provider *reported* them, else as the chain counted."""
    if reported.total_tokens:
        return reported
    if isinstance(event.output, ChatHistory):
        return Usage(event.output.input_tokens, event.output.output_tokens)
    if isinstance(event.output, ChatCompletion):
        return event.output.usage
    return reported


def _config(chain: Chain) -> ExecuteConfig | None:
    return next(
        (task.execute_config for task in chain.tasks if task.handler == "chat_completion"), None
    )
