"""``text_to_embedding``: turn a text into a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.engine.handlers.asking import PROMPTABLE, config_of, wanted
from runtime_core.engine.values import prompt_text
from runtime_core.errors import InvalidRequest, TaskFailed, UpstreamProtocolError
from runtime_core.types import DataType, ModelRouted, Outcome, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.protocols import TaskCall
    from runtime_core.types import Task

__all__ = ("EmbeddingHandler",)

_ONE_MODEL = "text_to_embedding takes one model and one provider: vectors of two do not compare"


class EmbeddingHandler:
    """Asks a model of role ``embed``; a list of models would mix vectors that do not compare."""

    accepts = PROMPTABLE
    returns: DataType | None = "vector"
    transitions: frozenset[str] | None = frozenset(("ok",))

    def problems(self, task: Task) -> Sequence[str]:
        """Name what keeps the task from running."""
        wants = wanted("embed", config_of(task))
        if len(wants.models) > 1 or len(wants.providers) > 1:
            return (_ONE_MODEL,)
        return ()

    async def run(self, call: TaskCall) -> AsyncIterator[ModelRouted | Outcome]:
        """Embed the input's text."""
        wants = wanted("embed", config_of(call.task))
        if len(wants.models) > 1 or len(wants.providers) > 1:
            raise TaskFailed(f"task {call.task.id!r}: {_ONE_MODEL}")
        text = prompt_text(call.value)
        if not text.strip():
            raise InvalidRequest(f"task {call.task.id!r} has no text to embed")
        route, embeddings = await call.models.embed(wants, [text])
        yield ModelRouted(call.task.id, route)
        if len(embeddings.vectors) != 1:
            raise UpstreamProtocolError("the model returned no vector for the text")
        yield Outcome(Value(embeddings.vectors[0], "vector"), "ok")
