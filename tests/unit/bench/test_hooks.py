"""What the benchmark of hooks computes, and the service it calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_remote.openapi import read

from bench import hooks
from bench.processes import BenchError, ServiceProcess, ask
from bench.service import ITEM, document

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), ()) as service:
        yield service.port


def test_the_service_does_what_its_document_says(port: int) -> None:
    _, served = ask(port, "GET", "/openapi.json")
    found = read(served, url=f"http://127.0.0.1:{port}/openapi.json")
    assert len(found.operations) == 10
    assert found.problems == ()
    assert json.loads(ask(port, "GET", "/items?q=kettle&limit=5")[1])["items"][0]["id"] == 0
    status, added = ask(port, "POST", "/items", json.dumps(ITEM).encode())
    assert (status, json.loads(added)) == (200, {"id": 7, **ITEM})
    # and what every upstream of a benchmark does
    assert ask(port, "GET", "/v1/models")[0] == 200
    assert ask(port, "GET", "/nothing")[0] == 404


def test_the_large_document_is_as_large_as_it_says() -> None:
    assert len(read(document(hooks.OPERATIONS)).operations) == hooks.OPERATIONS


def test_what_a_tool_adds_is_the_difference_of_quantiles() -> None:
    figures = hooks.figures_of("call", {"direct": [100.0, 110.0, 400.0], "tool": [150.0] * 3})
    assert figures["call, direct, p50"] == 110
    assert figures["call, added to direct, p50"] == 40
    assert figures["call, added to direct, p99"] == pytest.approx(150 - 394.2)
    assert not any("added to tool" in name for name in figures)


def passing(figures: dict[str, float]) -> list[bool]:
    return [check.passed for check in hooks.checks_of(figures)]


def test_the_limits() -> None:
    good = {
        "GET with a query, added to aiohttp, p50": 499.0,
        "POST of JSON, added to aiohttp, p50": 500.0,
        "listing of 200 hooks, 20 dead, cold": 2_100_000.0,
        "listing of 200 hooks, 20 dead, warm": 9_000.0,
        "reading a document of 500 operations, CPU": 50_000.0,
    }
    assert passing(good) == [True] * 5
    assert passing({name: value * 10 for name, value in good.items()}) == [False] * 5


async def test_ways_that_do_not_come_to_the_same_are_an_error() -> None:
    async def one() -> Any:
        return {"a": 1}

    async def two() -> Any:
        return {"a": 2}

    await hooks._compare({"aiohttp": one, "tool": one})
    with pytest.raises(BenchError, match="by tool the answer was"):
        await hooks._compare({"aiohttp": one, "tool": two})


def test_a_short_run_has_every_figure() -> None:
    result = hooks.run(1, calls=3)
    assert {check.name for check in result["checks"]} <= result["figures"].keys()
