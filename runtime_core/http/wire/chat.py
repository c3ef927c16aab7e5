"""Bodies and answers of ``/chat``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from runtime_core.http.wire.times import rfc3339
from runtime_core.types import ChatSession, Usage
from runtime_core.types.interchange import message_to_wire

__all__ = ("ChatAnswer", "ChatBody", "SessionWire", "UsageWire", "session_wire", "usage_wire")


class ChatBody(Struct, frozen=True):
    """One turn: a session goes on, or begins when its id is new or not given."""

    message: str | None = None
    session: str | None = None
    chain: str | None = None
    stream: bool | None = None


class UsageWire(Struct, frozen=True):
    """Tokens, as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatAnswer(Struct, frozen=True, rename="camel"):
    """The model's reply to a turn."""

    session: str
    message: str
    usage: UsageWire
    run_id: str


class SessionWire(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A stored conversation; listings have no ``messages``."""

    session: str
    chain: str
    created_at: str
    updated_at: str
    messages: list[dict[str, Any]] | None = None


def usage_wire(usage: Usage) -> UsageWire:
    """Return the wire form of *usage*."""
    return UsageWire(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def session_wire(session: ChatSession, *, whole: bool) -> SessionWire:
    """Return the wire form of *session*, with its messages when it is *whole*."""
    return SessionWire(
        session=session.id,
        chain=session.chain_id,
        created_at=rfc3339(session.created_at),
        updated_at=rfc3339(session.updated_at),
        messages=[message_to_wire(message) for message in session.messages] if whole else None,
    )
