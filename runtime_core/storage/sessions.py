"""Stored conversations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import and_, bindparam, case, delete, insert, select

from runtime_core.errors import NotFound, RuntimeCoreError, Unprocessable
from runtime_core.storage.tables import ChatMessageRow, ChatSessionRow
from runtime_core.tables import table_of
from runtime_core.tables.names import MAX_LENGTH, can_be_stored, require_name
from runtime_core.tables.pagination import newest_first, page_of, page_parameters
from runtime_core.types import ChatSession, Message, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime_core.storage.database import Database
    from runtime_core.tables.pagination import AnyRow

__all__ = ("Sessions",)


class Sessions:
    """Implements `runtime_core.protocols.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Message)
        self._prepare_reads()
        self._prepare_writes()

    async def get(self, tenant_id: str, session_id: str) -> ChatSession:
        """Return a conversation with its messages, or raise `NotFound`."""
        _require_possible(session_id)
        key = {"tenant": tenant_id, "session": session_id}
        rows = await self._database.read(self._select, key)
        if not rows:
            raise _not_found(session_id)
        bodies = [row.body for row in rows if row.body is not None]
        try:
            messages = tuple(map(self._decoder.decode, bodies))
        except msgspec.MsgspecError as error:
            raise RuntimeCoreError(
                f"the conversation {session_id!r} cannot be read: delete it"
            ) from error
        return _session(rows[0], messages)

    async def append(
        self, tenant_id: str, session_id: str, chain_id: str, messages: Sequence[Message]
    ) -> None:
        """Add messages, in one transaction; the conversation is created when new.

        Concurrent calls are ordered one after the other, their messages never mix.
        """
        require_name(session_id, "conversation", param="session")
        require_name(chain_id, "conversation", param="chain")
        bodies = [self._body(message) for message in messages]
        session = {
            "tenant": tenant_id,
            "session": session_id,
            "chain": chain_id,
            "count": len(bodies),
            "now": datetime.now(UTC),
        }

        async def work(connection: AsyncConnection) -> None:
            # the upsert locks the conversation until the end of the transaction
            count = (await connection.execute(self._upsert, session)).scalar_one()
            if bodies:
                rows = [
                    {"tenant": tenant_id, "session": session_id, "number": number, "text": body}
                    for number, body in enumerate(bodies, count - len(bodies))
                ]
                await connection.execute(self._insert, rows)

        await self._database.transaction(work)

    async def delete(self, tenant_id: str, session_id: str) -> None:
        """Delete with all messages, or raise `NotFound`."""
        _require_possible(session_id)
        key = {"tenant": tenant_id, "session": session_id}
        if not await self._database.write(self._delete, key):
            raise _not_found(session_id)

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[ChatSession]:
        """List newest first, without messages."""
        parameters = page_parameters(tenant_id, limit, cursor)
        rows = await self._database.read(self._list, parameters)
        return page_of(rows, limit, _session)

    def _prepare_reads(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        sessions, messages = table_of(ChatSessionRow), table_of(ChatMessageRow)
        shown = (
            sessions.c.id,
            sessions.c.chain_id,
            sessions.c.created_at,
            sessions.c.updated_at,
        )
        # one statement, so that the conversation and its messages are of the same moment
        joined = sessions.outerjoin(
            messages,
            and_(
                messages.c.tenant_id == sessions.c.tenant_id,
                messages.c.session_id == sessions.c.id,
            ),
        )
        self._select = (
            select(*shown, messages.c.body)
            .select_from(joined)
            .where(
                sessions.c.tenant_id == bindparam("tenant"),
                sessions.c.id == bindparam("session"),
            )
            .order_by(messages.c.sequence)
        )
        self._list = newest_first(sessions, *shown)

    def _prepare_writes(self) -> None:
        sessions = table_of(ChatSessionRow)
        now = bindparam("now", type_=sessions.c.created_at.type)
        new = self._database.insert(sessions).values(
            tenant_id=bindparam("tenant"),
            id=bindparam("session"),
            chain_id=bindparam("chain"),
            message_count=bindparam("count"),
            created_at=now,
            updated_at=now,
        )
        self._upsert = new.on_conflict_do_update(
            index_elements=[sessions.c.tenant_id, sessions.c.id],
            set_={
                "chain_id": new.excluded.chain_id,
                "message_count": sessions.c.message_count + new.excluded.message_count,
                "updated_at": case((now > sessions.c.created_at, now), else_=sessions.c.created_at),
            },
        ).returning(sessions.c.message_count)
        self._insert = insert(table_of(ChatMessageRow)).values(
            tenant_id=bindparam("tenant"),
            session_id=bindparam("session"),
            sequence=bindparam("number"),
            body=bindparam("text"),
        )
        self._delete = (
            delete(sessions)
            .where(
                sessions.c.tenant_id == bindparam("tenant"),
                sessions.c.id == bindparam("session"),
            )
            .returning(sessions.c.id)
        )

    def _body(self, message: Message) -> str:
        try:
            return self._encoder.encode(message).decode()
        except (TypeError, UnicodeEncodeError) as error:
            raise Unprocessable(
                f"a message holds something that is not JSON: {error}", param="message"
            ) from error


def _session(row: AnyRow, messages: tuple[Message, ...] = ()) -> ChatSession:
    return ChatSession(
        id=row.id,
        chain_id=row.chain_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        messages=messages,
    )


def _require_possible(session_id: str) -> None:
    """Raise `NotFound` at once for an id that nothing can be stored under."""
    if len(session_id) > MAX_LENGTH or not can_be_stored(session_id):
        raise _not_found(session_id)


def _not_found(session_id: str) -> NotFound:
    shown = session_id if len(session_id) <= MAX_LENGTH else f"{session_id[:MAX_LENGTH]}…"
    return NotFound(f"conversation {shown!r} not found")
