"""Asking several sources side by side, and waiting for no more of them than the answer needs."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from typing import Any

    from runtime_core.types import HookInfo

    Found = Sequence[HookInfo]

__all__ = ("Late", "Question", "look_up")


class Question(NamedTuple):
    """What one source is asked, and how many seconds it has to answer."""

    ask: Callable[[], Coroutine[Any, Any, Found]]
    seconds: float


class Late(Exception):
    """A source did not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


async def look_up(
    questions: Mapping[str, Question], names: Collection[str] | None, *, patience: float
) -> dict[str, Found | BaseException]:
    """Return what each source has, or what kept it from telling; an earlier source wins.

    Sources that cannot change the answer any more are not waited for, and count as having
    nothing; those that still could take the hooks of *names* from a source that has answered are
    waited for *patience* seconds.

    :param names: the hooks that are looked for; None for all there are.
    """
    tasks: dict[str, asyncio.Task[Found]] = {}
    late: dict[str, Late] = {}
    try:
        for name, question in questions.items():
            tasks[name] = asyncio.create_task(question.ask())
            await asyncio.sleep(0)  # most sources know at once: then nobody else is asked
            if names is not None and not _missing(tasks, names):
                break
        await _wait(tasks, late, questions, names, patience)
        heard = {name: _outcome(task) for name, task in tasks.items() if task.done()}
    finally:
        await _stop(tasks.values(), patience)
    return {name: heard.get(name, late.get(name, ())) for name in questions}


async def _wait(
    tasks: Mapping[str, asyncio.Task[Found]],
    late: dict[str, Late],
    questions: Mapping[str, Question],
    names: Collection[str] | None,
    patience: float,
) -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    while waiting := _awaited(tasks, late, names):
        found_all = names is not None and not _missing(tasks, names)
        most = patience if found_all else math.inf
        limits = {name: min(most, questions[name].seconds) for name in waiting}
        spent = clock() - start
        if over := {name: Late(limit) for name, limit in limits.items() if limit <= spent}:
            late |= over
            continue
        await asyncio.wait(
            [tasks[name] for name in waiting],
            timeout=min(limits.values()) - spent,
            return_when=asyncio.FIRST_COMPLETED,
        )


def _awaited(
    tasks: Mapping[str, asyncio.Task[Found]],
    late: Collection[str],
    names: Collection[str] | None,
) -> list[str]:
    """Return the sources that can still change the answer."""
    if names is None:
        return [name for name, task in tasks.items() if not task.done() and name not in late]
    waiting: list[str] = []
    left = set(names)
    for name, task in tasks.items():
        if not left:
            break
        if task.done():
            left -= _names(task)
        elif name not in late:
            waiting.append(name)
    return waiting


def _missing(tasks: Mapping[str, asyncio.Task[Found]], names: Collection[str]) -> set[str]:
    return set(names).difference(*(_names(task) for task in tasks.values() if task.done()))


def _names(task: asyncio.Task[Found]) -> set[str]:
    if task.cancelled() or task.exception() is not None:
        return set()
    return {hook.name for hook in task.result()}


async def _stop(tasks: Collection[asyncio.Task[Found]], seconds: float) -> None:
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        # not for ever: a plugin's code may refuse to be cancelled
        await asyncio.wait(pending, timeout=seconds)


def _outcome(task: asyncio.Task[Found]) -> Found | BaseException:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return task.result() if error is None else error
