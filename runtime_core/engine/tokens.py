"""How long a conversation is, where no provider has counted it yet.

The estimate is one token for every four bytes of UTF-8 text, rounded up: close for English,
generous for most other scripts.  Pictures and other parts without text count as nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.types import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime_core.types import ChatHistory, Message

__all__ = ("count_history", "estimate", "estimate_messages")

_BYTES_PER_TOKEN = 4


def estimate(text: str) -> int:
    """Estimate the tokens of *text*."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_messages(messages: Iterable[Message]) -> int:
    """Estimate the tokens of *messages*, tool calls included."""
    return sum(_estimate_message(message) for message in messages)


def count_history(history: ChatHistory) -> int:
    """Count the tokens that sending *history* takes.

    Counts it came with are trusted: they cover everything up to the model's last answer, and
    what has been said since is estimated.
    """
    if history.input_tokens <= 0:
        return estimate_messages(history.messages)
    if history.output_tokens <= 0:
        return history.input_tokens
    return history.input_tokens + history.output_tokens + estimate_messages(_unanswered(history))


def _estimate_message(message: Message) -> int:
    content = message.content
    total = estimate(content if isinstance(content, str) else text_of(message))
    for call in message.tool_calls:
        total += estimate(call.function.name) + estimate(call.function.arguments)
    return total


def _unanswered(history: ChatHistory) -> tuple[Message, ...]:
    messages = history.messages
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "assistant":
            return messages[index + 1 :]
    return ()
