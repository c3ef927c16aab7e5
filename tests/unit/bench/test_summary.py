"""Figures are medians over rounds; limits are what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.load import Result
from bench.summary import Figures, Run, checks, figures, rows

if TYPE_CHECKING:
    from bench.report import Check

SCENARIOS = ("c1", "c32", "c128", "stream_c1", "stream_c32", "paced_c1", "paced_c32")


def run(target: str, scenario: str, number: int, milliseconds: float, count: int = 1000) -> Run:
    times = {"n": 10.0, "mean": milliseconds, "p50": milliseconds, "p90": 0.0}
    times["p99"] = 2 * milliseconds
    result = Result(
        count=count,
        errors=0,
        first_error="",
        elapsed=1.0,
        times=dict.fromkeys(("latency", "first", "forward", "forward_all"), times),
    )
    return Run(target=target, scenario=scenario, round=number, cpu=0.5, noise=0.0, result=result)


def measured(ours: tuple[float, ...], direct: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Figures:
    runs = [
        run(target, scenario, number, milliseconds)
        for target, times in (("direct", direct), ("ours", ours))
        for number, milliseconds in enumerate(times)
        for scenario in SCENARIOS
    ]
    memory = {"direct": {}, "ours": {"idle": 90.0, "loaded": 120.0}}
    return figures(runs, memory, {"direct": 0.0, "ours": 0.9})


def failing(found: list[Check]) -> list[str]:
    return [check.name for check in found if not check.passed]


def test_added_latency_is_the_median_of_the_rounds_differences() -> None:
    found = measured((1.5, 9.0, 2.1), direct=(1.0, 8.0, 1.9))
    assert found["ours"]["added_p50_c1"] == pytest.approx(0.5)
    assert found["ours"]["added_p99_c1"] == pytest.approx(1.0)
    assert "added_p50_c1" not in found["direct"]


def test_cost_of_a_core() -> None:
    found = measured((1.5, 1.5, 1.5))
    assert found["ours"]["per_core_c32"] == pytest.approx(2000)
    assert found["ours"]["chunk_cpu"] == pytest.approx(0.5 / 64)


def test_good_figures_pass() -> None:
    assert failing(checks(measured((1.5, 1.5, 1.5)))) == []


@pytest.mark.parametrize(
    ("figure", "value", "name"),
    [
        ("added_p50_c1", 0.71, "added latency, concurrency 1, p50"),
        ("added_p99_c1", 5.1, "added latency, concurrency 1, p99"),
        ("rate_c128", 799.0, "requests/s at 128 over those at 32"),
        ("forward_p50_c1", 1.6, "first chunk forwarded, p50"),
        ("chunk_cpu", 0.06, "CPU per chunk, 32 streams"),
        ("chunk_added", 0.06, "time per chunk, one stream"),
        ("rss_idle", 111.0, "memory, idle"),
        ("rss_loaded", 141.0, "memory after the load"),
        ("startup", 1.6, "start to first answered chat"),
    ],
)
def test_each_limit_can_fail(figure: str, value: float, name: str) -> None:
    found = measured((1.5, 1.5, 1.5))
    found["ours"][figure] = value
    assert failing(checks(found)) == [name]


@pytest.mark.parametrize(
    ("peer", "figure", "value", "name"),
    [
        ("portkey", "added_p50_c1", 0.4, "added p50 over Portkey's"),
        ("portkey", "rate_c32", 850.0, "requests/s over Portkey's"),
        ("portkey", "stream_rate_c32", 1001.0, "streams/s over Portkey's"),
        ("litellm", "added_p50_c1", 4.9, "added p50 over LiteLLM's"),
        ("litellm", "rate_c32", 101.0, "requests/s over LiteLLM's"),
        ("litellm", "stream_rate_c32", 51.0, "streams/s over LiteLLM's"),
    ],
)
def test_each_comparison_can_fail(peer: str, figure: str, value: float, name: str) -> None:
    found = measured((1.5, 1.5, 1.5))
    found["portkey"] = {"added_p50_c1": 0.5, "rate_c32": 700.0, "stream_rate_c32": 900.0}
    found["litellm"] = {"added_p50_c1": 5.1, "rate_c32": 99.0, "stream_rate_c32": 49.0}
    assert failing(checks(found)) == []
    found[peer][figure] = value
    assert failing(checks(found)) == [name]


def test_rows_have_a_cell_for_each_target() -> None:
    found = measured((1.5, 1.5, 1.5))
    table = {str(title).strip(): cells for title, *cells in rows(found)}
    assert table["requests/s, concurrency 1"] == [1000.0, 1000.0]
    assert table["resident memory, idle (MB)"] == [None, 90.0]
