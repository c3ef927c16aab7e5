from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime_core.errors import TimedOut
from runtime_core.http.metrics import MeteredRunner, Metrics
from runtime_core.types import RunFinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    text = metrics.render()[0].decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


class Runner:
    def __init__(self, *events: object) -> None:
        self.events = events
        self.closed = False

    async def run(self, request: object) -> AsyncIterator[Any]:
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True

    def check(self, chain: object, input_type: object = None, hooks: object = None) -> list[str]:
        return [f"checked {chain}"]


def test_requests_are_counted_by_template_and_status() -> None:
    metrics = Metrics(version="1")
    metrics.request_done("GET", "/chains/{id}", 200, 0.003)
    metrics.request_done("GET", "/chains/{id}", 200, 0.5)
    metrics.request_done("GET", "/chains/{id}", 404, 400)
    found = samples(metrics)
    labels = "method=GET,route=/chains/{id},status=200"
    assert found["runtime_http_request_seconds_count", labels] == 2
    assert found["runtime_http_request_seconds_sum", labels] == pytest.approx(0.503)
    for bound, count in (("0.0025", 0), ("0.005", 1), ("0.25", 1), ("0.5", 2), ("+Inf", 2)):
        key = f"le={bound},{labels}"
        assert found["runtime_http_request_seconds_bucket", key] == count
    slow = "le=300.0,method=GET,route=/chains/{id},status=404"
    assert found["runtime_http_request_seconds_bucket", slow] == 0


def test_two_applications_do_not_share_counters() -> None:
    one, other = Metrics(version="1"), Metrics(version="1")
    one.request_done("GET", "/", 200, 1)
    assert not any(name == "runtime_http_request_seconds_count" for name, _ in samples(other))


def test_further_collectors_can_be_registered() -> None:
    from prometheus_client import Counter

    metrics = Metrics(version="1")
    Counter("own", "Something of a plugin's", registry=metrics.registry).inc()
    assert samples(metrics)["own_total", ""] == 1


def test_the_process_and_the_version_are_shown() -> None:
    found = samples(Metrics(version="9.9"))
    assert found["runtime_build_info", "version=9.9"] == 1
    assert found["process_resident_memory_bytes", ""] > 0


async def test_a_run_is_counted_while_it_goes_and_when_it_ended() -> None:
    metrics = Metrics(version="1")
    runner: Any = MeteredRunner(Runner(1, RunFinished("x", "string")), metrics)  # type: ignore[arg-type]
    seen = []
    async for event in runner.run(SimpleNamespace()):
        assert metrics.runs_in_flight == 1
        seen.append(event)
    assert seen == [1, RunFinished("x", "string")]
    assert samples(metrics)["runtime_run_seconds_count", "status=ok"] == 1
    assert metrics.runs_in_flight == 0
    assert runner.check("c") == ["checked c"]


async def test_a_reader_may_leave_at_the_last_event() -> None:
    metrics = Metrics(version="1")
    inner = Runner(RunFinished("x", "string"))
    events: Any = MeteredRunner(inner, metrics).run(SimpleNamespace())  # type: ignore[arg-type]
    await anext(events)
    await events.aclose()
    assert samples(metrics)["runtime_run_seconds_count", "status=ok"] == 1


async def test_a_failed_run_is_counted_by_its_code() -> None:
    metrics = Metrics(version="1")
    runner: Any = MeteredRunner(Runner(1, TimedOut("slow")), metrics)  # type: ignore[arg-type]
    with pytest.raises(TimedOut):
        [event async for event in runner.run(SimpleNamespace())]
    assert samples(metrics)["runtime_run_seconds_count", "status=timeout"] == 1
    assert metrics.runs_in_flight == 0


async def test_closing_a_run_closes_the_one_behind_it() -> None:
    metrics, inner = Metrics(version="1"), Runner(1, 2)
    events: Any = MeteredRunner(inner, metrics).run(SimpleNamespace())  # type: ignore[arg-type]
    await anext(events)
    await events.aclose()
    assert inner.closed
    assert samples(metrics)["runtime_run_seconds_count", "status=cancelled"] == 1
    assert metrics.runs_in_flight == 0
