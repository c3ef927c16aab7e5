"""What a task's handler is, and what it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from runtime_core.protocols.hooks import Toolbox
    from runtime_core.protocols.rooms import ModelGateway, TokenCounter
    from runtime_core.types import (
        Chain,
        ChatChunk,
        DataType,
        Delta,
        ModelRouted,
        Outcome,
        RunRequest,
        Task,
        ToolCalled,
        Value,
    )

__all__ = (
    "SelfChecking",
    "TaskCall",
    "TaskHandler",
)


class TaskCall(Protocol):
    """One attempt of one task, as its handler sees it."""

    @property
    def task(self) -> Task:
        """The task, macros expanded."""
        ...

    @property
    def chain(self) -> Chain:
        """The chain it belongs to."""
        ...

    @property
    def value(self) -> Value:
        """The task's input: ``input_var`` and ``prompt_template`` already applied."""
        ...

    @property
    def variables(self) -> Mapping[str, Value]:
        """``input``, ``previous_output`` and the output of every finished task by its id."""
        ...

    @property
    def request(self) -> RunRequest:
        """The run this is part of."""
        ...

    @property
    def models(self) -> ModelGateway:
        """The models there are."""
        ...

    @property
    def tools(self) -> Toolbox:
        """The hooks there are."""
        ...

    @property
    def tokens(self) -> TokenCounter:
        """What counts tokens; ask it only for what is needed."""
        ...

    def render(self, template: str, **extra: object) -> str:
        """Render *template* over the variables; *extra* names win."""
        ...

    @property
    def executing(self) -> bool:
        """Whether the chain executes the tools that the task's model calls."""
        ...

    def delta(self, chunk: ChatChunk, *, shown: bool = True) -> Delta:
        """Wrap a piece of an answer for the event stream.

        :param shown: False for what is not the chat client's to see.
        """
        ...


class TaskHandler(Protocol):
    """What a task's ``handler`` names.

    ``accepts`` are the input types it takes; ``returns`` is its output type, None when that
    depends on the input; one with a true attribute ``passes_input`` returns what it is handed.
    ``transitions`` are the transition values it can end with, None when they are free text, empty
    when it always fails.
    """

    accepts: frozenset[DataType]
    returns: DataType | None
    transitions: frozenset[str] | None

    def run(self, call: TaskCall) -> AsyncIterator[Delta | ModelRouted | ToolCalled | Outcome]:
        """Do the task: any number of events, then exactly one `Outcome`."""
        ...


@runtime_checkable
class SelfChecking(Protocol):
    """A task handler that can tell, before any run, what is wrong with a task of its own."""

    def problems(self, task: Task) -> Sequence[str]:
        """Name every problem of *task*, each in a sentence that says what to do."""
        ...
