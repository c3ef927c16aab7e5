"""What a gateway adds between a client and a model: this server against two others.

All targets run at the same time, and every scenario is measured on each of them in turn, round by
round; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import operator
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import machine, peers, summary
from bench.processes import Load, UpstreamProcess
from bench.report import print_checks, print_table, write
from bench.summary import Run
from bench.targets import TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("EXCLUSIONS", "main")

EXCLUSIONS = (
    "Portkey checks no key and keeps no metrics; this server and LiteLLM check one; LiteLLM has "
    "no database; prompts are not logged anywhere.",
    "Portkey runs with @hono/node-server 1.14.1: with a newer one each of its streams fails.",
    "LiteLLM reads its price list from its package instead of the network when it starts.",
    "One process and one core for each target; upstream and load are on the same machine, without "
    "TLS and without a network between.",
    "Every target is warmed up first; what a cold one costs is in its start-up time only.",
)


_QUIET = 0.05
_LOUD = 0.1
_ATTEMPTS = 4


class _Scenario(msgspec.Struct, frozen=True):
    """One kind of load; see `bench.load.Job`."""

    name: str
    seconds: float
    concurrency: int
    stream: bool = False
    pace: int = 0


_SCENARIOS = (
    _Scenario("c1", 2.0, 1),
    _Scenario("c32", 2.0, 32),
    _Scenario("c128", 2.0, 128),
    _Scenario("stream_c1", 1.0, 1, stream=True),
    _Scenario("stream_c32", 2.0, 32, stream=True),
    _Scenario("paced_c1", 1.5, 1, stream=True, pace=2),
    _Scenario("paced_c32", 2.0, 32, stream=True, pace=10),
)
_WARM_UP = (_Scenario("c32", 8.0, 32), _Scenario("stream_c32", 3.0, 32, stream=True))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench gateway", description=__doc__)
    parser.add_argument("--peers", default="", help="others to measure too: portkey,litellm")
    parser.add_argument("--install", action="store_true", help="install those peers first")
    parser.add_argument("--rounds", type=int, default=0, help="default: 5, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="a quarter of the time, rougher")
    parser.add_argument(
        "--patience",
        type=float,
        default=10,
        help="seconds to wait for quiet cores, each time; 0: never wait, never repeat",
    )
    parser.add_argument("--json", type=Path, help="default: a new file in bench/results")
    options = parser.parse_args(argv)
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := set(options.peers) - set(peers.PEERS):
        parser.error(f"unknown peers {', '.join(unknown)}; there are: {', '.join(peers.PEERS)}")
    return options


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; return 0 when every limit holds, 3 when not and others used the cores."""
    options = _arguments(argv)
    if options.install:
        for name in options.peers:
            peers.install(name)
    rounds = options.rounds or (1 if options.quick else 5)
    result = _measure(options, rounds, 0.25 if options.quick else 1.0)
    _print(result)
    print(f"\nwritten to {write('gateway', result, options.json)}")
    if all(check.passed for check in result["checks"]) and not result["errors"]:
        return 0
    return 1 if result["quiet"] else 3


def _measure(options: argparse.Namespace, rounds: int, scale: float) -> dict[str, Any]:
    cores = machine.place()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = stack.enter_context(UpstreamProcess(directory, cores.load))
        load = stack.enter_context(Load(directory, cores.load))
        names = ["direct", "ours", *options.peers]
        targets = list(_start(names, upstream.port, directory, cores, stack))
        idle = _idle(targets)
        bench = _Bench(targets, load, upstream, cores, options.patience)
        for target in targets:
            for scenario in _WARM_UP:
                bench.run(target, scenario, 0, 1.0)
        runs = [
            bench.measure(target, scenario, number, scale)
            for number in range(rounds)
            for scenario in _SCENARIOS
            for target in targets
        ]
        memory = {
            target.name: {"idle": idle[target.name], "loaded": target.sample().rss}
            for target in targets
        }
        startup = {target.name: target.startup for target in targets}
        versions = {target.name: target.version for target in targets if target.version}
    return _result(cores, versions, rounds, runs, summary.figures(runs, memory, startup))


def _result(
    cores: machine.Cores,
    versions: dict[str, str],
    rounds: int,
    runs: list[Run],
    figures: summary.Figures,
) -> dict[str, Any]:
    return {
        "machine": machine.describe("uvicorn", "litestar", "httpx", "uvloop"),
        "cores": str(cores),
        "versions": versions,
        "rounds": rounds,
        "exclusions": EXCLUSIONS,
        "figures": figures,
        "checks": summary.checks(figures),
        "quiet": all(run.noise <= _LOUD for run in runs),
        "errors": [run for run in runs if run.result.errors],
        "runs": runs,
    }


def _start(
    names: Sequence[str],
    upstream: int,
    directory: Path,
    cores: machine.Cores,
    stack: ExitStack,
) -> Iterator[Target]:
    for name in names:
        print(f"starting {name} ...", file=sys.stderr, flush=True)
        target = TARGETS[name](upstream, directory, cores.target)
        stack.callback(target.stop)
        yield target


def _idle(targets: Sequence[Target]) -> dict[str, float]:
    """Return resident memory (MB) after a second in which nothing was asked."""
    time.sleep(1.0)
    return {target.name: target.sample().rss for target in targets}


class _Bench:
    """The targets, what drives them, and how they are measured."""

    def __init__(
        self,
        targets: Sequence[Target],
        load: Load,
        upstream: UpstreamProcess,
        cores: machine.Cores,
        patience: float,
    ) -> None:
        self._patience = patience
        self._load = load
        self._helpers = (load.tree, upstream.tree)
        self._servers = tuple(tree for target in targets for tree in target.trees)
        self._cores = cores

    def measure(self, target: Target, scenario: _Scenario, number: int, scale: float) -> Run:
        """Measure; again, and keep the quietest, while others use the same cores."""
        runs: list[Run] = []
        while len(runs) < (_ATTEMPTS if self._patience else 1):
            machine.wait_until_quiet(self._watch, _QUIET, self._patience)
            runs.append(self.run(target, scenario, number, scale))
            if runs[-1].noise <= _QUIET:
                break
        return min(runs, key=operator.attrgetter("noise"))

    def run(self, target: Target, scenario: _Scenario, number: int, scale: float) -> Run:
        """Drive one scenario once."""
        job = target.job(
            concurrency=scenario.concurrency,
            seconds=scenario.seconds * scale,
            stream=scenario.stream,
            pace=scenario.pace,
        )
        watch, before = self._watch(), target.sample()
        result = self._load.run(job)
        own, noise = target.sample().cpu - before.cpu, watch.noise()
        print(f"{target.name:>8} {scenario.name:<10} {noise:4.0%} noise", file=sys.stderr)
        return Run(
            target=target.name,
            scenario=scenario.name,
            round=number,
            cpu=own,
            noise=noise,
            result=result,
        )

    def _watch(self) -> machine.Watch:
        if not self._cores.pinned:
            return machine.Watch({})
        return machine.Watch(
            {self._cores.target[0]: self._servers, self._cores.load[0]: self._helpers}
        )


def _print(result: dict[str, Any]) -> None:
    about = result["machine"]
    print(f"\n{about['cpu']}, {about['cores']} cores, Python {about['python']}")
    print(result["cores"])
    names = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    print(f"{names}; medians of {result['rounds']} rounds\n")
    figures = result["figures"]
    print_table(["", *figures], summary.rows(figures))
    print()
    print_checks(result["checks"])
    print("\nNot measured, or not the same:")
    for line in result["exclusions"]:
        print(f"* {line}")
    if not result["quiet"]:
        print(
            "\nOther processes used the same cores: these figures prove nothing, repeat when quiet."
        )
    for run in result["errors"]:
        seen = run.result
        print(f"\n{run.target} {run.scenario}: {seen.errors} errors, first: {seen.first_error}")
