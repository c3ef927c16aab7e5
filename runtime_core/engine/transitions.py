"""Choosing the branch a task goes on with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

import re2

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.types import Branch, Outcome, Transition

    Matches = Callable[[str, str | None], bool]

__all__ = ("OPERATORS", "PreparedTransition", "branch_problem", "choose", "prepare_transition")

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_RANGE = re.compile(
    r"(?P<low>[-+]?(?:\d+(?:\.\d+)?|\.\d+))(?:\.\.|-)(?P<high>[-+]?(?:\d+(?:\.\d+)?|\.\d+))"
)
_DROPPED = str.maketrans("", "", "\"' \t\r\n")
_ALIASES = {"gt": ">", "lt": "<", "gte": ">=", "lte": "<="}

#: Every word that ``branch.operator`` may be; "" is ``equals`` with a ``when``, else ``default``.
OPERATORS = frozenset(
    (
        *("", "equals", "not_equals", "contains", "not_contains", "starts_with", "ends_with"),
        *(">", ">=", "<", "<=", "gt", "gte", "lt", "lte", "in_range", "regex", "default"),
    )
)


class PreparedTransition(NamedTuple):
    """A transition with its operators looked up, its patterns compiled, its numbers parsed."""

    tests: tuple[tuple[Matches, Branch], ...]
    fallback: Branch | None

    def choose(self, outcome: Outcome) -> Branch | None:
        """Return the first branch that matches, else the first default, else None."""
        text, matched = outcome.transition, outcome.matched
        for matches, branch in self.tests:
            if matches(text, matched):
                return branch
        return self.fallback


def prepare_transition(transition: Transition) -> PreparedTransition:
    """Do once what does not depend on a run; a branch with a problem never matches."""
    tests: list[tuple[Matches, Branch]] = []
    fallback: Branch | None = None
    for branch in transition.branches or ():
        if _operator(branch) == "default":
            fallback = fallback or branch
        else:
            tests.append((_prepare(branch), branch))
    return PreparedTransition(tuple(tests), fallback)


def choose(transition: Transition, outcome: Outcome) -> Branch | None:
    """Prepare and choose in one step; None when nothing matches."""
    return prepare_transition(transition).choose(outcome)


def branch_problem(branch: Branch) -> str | None:
    """Say why *branch* could never be evaluated; None when it can."""
    operator = _operator(branch)
    if branch.operator not in OPERATORS:
        known = ", ".join(sorted(OPERATORS - {""}))
        return f"unknown operator {branch.operator!r}: use one of {known}"
    if operator == "regex":
        return _regex_problem(branch.when)
    if operator == "in_range":
        return _range_problem(branch.when)
    if operator in _COMPARISONS and _number(branch.when) is None:
        return f"operator {branch.operator!r} compares numbers, and {branch.when!r} has none"
    return None


def _operator(branch: Branch) -> str:
    if branch.operator == "":
        return "equals" if branch.when else "default"
    return _ALIASES.get(branch.operator, branch.operator)


def _prepare(branch: Branch) -> Matches:
    operator, when = _operator(branch), branch.when
    if branch_problem(branch) is not None:
        return lambda text, matched: False
    if operator == "regex":
        return _regex(when)
    if operator == "in_range":
        return _in_range(when)
    if operator in _COMPARISONS:
        return _comparison(operator, when)
    return _TEXT[operator](when)


#: From ``when`` to a test of the transition text and the second, matched text.
_TEXT: dict[str, Callable[[str], Matches]] = {
    "equals": lambda when: lambda text, matched: when in (text, matched),
    "not_equals": lambda when: lambda text, matched: when not in (text, matched),
    "contains": lambda when: lambda text, matched: when in text,
    "not_contains": lambda when: lambda text, matched: when not in text,
    "starts_with": lambda when: lambda text, matched: text.startswith(when),
    "ends_with": lambda when: lambda text, matched: text.endswith(when),
}

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": float.__gt__,
    ">=": float.__ge__,
    "<": float.__lt__,
    "<=": float.__le__,
}


def _comparison(operator: str, when: str) -> Matches:
    compares, bound = _COMPARISONS[operator], _number(when)

    def matches(text: str, matched: str | None) -> bool:
        number = _number(text)
        return number is not None and bound is not None and compares(number, bound)

    return matches


def _in_range(when: str) -> Matches:
    low, high = _bounds(when) or (1.0, 0.0)

    def matches(text: str, matched: str | None) -> bool:
        number = _number(text)
        return number is not None and low <= number <= high

    return matches


def _regex(when: str) -> Matches:
    search = _compile(when).search
    # text that came as broken UTF-16 has no UTF-8 form; the pattern sees "?" in its place
    return lambda text, matched: search(text.encode("utf-8", "replace").decode()) is not None


def _number(text: str) -> float | None:
    """Return the first number in *text*, quotes and spaces dropped."""
    found = _NUMBER.search(text.translate(_DROPPED))
    return float(found[0]) if found else None


def _bounds(when: str) -> tuple[float, float] | None:
    found = _RANGE.fullmatch(when.translate(_DROPPED))
    return (float(found["low"]), float(found["high"])) if found else None


def _range_problem(when: str) -> str | None:
    bounds = _bounds(when)
    if bounds is None:
        return f"{when!r} is not a range: write for example 1-5 or -5..-1"
    if bounds[0] > bounds[1]:
        return f"the range {when!r} is empty: its lower end comes first"
    return None


def _regex_problem(when: str) -> str | None:
    try:
        _compile(when)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(error)
        return f"the pattern {when!r} is not a regular expression (RE2 syntax): {reason}"
    return None


def _compile(pattern: str) -> re.Pattern[str]:
    # RE2 matches in time linear in the text, whatever the pattern: nothing here can hang a run.
    options = re2.Options()
    options.log_errors = False
    return cast("re.Pattern[str]", re2.compile(pattern, options))
