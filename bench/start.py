"""How long this server takes to start: importing it, serving, and serving with many plugins."""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import machine
from bench.processes import BenchError, UpstreamProcess, ask
from bench.report import Check, at_most, print_checks, print_table, write
from bench.targets import ours

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Sample", "main", "make_plugins", "start_checks", "start_figures")

PLUGINS = 30
_IMPORTED = "import runtime_core.app"
_STARTED = "start to first answered chat"
_COST = f"cost of {PLUGINS} plugins"
_PREFIX = "bench-plugin-"
_MODULE = '''\
"""A plugin that implements a hook and contributes nothing."""

from runtime_core import hookimpl


@hookimpl
def register_task_handlers(context):
    """Return no handlers."""
    return {}
'''
_METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: 1.0
Requires-Dist: runtime-core
"""
_ENTRY_POINTS = """\
[runtime_core.plugins]
{name} = {module}
"""
_IMPORT = (
    "import time; began = time.perf_counter(); import runtime_core.app; "
    "print(time.perf_counter() - began)"
)


class Sample(NamedTuple):
    """One start: seconds by the clock, and CPU seconds."""

    seconds: float
    cpu: float


def make_plugins(directory: Path, count: int) -> None:
    """Install ``count`` trivial plugins into a directory that can be put on ``PYTHONPATH``."""
    for number in range(count):
        name, module = f"{_PREFIX}{number:02d}", f"bench_plugin_{number:02d}"
        (directory / f"{module}.py").write_text(_MODULE)
        info = directory / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(_METADATA.format(name=name))
        (info / "entry_points.txt").write_text(_ENTRY_POINTS.format(name=name, module=module))
    # an installer compiles what it installs
    compileall.compile_dir(str(directory), quiet=1)


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; return 0 when every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="default: a new file in bench/results")
    options = parser.parse_args(argv)
    result = _measure(options.rounds)
    print_table(["median", "ms"], [[name, value] for name, value in result["figures"].items()])
    print()
    print_checks(result["checks"])
    print(f"\nwritten to {write('start', result, options.json)}")
    return 0 if all(check.passed for check in result["checks"]) else 1


def _measure(rounds: int) -> dict[str, Any]:
    cores = machine.place()
    imports: list[float] = []
    bare: list[Sample] = []
    full: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        plugins = directory / "plugins"
        plugins.mkdir()
        make_plugins(plugins, PLUGINS)
        with UpstreamProcess(directory, cores.load) as upstream:
            _start(upstream.port, directory, cores, plugins)
            for _ in range(rounds):
                imports.append(_import_time())
                bare.append(_start(upstream.port, directory, cores, None))
                full.append(_start(upstream.port, directory, cores, plugins))
    figures = start_figures(imports, bare, full)
    return {
        "machine": machine.describe("runtime-core"),
        "cores": str(cores),
        "runs": {"import": imports, "start": bare, "start_plugins": full},
        "figures": figures,
        "checks": start_checks(figures),
    }


def start_figures(imports: list[float], bare: list[Sample], full: list[Sample]) -> dict[str, float]:
    """Return medians in milliseconds; costs are medians of differences within a round."""
    rounds = list(zip(full, bare, strict=True))
    seconds = {
        _IMPORTED: median(imports),
        _STARTED: median(one.seconds for one in bare),
        "  CPU time of it": median(one.cpu for one in bare),
        f"  with {PLUGINS} more plugins": median(one.seconds for one in full),
        _COST: median(more.seconds - less.seconds for more, less in rounds),
        "  CPU time of it ": median(more.cpu - less.cpu for more, less in rounds),
    }
    return {name: value * 1000 for name, value in seconds.items()}


def start_checks(figures: dict[str, float]) -> list[Check]:
    """Return the limits, checked."""
    return [
        at_most(_STARTED, figures[_STARTED], 1500, " ms"),
        at_most(_COST, figures[_COST], 150, " ms"),
    ]


def _import_time() -> float:
    command = [sys.executable, "-c", _IMPORT]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"runtime_core.app cannot be imported:\n{done.stderr}")
    return float(done.stdout)


def _start(upstream: int, directory: Path, cores: machine.Cores, plugins: Path | None) -> Sample:
    """Return the cost of everything from spawn to the first answered chat, on an empty database."""
    with tempfile.TemporaryDirectory(dir=directory) as fresh:
        environ = {"PYTHONPATH": str(plugins)} if plugins else {}
        target = ours(upstream, Path(fresh), cores.target, environ)
        used = Sample(target.startup, target.sample().cpu)
        try:
            _check_plugins(target.endpoint.port, target.endpoint.headers, PLUGINS if plugins else 0)
        finally:
            target.stop()
        return used


def _check_plugins(port: int, headers: dict[str, str], expected: int) -> None:
    """Make sure that what is measured is there: each generated plugin, active."""
    status, body = ask(port, "GET", "/plugins?limit=1000", headers=headers)
    if status != 200:
        raise BenchError(f"GET /plugins answers {status}: {body[:300]!r}")
    generated = [row for row in json.loads(body) if row["name"].startswith(_PREFIX)]
    active = [row for row in generated if row["status"] == "active"]
    if len(active) != expected:
        raise BenchError(f"{len(active)} of {expected} plugins are active: {generated[:2]}")
