"""What comes back from a chat: streamed chunks, or one whole completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from runtime_core.errors import UpstreamProtocolError, UpstreamUnavailable
from runtime_core.types import ChatChunk, ToolCallDelta, Usage
from runtime_openai_wire.failures import failure

if TYPE_CHECKING:
    import httpx

    from runtime_core.types import FinishReason

__all__ = ("DONE", "ChatDecoder")

#: Servers' words for why an answer ended; a word not listed here is an ordinary end.
_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}

#: Ends that mean: the server gave up, the answer is not whole.
_GAVE_UP: Final = frozenset({"abort", "error", "insufficient_system_resource"})

#: The data of the event after the last chunk.
DONE: Final = b"[DONE]"


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None
    message: str | None = None
    code: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatDecoder:
    """Turns the events of one answer into chunks.

    Feed it each event's data; `end` gives the last chunk, once the stream is over.  The finish
    reason is held until then, so that the last chunk also has the usage, which servers send later.

    :param name: how messages of errors call the server.
    :param request: what is being answered; its credentials are kept out of messages.
    """

    __slots__ = ("_calls", "_finish", "_name", "_request", "_usage")

    def __init__(self, name: str, request: httpx.Request | None = None) -> None:
        self._name = name
        self._request = request
        self._calls: _ToolCalls | None = None
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> ChatChunk | None:
        """Return the chunk in an event's *data*, or None when it has nothing for the client.

        :raises UpstreamError: the server reports an error.
        :raises UpstreamProtocolError: *data* is not a chunk.
        """
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise UpstreamProtocolError(
                f"{self._name} sent a chunk that makes no sense: {exc}"
            ) from exc
        if chunk.error is not None or chunk.object == "error":
            error = chunk.error or {"message": chunk.message, "code": chunk.code}
            raise failure(self._name, error, self._request)
        if (usage := chunk.usage) is not None:
            self._usage = Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0)
        for choice in chunk.choices or ():
            if not choice.index:  # one answer is asked for; others would garble it
                return self._choice(choice)
        return None

    def end(self) -> ChatChunk:
        """Return the last chunk.

        :raises UpstreamProtocolError: the stream ended before its finish reason.
        """
        if self._finish is None:
            raise UpstreamProtocolError(
                f"{self._name} ended its answer half-way: the stream has no finish reason"
            )
        finish: FinishReason = self._finish
        if self._calls is not None and finish == "stop":
            finish = "tool_calls"  # what some servers say when they were told which tool to call
        return ChatChunk(finish_reason=finish, usage=self._usage)

    def _choice(self, choice: _Choice) -> ChatChunk | None:
        if choice.finish_reason:
            self._finish = self._read_finish(choice.finish_reason)
        delta = choice.delta or choice.message
        if delta is None:
            return None
        if isinstance(delta.content, str) and not (
            delta.tool_calls
            or delta.reasoning_content
            or delta.reasoning
            or delta.refusal
            or delta.function_call
        ):  # nearly every chunk
            return ChatChunk(delta.content) if delta.content else None
        return self._mixed(delta)

    def _read_finish(self, word: str) -> FinishReason:
        word = word.lower()
        if word in _GAVE_UP:
            raise UpstreamUnavailable(f"{self._name} gave up half-way: finish reason {word!r}")
        return _FINISH.get(word, "stop")

    def _mixed(self, delta: _Delta) -> ChatChunk | None:
        text, reasoning = _texts(delta)
        pieces = self._tool_calls(delta)
        if not (text or reasoning or pieces):
            return None
        return ChatChunk(text, pieces, reasoning=reasoning)

    def _tool_calls(self, delta: _Delta) -> tuple[ToolCallDelta, ...]:
        if delta.function_call is not None:
            calls = [_ToolCall(0, None, delta.function_call)]
        elif delta.tool_calls:
            calls = delta.tool_calls
        else:
            return ()
        if self._calls is None:
            self._calls = _ToolCalls()
        return tuple(self._calls.piece(call, place) for place, call in enumerate(calls))


class _ToolCalls:
    """The calls of one answer so far, numbered as they began.

    Servers differ: some repeat id and name in every piece, some give no id, some no index or the
    same one for all parallel calls.  What leaves here has one number, one id and one name a call.
    """

    def __init__(self) -> None:
        self._count = 0
        self._current: dict[int, tuple[int, str | None, bool]] = {}

    def piece(self, call: _ToolCall, place: int) -> ToolCallDelta:
        key = place if call.index is None else call.index
        function = call.function or _Function()
        known = self._current.get(key)
        arguments = _arguments(function)
        if known is None or (call.id and known[1] is not None and call.id != known[1]):
            return self._begin(key, call.id or None, function.name or None, arguments)
        number, given, named = known
        name = None if named else function.name or None
        if name is not None:
            self._current[key] = (number, given, True)
        return ToolCallDelta(number, None, name, arguments)

    def _begin(
        self, key: int, given: str | None, name: str | None, arguments: str
    ) -> ToolCallDelta:
        number, self._count = self._count, self._count + 1
        self._current[key] = (number, given, name is not None)
        return ToolCallDelta(number, given or f"call_{uuid4().hex}", name, arguments)


def _arguments(function: _Function) -> str:
    arguments = function.arguments
    if isinstance(arguments, dict):  # against the protocol, but not rare
        return msgspec.json.encode(arguments).decode()
    return arguments or ""


def _texts(delta: _Delta) -> tuple[str, str]:
    """Return text and reasoning; a refusal is text, parts are told apart by their type."""
    reasoning = delta.reasoning_content or delta.reasoning or ""
    content = delta.content
    if isinstance(content, list):
        text = "".join(_part(part) for part in content if part.get("type") == "text")
        reasoning += "".join(
            _part(inner)
            for part in content
            if part.get("type") == "thinking" and isinstance(part.get("thinking"), list)
            for inner in part["thinking"]
            if isinstance(inner, dict)
        )
    else:
        text = content or ""
    return text + (delta.refusal or ""), reasoning


def _part(part: dict[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""
