"""``/chat``: conversations that are stored here."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from runtime_core.engine.closing import closing
from runtime_core.errors import InvalidRequest, NotFound, RuntimeCoreError, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.conversation import (
    asked_model,
    context_length,
    new_message,
    reply_of,
    trimmed,
    usage_of,
)
from runtime_core.http.disconnect import until_disconnected
from runtime_core.http.errors import RunFailed, envelope
from runtime_core.http.feed import Feed
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.runs import new_run_id, run_headers
from runtime_core.http.sse import EventStream, sse_frame
from runtime_core.http.wire.chat import ChatAnswer, ChatBody, SessionWire, session_wire, usage_wire
from runtime_core.protocols import (
    ChainRunner,
    ChainStore,
    ModelGateway,
    SessionStore,
    TokenCounter,
)
from runtime_core.settings import Settings
from runtime_core.types import (
    ChatHistory,
    ChatSession,
    Delta,
    Message,
    ModelRouted,
    Routed,
    RunFinished,
    RunRequest,
    Step,
    StepFinished,
    Usage,
    Value,
)

__all__ = ("CHAT",)

_TAGS = ["Chat"]
_LONGEST_NAME = 255


class _Turn(Struct, frozen=True):
    """A user's message on its way through a chain, and where the conversation is kept."""

    run: RunRequest
    session_id: str
    said: Message
    sessions: SessionStore


class _Record:
    """What is known of a turn so far: its steps, and the way to the model that answers."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.route: Routed | None = None


@post(
    "/chat",
    status_code=200,
    tags=_TAGS,
    summary="Say something",
    opt={
        "asks": True,
        "example": {"message": "Hello!", "session": "my-first-chat"},
        "streams": True,
    },
)
async def say(
    request: Request[Any, Any, Any],
    data: JSONBody[ChatBody],
    runner: NamedDependency[ChainRunner],
    chains: NamedDependency[ChainStore],
    sessions: NamedDependency[SessionStore],
    models: NamedDependency[ModelGateway],
    tokens: NamedDependency[TokenCounter],
    settings: NamedDependency[Settings],
    tenant_id: NamedDependency[str],
) -> Response[ChatAnswer]:
    """Go on with a conversation, or begin one, through a chain; a turn that fails leaves no trace.

    With `stream` the reply comes in pieces, `{"delta": "..."}`; the last frame is the answer that
    comes without it.
    """
    if not data.message:
        raise InvalidRequest("message: must not be empty", param="message")
    _check_name(data.session)
    past = await _past(sessions, tenant_id, data.session)
    chain_id = data.chain or (past.chain_id if past else settings.chat_chain)
    chain = (await chains.get(tenant_id, chain_id)).chain
    said = new_message("user", data.message)
    history = (*past.messages, said) if past else (said,)
    limits = await context_length(chain, models)
    history = await trimmed(history, *limits, tokens=tokens, model=asked_model(chain, models))
    run = RunRequest(
        chain=chain,
        input=Value(ChatHistory(history), "chat_history"),
        run_id=new_run_id(),
        tenant_id=tenant_id,
        live=bool(data.stream),
    )
    session_id = data.session or str(uuid.uuid4())
    turn = _Turn(run, session_id, said, sessions)
    if data.stream:
        return await _stream(request, turn, chain_id, runner, settings.sse_heartbeat)
    record = _Record()
    reply = await until_disconnected(request, _reply(turn, chain_id, runner, record))
    return answer(reply, headers=run_headers(run.run_id, record.route))


@get("/chat", tags=_TAGS, summary="List conversations")
async def list_sessions(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    sessions: NamedDependency[SessionStore],
    tenant_id: NamedDependency[str],
) -> Response[list[SessionWire]]:
    """Return stored conversations without their messages, newest first."""
    found = await sessions.list(tenant_id, limit=page.limit, cursor=page.cursor)
    items = [session_wire(session, whole=False) for session in found.items]
    return listing(request, items, found.next_cursor)


@get("/chat/{session_id:str}", tags=_TAGS, summary="Get a conversation")
async def get_session(
    session_id: FromPath[str],
    sessions: NamedDependency[SessionStore],
    tenant_id: NamedDependency[str],
) -> Response[SessionWire]:
    """Return a stored conversation with its messages."""
    return answer(session_wire(await sessions.get(tenant_id, session_id), whole=True))


@delete("/chat/{session_id:str}", status_code=200, tags=_TAGS, summary="Delete a conversation")
async def delete_session(
    session_id: FromPath[str],
    sessions: NamedDependency[SessionStore],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Delete a stored conversation."""
    await sessions.delete(tenant_id, session_id)
    return answer(f"chat session {session_id} deleted")


CHAT = (say, list_sessions, get_session, delete_session)


def _check_name(session_id: str | None) -> None:
    """Refuse a name that cannot be stored now, not after the model has been paid for."""
    if session_id and (len(session_id) > _LONGEST_NAME or "\0" in session_id):
        raise Unprocessable(
            f"session: at most {_LONGEST_NAME} characters, none of them NUL", param="session"
        )


async def _past(
    sessions: SessionStore, tenant_id: str, session_id: str | None
) -> ChatSession | None:
    if not session_id:
        return None
    try:
        return await sessions.get(tenant_id, session_id)
    except NotFound:
        return None


async def _reply(turn: _Turn, chain_id: str, runner: ChainRunner, record: _Record) -> ChatAnswer:
    try:
        async with closing(_events(turn, chain_id, runner, record)) as events:
            async for event in events:
                if isinstance(event, ChatAnswer):
                    return event
    except RuntimeCoreError as error:
        raise RunFailed(error, turn.run.run_id, record.steps) from error
    raise RuntimeCoreError("the run ended without a result")


async def _stream(
    request: Request[Any, Any, Any],
    turn: _Turn,
    chain_id: str,
    runner: ChainRunner,
    heartbeat: float,
) -> Response[Any]:
    record = _Record()
    feed = Feed(_events(turn, chain_id, runner, record))
    try:
        await until_disconnected(request, feed.head(lambda piece: True))
    except RuntimeCoreError as error:
        raise RunFailed(error, turn.run.run_id, record.steps) from error
    encode = msgspec.json.Encoder().encode

    def frames(pieces: list[str | ChatAnswer]) -> bytes:
        return b"".join(
            [
                sse_frame(encode({"delta": piece} if isinstance(piece, str) else piece))
                for piece in pieces
            ]
        )

    return EventStream(
        feed,
        frames,
        error=lambda error: sse_frame(envelope(error, runId=turn.run.run_id)),
        heartbeat=heartbeat,
        headers=run_headers(turn.run.run_id, record.route),
    )


async def _events(
    turn: _Turn, chain_id: str, runner: ChainRunner, record: _Record
) -> AsyncIterator[str | ChatAnswer]:
    """Yield the reply's pieces, then store the turn and yield the answer."""
    usage = Usage()
    async with closing(runner.run(turn.run)) as events:
        async for event in events:
            if isinstance(event, Delta):
                if (spent := event.chunk.usage) is not None:
                    usage = Usage(
                        usage.prompt_tokens + spent.prompt_tokens,
                        usage.completion_tokens + spent.completion_tokens,
                    )
                if event.final and event.chunk.text:
                    yield event.chunk.text
            elif isinstance(event, StepFinished):
                record.steps.append(event.step)
            elif isinstance(event, ModelRouted):
                record.route = event.route
            elif isinstance(event, RunFinished):
                reply = reply_of(event)
                await turn.sessions.append(
                    turn.run.tenant_id, turn.session_id, chain_id, (turn.said, reply)
                )
                spent = usage_of(event, usage)
                yield ChatAnswer(
                    turn.session_id, str(reply.content), usage_wire(spent), turn.run.run_id
                )
