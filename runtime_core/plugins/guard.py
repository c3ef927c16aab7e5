"""Run a plugin's code so that whatever it does, the server still starts."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Failed", "Overdue", "run_within")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """The work raised."""

    reason: BaseException


@dataclass(frozen=True, slots=True)
class Overdue:
    """The work was still going on when its time was up; what it returns later is thrown away."""


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    value: T


def run_within(seconds: float, work: Callable[[], T], *, name: str) -> T | Failed | Overdue:
    """Do *work* in a thread of its own and wait for it, at most *seconds*.

    The thread is a daemon: work that never ends does not keep the process from exiting.  An
    interrupt from the keyboard reaches the waiting thread, so one raised inside is the work's own.
    """
    results: list[_Done[T] | Failed] = []

    def target() -> None:
        try:
            results.append(_Done(work()))
        # Loading a plugin: SystemExit and KeyboardInterrupt at import are no reason to stop.
        except BaseException as exc:  # noqa: BLE001
            results.append(Failed(exc))

    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        _stop(thread)
        return Overdue()
    result = results[0]
    return result.value if isinstance(result, _Done) else result


def _stop(thread: threading.Thread) -> None:
    """Ask a thread to end at its next bytecode, lest an endless loop take the server's time.

    A thread that waits in C gets to know it when the call returns; it uses no time until then.
    """
    # Imported here because it is needed by no start that goes well.
    import ctypes

    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        )
