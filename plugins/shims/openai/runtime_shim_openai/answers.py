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
    text_of,
)
from runtime_core.types.interchange import completion_from_history, new_completion_id
from runtime_shim_openai.frames import DONE, ChunkFrames

if TYPE_CHECKING:
    from runtime_core.types import RunEvent

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
    return replace(output, model=model or output.model)


def begins(event: RunEvent) -> bool:
    """Say whether the answer's first frame can be written: until then errors have a status."""
    return isinstance(event, RunFinished) or (isinstance(event, Delta) and event.final)


class CompletionStream:
    """Encodes the events of one run as the frames of one completion.

    What a model streams goes out as it comes; an answer that no model streamed (the chain ends in
    another task) goes out in one piece.
    """

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._frames: ChunkFrames | None = None

    def encode(self, events: list[RunEvent]) -> bytes:
        """Return the frames of a batch of events."""
        return b"".join([self._event(event) for event in events])

    def finish(self) -> bytes:
        """Return the end of a stream that went well."""
        return DONE

    def _event(self, event: RunEvent) -> bytes:
        if isinstance(event, Delta):
            if not event.final:
                return b""
            if self._frames is None:
                return self._opened().role() + self._opened().delta(event.chunk)
            return self._frames.delta(event.chunk)
        if isinstance(event, RunFinished):
            return self._finished(event)
        if isinstance(event, ModelRouted) and not self._model:
            self._model = event.route.model
        return b""

    def _finished(self, event: RunFinished) -> bytes:
        completion = completion_of(event, self._model)
        message = completion.message
        written = []
        if self._frames is None:
            written.append(self._opened(completion.model).role())
            if message is not None:
                written.append(self._opened().whole(text_of(message), message.tool_calls))
        written.append(self._opened().finish(completion.finish_reason))
        if self._include_usage:
            written.append(self._opened().usage(completion.usage))
        return b"".join(written)

    def _opened(self, model: str = "") -> ChunkFrames:
        if self._frames is None:
            name = self._model or model
            self._frames = ChunkFrames(new_completion_id(), int(time.time()), name)
        return self._frames
