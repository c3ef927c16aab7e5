"""From a run's events to a chat completion, whole or as a stream of frames."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.errors import TaskFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    Delta,
    Message,
    ModelRouted,
    RunFinished,
    StepStarted,
    text_of,
)
from runtime_core.types.interchange import completion_from_history, new_completion_id
from runtime_shim_openai.frames import DONE, ChunkFrames

if TYPE_CHECKING:
    from runtime_core.types import ChatChunk, RunEvent

__all__ = ("CompletionStream", "begins", "completion_of")


def completion_of(finished: RunFinished, model: str) -> ChatCompletion:
    """Return the completion that a run's output is; *model* is the name the client sees.

    :raises TaskFailed: the output is neither a conversation nor text.
    """
    output = finished.output
    if isinstance(output, str):
        answer = Message(role="assistant", content=output)
        output = ChatHistory(messages=(answer,))
    if isinstance(output, ChatHistory):
        output = completion_from_history(output)
    if not isinstance(output, ChatCompletion):
        raise TaskFailed(
            f"the chain ended with {finished.output_type}, which is no chat answer; let it end "
            "with a chat_completion or convert_to_openai_chat_response task, or with text"
        )
    message = output.message
    if message is not None and message.role != "assistant":
        message = Message(role="assistant", content=message.content)
    return replace(output, model=model or output.model, message=message)


def begins(event: RunEvent) -> bool:
    """Say whether the answer's first frame can be written: until then errors have a status.

    A model that has called tools has begun to answer, and the tools may take their time.
    """
    if isinstance(event, Delta):
        return event.final
    return isinstance(event, RunFinished) or _uses_tools(event)


def _uses_tools(event: RunEvent) -> bool:
    return isinstance(event, StepStarted) and event.handler == "execute_tool_calls"


class CompletionStream:
    """Encodes the events of one run as the frames of one completion.

    What a model streams goes out as it comes; an answer that no model streamed (the chain ends in
    another task) goes out in one piece, after what was streamed of others.
    """

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._frames: ChunkFrames | None = None
        self._said: list[str] = []
        self._called = False
        self._spoken = False

    def encode(self, events: list[RunEvent]) -> bytes:
        """Return the frames of a batch of events."""
        return b"".join([self._event(event) for event in events])

    def finish(self) -> bytes:
        """Return the end of a stream that went well."""
        return DONE

    def _event(self, event: RunEvent) -> bytes:
        if isinstance(event, Delta):
            return self._delta(event.chunk) if event.final else b""
        if isinstance(event, RunFinished):
            return self._finished(event)
        if isinstance(event, ModelRouted):
            self._model = self._model or event.route.model
            self._spoken = self._spoken or bool(self._said)
            self._said, self._called = [], False
        elif self._frames is None and _uses_tools(event):
            return self._opened().role()
        return b""

    def _delta(self, chunk: ChatChunk) -> bytes:
        if chunk.text:
            self._said.append(chunk.text)
        self._called = self._called or bool(chunk.tool_calls)
        if self._frames is None:
            return self._opened().role() + self._opened().delta(chunk)
        return self._frames.delta(chunk)

    def _finished(self, event: RunFinished) -> bytes:
        completion = completion_of(event, self._model)
        message = completion.message
        written = []
        if self._frames is None:
            written.append(self._opened(completion.model).role())
        if message is not None:
            written.append(self._unsaid(message))
        written.append(self._opened().finish(completion.finish_reason))
        if self._include_usage:
            written.append(self._opened().usage(completion.usage))
        return b"".join(written)

    def _unsaid(self, message: Message) -> bytes:
        """Write what the last model that was asked has not streamed of the answer."""
        text, calls = text_of(message), message.tool_calls
        if "".join(self._said).endswith(text):
            text = ""
        elif self._spoken or self._said:
            text = f"\n\n{text}"
        return self._opened().whole(text, () if self._called else calls)

    def _opened(self, model: str = "") -> ChunkFrames:
        if self._frames is None:
            name = self._model or model
            self._frames = ChunkFrames(new_completion_id(), int(time.time()), name)
        return self._frames
