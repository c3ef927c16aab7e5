"""From runs to figures, and from figures to limits."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from bench.report import Check, at_least, at_most
from bench.upstream import CHUNKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.load import Result

__all__ = ("Figures", "Run", "checks", "figures", "rows")

#: Figure by name, for each target by name; a figure that makes no sense for a target is absent.
Figures = dict[str, dict[str, float]]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario driven once: CPU seconds of the target, and the share of a core others used."""

    target: str
    scenario: str
    round: int
    cpu: float
    noise: float
    result: Result


_ROWS = {
    "added_p50_c1": "added latency, concurrency 1, p50 (ms)",
    "added_p99_c1": "  p99 (ms)",
    "added_p50_c32": "added latency, concurrency 32, p50 (ms)",
    "added_p99_c32": "  p99 (ms)",
    "rate_c1": "requests/s, concurrency 1",
    "rate_c32": "  concurrency 32",
    "rate_c128": "  concurrency 128",
    "per_core_c32": "requests per CPU second, concurrency 32",
    "stream_rate_c32": "64-chunk streams/s, concurrency 32",
    "stream_p50_c1": "64-chunk stream, concurrency 1, p50 (ms)",
    "stream_p50_c32": "  concurrency 32, p50 (ms)",
    "first_p50_c1": "request to first chunk, concurrency 1, p50 (ms)",
    "first_p50_c32": "  concurrency 32, p50 (ms)",
    "forward_p50_c1": "paced: first chunk forwarded in, concurrency 1, p50 (ms)",
    "forward_p50_c32": "  concurrency 32, p50 (ms)",
    "forward_all_p50_c32": "paced: any chunk forwarded in, concurrency 32, p50 (ms)",
    "forward_all_p99_c32": "  p99 (ms)",
    "chunk_cpu": "CPU per chunk, 32 streams at once (ms)",
    "chunk_cpu_paced": "  32 paced streams (ms)",
    "chunk_added": "time per chunk, one stream (ms)",
    "rss_idle": "resident memory, idle (MB)",
    "rss_loaded": "  after the load (MB)",
    "startup": "start to first answered chat (s)",
}


def figures(
    runs: Sequence[Run],
    memory: Mapping[str, Mapping[str, float]],
    startup: Mapping[str, float],
) -> Figures:
    """Return the medians over all rounds, for each target in the order they were measured."""
    grouped = _grouped(runs)
    found: Figures = {}
    for target in memory:
        own = {scenario: seen for (name, scenario), seen in grouped.items() if name == target}
        found[target] = _answers(own) | _streams(own)
        if target != "direct":
            base = {name: seen for (of, name), seen in grouped.items() if of == "direct"}
            found[target] |= _costs(own, base)
            found[target] |= {f"rss_{when}": size for when, size in memory[target].items()}
            found[target]["startup"] = startup[target]
    return found


_Runs = dict[str, list[Run]]


def _grouped(
    runs: Iterable[Run],
) -> dict[tuple[str, str], list[Run]]:
    grouped: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        grouped[run.target, run.scenario].append(run)
    return grouped


def _middle(runs: Sequence[Run], group: str, quantile: str) -> float:
    return median(run.result.times[group][quantile] for run in runs)


def _answers(own: _Runs) -> dict[str, float]:
    return {f"rate_{name}": median(run.result.rate for run in own[name]) for name in _ANSWERS}


_ANSWERS = ("c1", "c32", "c128")


def _streams(own: _Runs) -> dict[str, float]:
    found = {"stream_rate_c32": median(run.result.rate for run in own["stream_c32"])}
    for load in ("c1", "c32"):
        found[f"stream_p50_{load}"] = _middle(own[f"stream_{load}"], "latency", "p50")
        found[f"first_p50_{load}"] = _middle(own[f"stream_{load}"], "first", "p50")
        found[f"forward_p50_{load}"] = _middle(own[f"paced_{load}"], "forward", "p50")
    for quantile in ("p50", "p99"):
        found[f"forward_all_{quantile}_c32"] = _middle(own["paced_c32"], "forward_all", quantile)
    return found


def _costs(own: _Runs, base: _Runs) -> dict[str, float]:
    found = {
        f"added_{quantile}_{load}": _added(own[load], base[load], quantile)
        for load in ("c1", "c32")
        for quantile in ("p50", "p99")
    }
    found["per_core_c32"] = 1 / median(_cpu_each(run) for run in own["c32"])
    found["chunk_cpu"] = median(_cpu_each(run) for run in own["stream_c32"]) / CHUNKS * 1000
    found["chunk_cpu_paced"] = median(_cpu_each(run) for run in own["paced_c32"]) / CHUNKS * 1000
    found["chunk_added"] = _added(own["stream_c1"], base["stream_c1"], "p50") / CHUNKS
    return found


def _added(own: Sequence[Run], base: Sequence[Run], quantile: str) -> float:
    """Return the median over rounds of what the target adds to the upstream in the same round."""
    pairs = zip(own, base, strict=True)
    return median(_latency(mine, quantile) - _latency(its, quantile) for mine, its in pairs)


def _latency(run: Run, quantile: str) -> float:
    return run.result.times["latency"][quantile]


def _cpu_each(run: Run) -> float:
    """Return CPU seconds an answer; not below a tick of the system's clock in all."""
    return max(run.cpu, 0.01) / max(run.result.count, 1)


def rows(found: Figures) -> list[list[str | float | None]]:
    """Return the table's rows: a title, then one cell a target."""
    return [
        [title, *(figures_of.get(name) for figures_of in found.values())]
        for name, title in _ROWS.items()
    ]


def checks(found: Figures) -> list[Check]:
    """Return every limit that can be checked with the targets that were measured."""
    ours = found["ours"]
    return [
        *_own_checks(ours),
        *(_against_portkey(ours, found["portkey"]) if "portkey" in found else ()),
        *(_against_litellm(ours, found["litellm"]) if "litellm" in found else ()),
    ]


def _own_checks(ours: Mapping[str, float]) -> list[Check]:
    return [
        at_most("added latency, concurrency 1, p50", ours["added_p50_c1"], 0.7, " ms"),
        at_most("added latency, concurrency 1, p99", ours["added_p99_c1"], 5.0, " ms"),
        at_least(
            "requests/s at 128 over those at 32", ours["rate_c128"] / ours["rate_c32"], 0.8, " x"
        ),
        at_most("first chunk forwarded, p50", ours["forward_p50_c1"], 1.5, " ms"),
        at_most("CPU per chunk, 32 streams", ours["chunk_cpu"], 0.05, " ms"),
        at_most("time per chunk, one stream", ours["chunk_added"], 0.05, " ms"),
        at_most("memory, idle", ours["rss_idle"], 110, " MB"),
        at_most("memory after the load", ours["rss_loaded"], 140, " MB"),
        at_most("start to first answered chat", ours["startup"], 1.5, " s"),
    ]


def _against_portkey(ours: Mapping[str, float], peer: Mapping[str, float]) -> list[Check]:
    return [
        at_most("added p50 over Portkey's", ours["added_p50_c1"] / peer["added_p50_c1"], 1.2, " x"),
        at_least("requests/s over Portkey's", ours["rate_c32"] / peer["rate_c32"], 1.25, " x"),
        at_least(
            "streams/s over Portkey's", ours["stream_rate_c32"] / peer["stream_rate_c32"], 1.0, " x"
        ),
    ]


def _against_litellm(ours: Mapping[str, float], peer: Mapping[str, float]) -> list[Check]:
    return [
        at_most("added p50 over LiteLLM's", ours["added_p50_c1"] / peer["added_p50_c1"], 0.1, " x"),
        at_least("requests/s over LiteLLM's", ours["rate_c32"] / peer["rate_c32"], 10.0, " x"),
        at_least(
            "streams/s over LiteLLM's",
            ours["stream_rate_c32"] / peer["stream_rate_c32"],
            20.0,
            " x",
        ),
    ]
