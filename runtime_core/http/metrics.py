"""What ``/metrics`` shows: plain counters while serving, Prometheus's objects only when asked."""

from __future__ import annotations

import time
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime_core.errors import RuntimeCoreError
from runtime_core.types import RunFinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from runtime_core.protocols import ChainRunner
    from runtime_core.types import Chain, DataType, HookInfo, RunEvent, RunRequest

__all__ = ("MeteredRunner", "Metrics")

#: Upper bounds of the latency buckets, in seconds: from a cached read to a long agent run.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class _Histogram:
    """How often, how long in all, and how long each, in seconds."""

    __slots__ = ("buckets", "count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.buckets = [0] * (len(_BOUNDS) + 1)

    def observe(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        rows: list[tuple[str, float]] = []
        sum_so_far = 0
        for bound, count in zip((*_BOUNDS, float("inf")), self.buckets, strict=True):
            sum_so_far += count
            rows.append(("+Inf" if bound == float("inf") else repr(float(bound)), sum_so_far))
        return rows


class Metrics:
    """The counters of one application; `registry` takes further collectors."""

    def __init__(self, *, version: str) -> None:
        self._version = version
        self._requests: dict[tuple[str, str, int], _Histogram] = {}
        self._runs: dict[str, _Histogram] = {}
        self.requests_in_flight = 0
        self.runs_in_flight = 0

    def request_done(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request under its route's template."""
        key = (method, route, status)
        histogram = self._requests.get(key)
        if histogram is None:
            histogram = self._requests[key] = _Histogram()
        histogram.observe(seconds)

    def run_done(self, status: str, seconds: float) -> None:
        """Count a run: ``ok``, ``cancelled``, or the code of the error it ended with."""
        self._runs.setdefault(status, _Histogram()).observe(seconds)

    @cached_property
    def registry(self) -> CollectorRegistry:
        """The registry of this application, never the process-wide one."""
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        return registry

    def render(self) -> tuple[bytes, str]:
        """Return the text Prometheus scrapes, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterable[Metric]:
        """Yield everything counted here, for the registry."""
        yield from _families(self._version, self._requests, self._runs)
        for name, text, value in (
            ("runtime_http_requests_in_flight", "Requests being answered", self.requests_in_flight),
            ("runtime_runs_in_flight", "Runs of chains going on", self.runs_in_flight),
        ):
            yield _gauge(name, text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    return GaugeMetricFamily(name, text, value=value)


def _families(
    version: str,
    requests: Mapping[tuple[str, str, int], _Histogram],
    runs: Mapping[str, _Histogram],
) -> Iterable[Metric]:
    from prometheus_client.metrics_core import HistogramMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("runtime_build", "The version that runs", value={"version": version})
    family = HistogramMetricFamily(
        "runtime_http_request_seconds",
        "Time from a request's first byte to its answer's last",
        labels=("method", "route", "status"),
    )
    for (method, route, status), one in list(requests.items()):
        family.add_metric((method, route, str(status)), one.cumulative(), one.total)
    yield family
    family = HistogramMetricFamily(
        "runtime_run_seconds", "Time a run of a chain took", labels=("status",)
    )
    for outcome, one in list(runs.items()):
        family.add_metric((outcome,), one.cumulative(), one.total)
    yield family


class MeteredRunner:
    """A chain runner that counts its runs."""

    def __init__(self, runner: ChainRunner, metrics: Metrics) -> None:
        self._runner = runner
        self._metrics = metrics

    async def run(self, request: RunRequest) -> AsyncIterator[RunEvent]:
        """Run as the runner behind it does."""
        metrics, started, status = self._metrics, time.perf_counter(), "cancelled"
        metrics.runs_in_flight += 1
        events: Any = self._runner.run(request)
        try:
            async for event in events:
                if isinstance(event, RunFinished):
                    status = "ok"  # readers may leave at the last event
                yield event
        except RuntimeCoreError as error:
            status = error.code
            raise
        finally:
            metrics.runs_in_flight -= 1
            metrics.run_done(status, time.perf_counter() - started)
            await events.aclose()

    def check(
        self,
        chain: Chain,
        input_type: DataType | None = None,
        hooks: Sequence[HookInfo] | None = None,
    ) -> list[str]:
        """Name every problem of *chain*."""
        return self._runner.check(chain, input_type, hooks)
