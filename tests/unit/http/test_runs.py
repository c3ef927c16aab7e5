from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.errors import RuntimeCoreError, TimedOut
from runtime_core.http import RunFailed, collect
from runtime_core.types import (
    Chain,
    ChatChunk,
    Delta,
    RunFinished,
    RunRequest,
    Step,
    StepFinished,
    StepStarted,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RUN = RunRequest(chain=Chain(), input=Value("x", "string"), run_id="r1")
DONE = RunFinished("out", "string")


class Script:
    """A runner that yields *events*."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.closed = False

    async def run(self, request: RunRequest) -> AsyncIterator[Any]:
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


def delta(text: str) -> Delta:
    return Delta("a", ChatChunk(text), final=False)


def step(error: str = "") -> Step:
    return Step(
        duration=1.0,
        task_id="a",
        task_handler="noop",
        input_type="string",
        output_type="string",
        error=error,
    )


async def test_a_run_is_collected() -> None:
    runner: Any = Script(
        StepStarted("a", "noop"), delta("o"), delta("k"), StepFinished(step()), DONE
    )
    finished = await collect(runner, RUN)
    assert (finished.output, finished.steps, finished.text) == (DONE, [step()], "ok")
    assert runner.closed


async def test_the_text_is_the_last_attempts() -> None:
    runner: Any = Script(
        StepStarted("a", "noop"),
        delta("half"),
        StepFinished(step("broke")),
        StepStarted("a", "noop", 2),
        delta("whole"),
        StepFinished(step()),
        DONE,
    )
    finished = await collect(runner, RUN)
    assert finished.text == "whole"
    assert len(finished.steps) == 2


async def test_a_failure_carries_the_steps() -> None:
    runner: Any = Script(StepFinished(step("slow")), TimedOut("slow"))
    with pytest.raises(RunFailed) as caught:
        await collect(runner, RUN)
    assert caught.value.run_id == "r1"
    assert caught.value.steps == (step("slow"),)
    assert isinstance(caught.value.cause, TimedOut)
    assert runner.closed


async def test_a_run_without_a_result_is_a_failure() -> None:
    runner: Any = Script(StepFinished(step()))
    with pytest.raises(RunFailed) as caught:
        await collect(runner, RUN)
    assert type(caught.value.cause) is RuntimeCoreError
