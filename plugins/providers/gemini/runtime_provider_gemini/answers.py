"""What comes back from a chat, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError, UpstreamRejected
from runtime_core.types import ChatChunk, ToolCallDelta, Usage
from runtime_provider_gemini.failures import failure

if TYPE_CHECKING:
    import httpx

    from runtime_core.types import FinishReason
    from runtime_provider_gemini.signatures import Signatures

__all__ = ("AnswerReader",)

#: Why an answer ended; a word in none of these tables is an ordinary end.
_FINISH: Final[dict[str, FinishReason]] = {
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "BLOCKLIST": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "LANGUAGE": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "OTHER": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "SPII": "content_filter",
}

#: The model wrote what cannot be used; asked again, it may not.
_BROKEN: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)

#: Not about this answer; asking again changes nothing.
_REFUSED: Final = frozenset({"MISSING_THOUGHT_SIGNATURE", "PUP_LIMITED_DISABLED"})

_UNSPECIFIED: Final = ("FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED")


class _FunctionCall(Struct):
    name: str
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw()


class _Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: _FunctionCall | None = None
    thought_signature: str | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(Struct, rename="camel", gc=False):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Event(Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class AnswerReader:
    """Turns the events of one answer into chunks.

    Feed it each event's data; `end` gives the last chunk, once the stream is over: the protocol
    has no event that says so, and token counts may follow the finish reason.

    :param name: how messages of errors call the server.
    :param request: what is being answered; its credentials are kept out of messages.
    :param signatures: where the signatures of tool calls are kept.
    """

    __slots__ = ("_finish", "_ids", "_name", "_request", "_signatures", "_usage")

    def __init__(self, name: str, request: httpx.Request, signatures: Signatures) -> None:
        self._name = name
        self._request = request
        self._signatures = signatures
        self._ids: set[str] = set()
        self._finish: FinishReason | None = None
        self._usage: _Usage | None = None

    def feed(self, data: bytes) -> ChatChunk | None:
        """Return the chunk in an event's *data*, or None when it has nothing for the client.

        :raises UpstreamError: the server reports an error.
        :raises msgspec.MsgspecError: *data* is no event.
        """
        event = _decode(data)
        if event.error is not None:
            raise failure(self._name, event.error, self._request)
        if event.usage_metadata is not None:
            self._usage = event.usage_metadata
        if event.prompt_feedback is not None:
            self._read_feedback(event.prompt_feedback)
        for candidate in event.candidates or ():
            if not candidate.index:  # others were asked for by nobody who can tell them apart
                return self._candidate(candidate)
        return None

    def end(self) -> ChatChunk:
        """Return the last chunk.

        :raises UpstreamProtocolError: the answer has not ended.
        """
        if self._finish is None:
            raise UpstreamProtocolError(
                f"{self._name} ended its answer half-way: the stream has no finish reason"
            )
        finish: FinishReason = self._finish
        if self._ids and finish == "stop":
            finish = "tool_calls"
        return ChatChunk(finish_reason=finish, usage=_counted(self._usage))

    def _read_feedback(self, feedback: _Feedback) -> None:
        if feedback.block_reason and feedback.block_reason not in _UNSPECIFIED:
            self._finish = "content_filter"

    def _candidate(self, candidate: _Candidate) -> ChatChunk | None:
        if candidate.finish_reason and candidate.finish_reason not in _UNSPECIFIED:
            self._read_finish(candidate.finish_reason, candidate.finish_message)
        parts = candidate.content.parts if candidate.content is not None else None
        if not parts:
            return None
        if len(parts) == 1 and parts[0].text and not parts[0].thought:  # nearly every event
            return ChatChunk(parts[0].text)
        return self._mixed(parts)

    def _read_finish(self, word: str, message: str | None) -> None:
        said = f"{word}: {message}" if message else word
        if word in _BROKEN:
            raise UpstreamProtocolError(f"{self._name} broke off its answer, {said}")
        if word in _REFUSED:
            raise UpstreamRejected(f"{self._name} refused to answer, {said}")
        self._finish = _FINISH.get(word, "stop")

    def _mixed(self, parts: list[_Part]) -> ChatChunk | None:
        text = "".join(part.text for part in parts if part.text and not part.thought)
        reasoning = "".join(part.text for part in parts if part.text and part.thought)
        calls = tuple(
            self._call(part.function_call, part.thought_signature)
            for part in parts
            if part.function_call is not None
        )
        if not (text or reasoning or calls):
            return None
        return ChatChunk(text, calls, reasoning=reasoning)

    def _call(self, call: _FunctionCall, signature: str | None) -> ToolCallDelta:
        # most models give no ids
        given = call.id if call.id and call.id not in self._ids else f"call_{uuid4().hex}"
        index = len(self._ids)
        self._ids.add(given)
        if signature:
            self._signatures.keep(given, signature)
        return ToolCallDelta(index, given, call.name, self._arguments(call))

    def _arguments(self, call: _FunctionCall) -> str:
        written = bytes(call.args).decode()
        if written in ("", "null"):
            return "{}"
        if not written.startswith("{"):
            raise UpstreamProtocolError(
                f"{self._name} called {call.name} with arguments that are not an object"
            )
        return written


def _counted(usage: _Usage | None) -> Usage | None:
    """Return the tokens as they are charged: thoughts are part of the answer."""
    if usage is None:
        return None
    return Usage(
        (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
    )
