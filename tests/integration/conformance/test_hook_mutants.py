"""The conformance suite of hook sources is judged by sources that are broken on purpose."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = Path(__file__).with_name("hook_mutants.py")

#: For each test class and test: how its parametrised runs went.
Results = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def mutants() -> Mapping[str, tuple[str, ...]]:
    found: Mapping[str, tuple[str, ...]] = runpy.run_path(str(MODULE))["MUTANTS"]
    return found


@pytest.fixture(scope="module")
def results(mutants: Mapping[str, tuple[str, ...]], outcomes: Any) -> Results:
    """Run the whole suite on the right source and, of it, on each wrong one what must fail."""
    chosen = [f"Test{name}::{test}" for name, tests in mutants.items() for test in tests]
    weakened = [f"{suite}::test_suite_is_not_weakened" for suite in ("TestWeakened", "TestExcused")]
    found: Results = outcomes(MODULE, ("TestRight", *chosen, *weakened))
    return found


def test_the_right_source_passes(results: Results) -> None:
    outcomes = {test: seen for (suite, test), seen in results.items() if suite == "TestRight"}
    assert len(outcomes) > 30
    assert {test: seen for test, seen in outcomes.items() if set(seen) != {"passed"}} == {}


def test_every_wrong_source_is_caught(
    results: Results, mutants: Mapping[str, tuple[str, ...]]
) -> None:
    assert len(mutants) >= 45
    missed = [
        f"{name} by {test}: {results.get((f'Test{name}', test))}"
        for name, tests in mutants.items()
        for test in tests
        if "failure" not in results.get((f"Test{name}", test), [])
    ]
    assert missed == []


def test_every_test_of_the_suite_catches_something(
    results: Results, mutants: Mapping[str, tuple[str, ...]]
) -> None:
    """But the one about weakening, which has its own."""
    tests = {test for suite, test in results if suite == "TestRight"}
    needed = {test for tests in mutants.values() for test in tests}
    assert tests - needed == {"test_suite_is_not_weakened"}


def test_weakening_the_suite_needs_a_reason(results: Results) -> None:
    assert results["TestWeakened", "test_suite_is_not_weakened"] == ["failure"]
    assert results["TestExcused", "test_suite_is_not_weakened"] == ["passed"]
