"""Branches: which one a task goes on with."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.engine.transitions import OPERATORS, branch_problem, choose, prepare_transition
from runtime_core.types import Branch, Outcome, Transition, Value


def goes(text: str, *branches: Branch, matched: str | None = None) -> str | None:
    outcome = Outcome(Value(text, "string"), text, matched)
    branch = choose(Transition(branches=branches), outcome)
    return None if branch is None else branch.goto


def matches(operator: str, when: str, text: str, matched: str | None = None) -> bool:
    branch = Branch(operator=operator, when=when, goto="there")
    return goes(text, branch, matched=matched) == "there"


@pytest.mark.parametrize(
    ("operator", "when", "text", "expected"),
    [
        ("equals", "a", "a", True),
        ("equals", "a", "A", False),
        ("equals", "", "", True),
        ("not_equals", "a", "b", True),
        ("not_equals", "a", "a", False),
        ("contains", "b", "abc", True),
        ("contains", "B", "abc", False),
        ("not_contains", "x", "abc", True),
        ("not_contains", "b", "abc", False),
        ("starts_with", "ab", "abc", True),
        ("starts_with", "bc", "abc", False),
        ("ends_with", "bc", "abc", True),
        ("ends_with", "ab", "abc", False),
        (">", "5", "6", True),
        (">", "5", "5", False),
        ("gt", "5", "5.01", True),
        (">=", "5", "5", True),
        ("gte", "5", "4.9", False),
        ("<", "5", "4", True),
        ("lt", "5", "5", False),
        ("<=", "5", "5", True),
        ("lte", "5", "6", False),
        # the first number in the text, quotes and spaces dropped
        (">", "5", "score: 7 of 10", True),
        (">", "5", '"7"', True),
        (">", "1 000", "1 001", True),
        ("<", "0", "-3.5", True),
        (">", "1e2", "101", True),
        ("<", "1", ".5", True),
        # a side that is no number does not match
        (">", "5", "many", False),
        ("<", "5", "", False),
        (">", "many", "7", False),
        (">", "5", "nan", False),
        (">", "5", "Infinity", False),
        ("in_range", "1-5", "1", True),
        ("in_range", "1-5", "5", True),
        ("in_range", "1-5", "5.1", False),
        ("in_range", "1..5", "3", True),
        ("in_range", "-5..-1", "-3", True),
        ("in_range", "-5--1", "-3", True),
        ("in_range", "-5--1", "0", False),
        ("in_range", "-5-5", "-5", True),
        ("in_range", " 1 - 5 ", "3", True),
        ("in_range", "0.5-1.5", "1", True),
        ("in_range", "1.5..2.5", "2", True),
        ("in_range", "5-1", "3", False),
        ("in_range", "x", "3", False),
        ("in_range", "1-5", "none", False),
        ("regex", "^a+$", "aaa", True),
        ("regex", "b", "abc", True),
        ("regex", "^b", "abc", False),
        ("regex", "(?i)ABC", "abc", True),
        ("regex", "(", "(", False),
        ("nope", "a", "a", False),
    ],
)
def test_operators(operator: str, when: str, text: str, expected: bool) -> None:
    assert matches(operator, when, text) is expected


@pytest.mark.parametrize(
    ("operator", "when", "expected"),
    [
        ("equals", "yes", True),
        ("equals", "true", True),
        ("equals", "no", False),
        ("not_equals", "yes", False),
        ("not_equals", "true", False),
        ("not_equals", "no", True),
        ("contains", "yes", False),
        ("starts_with", "y", False),
    ],
)
def test_a_matched_key_counts_for_equality_only(operator: str, when: str, expected: bool) -> None:
    assert matches(operator, when, "true", matched="yes") is expected


def test_a_branch_without_operator_is_equals_with_a_when_and_else_default() -> None:
    branches = (Branch(goto="otherwise"), Branch(when="a", goto="a"))
    assert goes("a", *branches) == "a"
    assert goes("b", *branches) == "otherwise"


def test_the_first_match_wins_and_the_first_default_comes_last() -> None:
    branches = (
        Branch(operator="default", goto="d1"),
        Branch(operator="contains", when="a", goto="one"),
        Branch(operator="equals", when="a", goto="two"),
        Branch(operator="default", when="x", goto="d2"),
    )
    assert goes("a", *branches) == "one"
    assert goes("z", *branches) == "d1"


@pytest.mark.parametrize("branches", [(), None, (Branch(operator="equals", when="x", goto="y"),)])
def test_no_match_is_none(branches: tuple[Branch, ...] | None) -> None:
    outcome = Outcome(Value("a", "string"), "a")
    assert choose(Transition(branches=branches), outcome) is None


@pytest.mark.parametrize(
    ("operator", "when", "part"),
    [
        ("nope", "a", "unknown operator 'nope': use one of <, <=, >"),
        ("regex", "(", "not a regular expression"),
        ("regex", r"(a)\1", "not a regular expression"),
        ("regex", "\ud800", "not a regular expression"),
        ("in_range", "5", "'5' is not a range: write for example 1-5"),
        ("in_range", "1-2-3", "is not a range"),
        ("in_range", "5-1", "is empty"),
        (">", "many", "'many' has none"),
    ],
)
def test_problems_are_told_before_a_run(operator: str, when: str, part: str) -> None:
    problem = branch_problem(Branch(operator=operator, when=when))
    assert problem is not None
    assert part in problem


def test_every_operator_has_a_harmless_use() -> None:
    for operator in OPERATORS:
        assert branch_problem(Branch(operator=operator, when="1-5")) is None


def test_no_pattern_hangs_a_run() -> None:
    prepared = prepare_transition(
        Transition(branches=(Branch(operator="regex", when="^(a+)+$", goto="x"),))
    )
    before = time.thread_time()
    assert prepared.choose(Outcome(Value("", "string"), "a" * 50_000 + "b")) is None
    assert time.thread_time() - before < 1


def test_broken_text_does_not_break_a_pattern() -> None:
    assert matches("regex", "^.a$", "\ud800a")


NUMBERS = st.integers(-1000, 1000) | st.floats(-1000, 1000).map(lambda number: round(number, 3))


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["-", "..", " - ", " .. "]))
def test_in_range_is_what_it_says(low: float, high: float, number: float, dash: str) -> None:
    when = f"{low:f}{dash}{high:f}"
    assert matches("in_range", when, f"{number:f}") is (low <= number <= high)


@given(st.text(max_size=20), st.sampled_from(sorted(OPERATORS)), st.text(max_size=20))
def test_nothing_a_client_writes_raises(when: str, operator: str, text: str) -> None:
    branch = Branch(operator=operator, when=when, goto="x")
    branch_problem(branch)
    assert goes(text, branch) in ("x", None)
