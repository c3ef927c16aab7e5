"""What chat clients are not shown of a conversation, put back when they go on with it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from runtime_core.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.protocols import TaskCall
    from runtime_core.types import Message

__all__ = ("Backstage",)

#: Characters of conversations that are kept, together and each.
_KEPT = 16 * 2**20
_LARGEST_KEPT = 2**20


class Backstage:
    """Remembers the tools a model used before it called one of the client's.

    A chat client sends back what it was shown: its own tools' calls and results.  What happened
    before in the same run would be lost to the model, which then uses the same tools again.  A
    conversation is recognised by everything the client has sent of it, and forgotten when others
    have been used more lately.
    """

    def __init__(self, *, size: int = _KEPT, largest: int = _LARGEST_KEPT) -> None:
        self._size = size
        self._largest = largest
        self._used = 0
        self._kept: OrderedDict[bytes, tuple[Message, ...]] = OrderedDict()

    def keep(self, call: TaskCall, messages: Sequence[Message]) -> None:
        """Keep what is in *messages*, which end with calls of the client's tools, unseen by it."""
        request = call.request.input.data
        if not isinstance(request, ChatRequest) or not request.messages:
            return
        unseen = _after(messages, request.messages[-1])[:-1]
        size = sum(map(_length, unseen))
        if not unseen or size > self._largest:
            return
        conversation = _Conversation(call)
        for message in request.messages:
            conversation.add(message)
        self._put(conversation.key(messages[-1]), unseen, size)

    def restored(self, call: TaskCall, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return a client's *messages* with what it has not seen."""
        if not self._kept or not any(message.tool_calls for message in messages):
            return tuple(messages)
        conversation = _Conversation(call)
        whole: list[Message] = []
        for message in messages:
            if message.tool_calls and (unseen := self._get(conversation.key(message))):
                whole += unseen
            whole.append(message)
            conversation.add(message)
        return tuple(whole)

    def _get(self, key: bytes) -> tuple[Message, ...]:
        if key not in self._kept:
            return ()
        self._kept.move_to_end(key)
        return self._kept[key]

    def _put(self, key: bytes, unseen: tuple[Message, ...], size: int) -> None:
        self._used += size - sum(map(_length, self._kept.pop(key, ())))
        self._kept[key] = unseen
        while self._used > self._size:
            _, oldest = self._kept.popitem(last=False)
            self._used -= sum(map(_length, oldest))


class _Conversation:
    """A digest of a conversation, as one of its clients tells it."""

    def __init__(self, call: TaskCall) -> None:
        place = msgspec.json.encode((call.request.tenant_id, call.chain.id))
        self._digest = hashlib.blake2b(place, digest_size=32)

    def add(self, message: Message) -> None:
        """Go on with *message*."""
        ids = [call.id for call in message.tool_calls]
        told = (message.role, message.content or "", message.tool_call_id or "", ids)
        self._digest.update(msgspec.json.encode(told))

    def key(self, message: Message) -> bytes:
        """Return what stands for the conversation up to the calls of *message*."""
        digest = self._digest.copy()
        digest.update(msgspec.json.encode([call.id for call in message.tool_calls]))
        return digest.digest()


def _after(messages: Sequence[Message], last: Message) -> tuple[Message, ...]:
    """Return what follows the latest message of the client that says what *last* does.

    Results of the run's own tools may say the same; unlike a client's messages they have no time.
    """
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        own = message.role == "tool" and not message.timestamp
        if not own and _said(message) == _said(last):
            return tuple(messages[index + 1 :])
    return ()


def _said(message: Message) -> tuple[object, ...]:
    return message.role, message.content, message.tool_call_id


def _length(message: Message) -> int:
    content = message.content
    written = len(content) if isinstance(content, str) else len(msgspec.json.encode(content))
    return written + sum(len(call.function.arguments) for call in message.tool_calls)
