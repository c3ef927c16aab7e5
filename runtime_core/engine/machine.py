"""The state machine: runs a chain task by task and yields what happens."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from typing import TYPE_CHECKING, TypeVar

from runtime_core.engine.closing import closing
from runtime_core.engine.graph import find_problems
from runtime_core.engine.journal import Attempt
from runtime_core.engine.plan import Plans
from runtime_core.engine.state import Call, Run
from runtime_core.engine.templates import Template
from runtime_core.engine.tokens import Counter
from runtime_core.errors import RuntimeCoreError, StepLimitExceeded, TaskFailed, TimedOut
from runtime_core.types import Outcome, RunFinished, StepFinished, StepStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from runtime_core.engine.plan import PreparedTask
    from runtime_core.protocols import ModelGateway, TaskHandler, TokenCounter, Toolbox
    from runtime_core.types import (
        Chain,
        DataType,
        Delta,
        HookInfo,
        ModelRouted,
        RunEvent,
        RunRequest,
        Task,
        ToolCalled,
    )

__all__ = ("Machine",)

T = TypeVar("T")

logger = logging.getLogger(__name__)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0
#: A chain of tasks that never wait must still let others have their turn.
_STEPS_A_TURN = 64


class Machine:
    """Runs chains with the handlers, models and tools there are.

    *tokens* counts them; by default they are estimated.
    *sleep*, *jitter* (a number from 0 to 1) and *printer* are for tests to replace.
    """

    def __init__(
        self,
        handlers: Mapping[str, TaskHandler],
        models: ModelGateway,
        toolbox: Toolbox,
        *,
        tokens: TokenCounter | None = None,
        max_steps: int = 200,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        printer: Callable[[str], None] | None = None,
    ) -> None:
        self._models = models
        self._toolbox = toolbox
        self._tokens = tokens or Counter()
        self._handlers = dict(handlers)
        self._plans = Plans(self._handlers)
        self._max_steps = max_steps
        self._sleep = sleep
        self._jitter = jitter
        self._print = printer or _print_line

    def check(
        self,
        chain: Chain,
        input_type: DataType | None = None,
        hooks: Sequence[HookInfo] | None = None,
    ) -> list[str]:
        """Name every problem of *chain*; *hooks*, a toolbox's listing, has hook names checked."""
        return find_problems(
            chain, self._handlers, Template.compile, input_type=input_type, hooks=hooks
        )

    async def run(self, request: RunRequest) -> AsyncIterator[RunEvent]:
        """Run to the end, yielding events; closing the iterator cancels the run.

        :raises InvalidChain: before the first event, with every problem.
        :raises RuntimeCoreError: the run failed; its steps so far were yielded.
        """
        plan = await self._plans.get(request.chain, request.input.type)
        run = Run(plan, request, self._models, self._toolbox, self._tokens)
        if plan.macros:
            run.macros = await plan.macros.expand(request, self._toolbox)
        task: PreparedTask | None = plan.entry
        while task is not None:
            async with closing(self._task(run, task)) as events:
                async for event in events:
                    yield event
            task = run.following
        yield RunFinished(run.output.data, run.output.type)

    async def _task(self, run: Run, prepared: PreparedTask) -> AsyncIterator[RunEvent]:
        """Try a task until it succeeds or no attempt is left; settle what follows."""
        task = prepared.task
        for number in range(1, prepared.attempts + 1):
            await self._count_step(run)
            yield StepStarted(task.id, task.handler, number)
            attempt = Attempt(task)
            async with closing(self._attempt(run, prepared, attempt)) as events:
                async for event in events:
                    yield event
            yield StepFinished(attempt.step(debug=run.plan.chain.debug))
            error = attempt.error
            if error is None:
                run.advance(task, attempt)
                return
            if not error.retryable or attempt.shown or number == prepared.attempts:
                run.fail(task, attempt, error)
                return
            await self._sleep(self._delay(number, error))

    async def _count_step(self, run: Run) -> None:
        limit = run.plan.chain.max_steps if run.plan.chain.max_steps > 0 else self._max_steps
        if run.steps >= limit:
            raise StepLimitExceeded(
                f"the run took {limit} steps and did not end; look for a loop, or raise the "
                "chain's max_steps"
            )
        run.steps += 1
        if run.steps % _STEPS_A_TURN == 0:
            await asyncio.sleep(0)

    def _delay(self, number: int, error: RuntimeCoreError) -> float:
        """Return how long to wait after attempt *number*: exponential, with jitter."""
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(number - 1, 16))
        delay *= 0.5 + self._jitter() / 2
        return max(delay, min(error.retry_after or 0.0, _LONGEST_DELAY))

    async def _attempt(
        self, run: Run, prepared: PreparedTask, attempt: Attempt
    ) -> AsyncIterator[Delta | ModelRouted | ToolCalled]:
        """Run the handler once, noting in *attempt* how it ended."""
        try:
            attempt.input = run.input_of(prepared)
            call = Call(run, prepared, attempt)
            events = prepared.handler.run(call)
            if prepared.timeout is not None:
                events = _within(prepared.timeout, events, prepared.task)
            async with closing(events):
                async for event in events:
                    if isinstance(event, Outcome):
                        attempt.outcome = event
                        break
                    yield event
            self._settle(run, prepared, attempt)
        except RuntimeCoreError as error:
            attempt.error = error
        except Exception as error:
            # whatever a handler, perhaps a plugin's, gets wrong must not show its insides
            logger.exception("run %s: task %r broke", run.request.run_id, prepared.task.id)
            attempt.error = _broken(prepared.task, error)

    def _settle(self, run: Run, prepared: PreparedTask, attempt: Attempt) -> None:
        """Do what follows a handler's good end: print, choose the branch, compose."""
        outcome = attempt.outcome
        if outcome is None:
            raise RuntimeError(f"handler {prepared.task.handler!r} ended without an outcome")
        if prepared.print is not None:
            self._print(run.render(prepared.print))
        branch = prepared.transition.choose(outcome)
        if branch is None:
            raise _unmatched(prepared.task, outcome)
        attempt.output = run.compose(branch, outcome.value)
        attempt.branch = branch


async def _within(seconds: float, events: AsyncIterator[T], task: Task) -> AsyncIterator[T]:
    """Yield *events* until *seconds* have passed, then cancel the work behind them."""
    deadline = asyncio.get_running_loop().time() + seconds
    async with closing(events):
        while True:
            try:
                async with asyncio.timeout_at(deadline) as scope:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise TimedOut(f"task {task.id!r} took longer than {task.timeout}") from error
            yield event


def _unmatched(task: Task, outcome: Outcome) -> TaskFailed:
    conditions = ", ".join(
        f"{branch.operator or 'equals'} {branch.when!r}"
        for branch in task.transition.branches or ()
    )
    return TaskFailed(
        f"task {task.id!r}: no branch matches the transition value {outcome.transition!r}; "
        f"there are: {conditions}. A branch with operator 'default' takes whatever is left"
    )


def _broken(task: Task, error: Exception) -> RuntimeCoreError:
    broken = RuntimeCoreError(f"task {task.id!r} failed because of a fault in {task.handler}")
    broken.__cause__ = error
    return broken


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
