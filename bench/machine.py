"""The machine a benchmark runs on: cores to pin to, versions and noise to report."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ("Cores", "ProcessTree", "Sample", "Watch", "describe", "place", "wait_until_quiet")


class Cores(NamedTuple):
    """Which core the target has to itself, and which ones the upstream and the load share."""

    target: tuple[int, ...]
    load: tuple[int, ...]

    @property
    def pinned(self) -> bool:
        """Whether the operating system can pin, and there are two cores to pin to."""
        return bool(self.target)

    def __str__(self) -> str:
        if not self.pinned:
            return "not pinned (one core, or the system cannot)"
        return f"target on core {self.target[0]}, upstream and load on core {self.load[0]}"


def place() -> Cores:
    """Choose the cores: the last one for the target, the first one for upstream and load."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores((), ())
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores((), ())
    return Cores((available[-1],), (available[0],))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def describe(*distributions: str) -> dict[str, object]:
    """Return the CPU, the system, and the versions of Python and the named distributions."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in distributions},
    }


class Sample(NamedTuple):
    """CPU seconds used so far, and resident memory in MB now."""

    cpu: float
    rss: float


class ProcessTree:
    """A process and its children, measured together."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def sample(self) -> Sample:
        """Measure; a child that has just ended counts no more."""
        cpu = rss = 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            try:
                times = process.cpu_times()
                rss += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            cpu += times.user + times.system
        return Sample(cpu, rss / 2**20)


class Watch:
    """Sees how much of the cores of a benchmark other processes use.

    :param groups: for each core, the processes that are meant to use it.
    """

    def __init__(self, groups: Mapping[int, Sequence[ProcessTree]]) -> None:
        self._groups = groups
        self._began = time.perf_counter()
        self._before = self._others()

    def _others(self) -> dict[int, float]:
        """Return the busy seconds of each core that are not the benchmark's own."""
        per_core = psutil.cpu_times(percpu=True)
        return {
            core: per_core[core].user
            + per_core[core].system
            + getattr(per_core[core], "nice", 0.0)
            - sum(tree.sample().cpu for tree in trees)
            for core, trees in self._groups.items()
        }

    def noise(self) -> float:
        """Return the larger share, 0 to 1, that others have used of a core since the start."""
        seconds = time.perf_counter() - self._began
        after = self._others()
        used = (after[core] - before for core, before in self._before.items())
        return max(0.0, *used, 0.0) / seconds if seconds > 0 else 0.0


def wait_until_quiet(watch: Callable[[], Watch], limit: float, patience: float) -> None:
    """Return when others use less than ``limit`` of the cores, or after ``patience`` seconds."""
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        look = watch()
        time.sleep(0.25)
        if look.noise() < limit:
            return
