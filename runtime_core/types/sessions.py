"""Stored conversations of ``POST /chat``, and stored task chains as they are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from runtime_core.types.chains import Chain
from runtime_core.types.chat import Message

__all__ = ("ChatSession", "Page", "StoredChain")

T = TypeVar("T")


class ChatSession(Struct, frozen=True, kw_only=True):
    """A conversation; ``messages`` is empty in listings."""

    id: str
    chain_id: str
    created_at: datetime
    updated_at: datetime
    messages: tuple[Message, ...] = ()


class StoredChain(Struct, frozen=True, kw_only=True):
    """A chain with the times it was first stored and last replaced."""

    chain: Chain
    created_at: datetime
    updated_at: datetime


class Page(Struct, Generic[T], frozen=True):
    """A part of a listing, newest first; ``next_cursor`` is None on the last page."""

    items: list[T]
    next_cursor: str | None = None
