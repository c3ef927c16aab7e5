"""The provider conformance suite is judged by providers that are broken on purpose."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = Path(__file__).with_name("mutants.py")

#: For each test class and test: how its parametrised runs went.
Results = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def mutants() -> Mapping[str, tuple[str, ...]]:
    found: Mapping[str, tuple[str, ...]] = runpy.run_path(str(MODULE))["MUTANTS"]
    return found


@pytest.fixture(scope="module")
def results(mutants: Mapping[str, tuple[str, ...]], outcomes: Any) -> Results:
    """Run the whole suite on the right provider and, of it, on each wrong one what must fail."""
    chosen = [f"Test{name}::{test}" for name, tests in mutants.items() for test in tests]
    weakened = [f"{suite}::test_suite_is_not_weakened" for suite in ("TestWeakened", "TestExcused")]
    lying = "TestLying::test_what_it_is_without_it_does_not_have"
    found: Results = outcomes(MODULE, ("TestTiny", *chosen, *weakened, lying))
    return found


def test_the_right_provider_passes(results: Results) -> None:
    outcomes = {test: seen for (suite, test), seen in results.items() if suite == "TestTiny"}
    assert len(outcomes) > 40
    assert {test: seen for test, seen in outcomes.items() if set(seen) != {"passed"}} == {}


def test_every_wrong_provider_is_caught(
    results: Results, mutants: Mapping[str, tuple[str, ...]]
) -> None:
    assert len(mutants) >= 40
    missed = [
        f"{name} by {test}: {results.get((f'Test{name}', test))}"
        for name, tests in mutants.items()
        for test in tests
        if "failure" not in results.get((f"Test{name}", test), [])
    ]
    assert missed == []


def test_weakening_the_suite_needs_a_reason(results: Results) -> None:
    assert results["TestWeakened", "test_suite_is_not_weakened"] == ["failure"]
    assert results["TestExcused", "test_suite_is_not_weakened"] == ["passed"]


def test_leaving_out_what_is_there_is_caught(results: Results) -> None:
    assert results["TestLying", "test_what_it_is_without_it_does_not_have"] == ["failure"]
