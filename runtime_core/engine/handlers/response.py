"""``convert_to_openai_chat_response``: a conversation's last message as one whole answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.types import DataType, Outcome, Value
from runtime_core.types.interchange import completion_from_history

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import TaskCall

__all__ = ("ChatResponseHandler",)


class ChatResponseHandler:
    """Turns the history's last message into a `ChatCompletion`."""

    accepts: frozenset[DataType] = frozenset(("chat_history",))
    returns: DataType | None = "openai_chat_response"
    transitions: frozenset[str] | None = frozenset(("converted",))

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """Convert."""
        completion = completion_from_history(call.value.data)
        yield Outcome(Value(completion, "openai_chat_response"), "converted")
