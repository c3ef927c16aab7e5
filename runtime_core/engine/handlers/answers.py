"""What the words of a model mean to a task: pure functions from an answer to an outcome."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from runtime_core.engine.handlers.jsontext import decode_json
from runtime_core.errors import TaskFailed, UnusableAnswer
from runtime_core.types import Outcome, Value

if TYPE_CHECKING:
    from runtime_core.types import Task

__all__ = (
    "as_condition",
    "as_float",
    "as_int",
    "as_js",
    "as_range",
    "as_string",
    "condition_problem",
    "shorten",
    "without_fence",
)

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_INT = re.compile(r"[+-]?\d{1,18}")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)(-|\.\.)(-?\d+(?:\.\d+)?)")
_CURLY = "\u2018\u2019\u201c\u201d"
_DECORATION = str.maketrans("", "", f"\"'`{_CURLY} \t\r\n")
_PUNCTUATION = f" \t\r\n.,;:!?\"'`*_()[]{{}}<>{_CURLY}\u00ab\u00bb\u2026"
_FENCE = "```"
#: A number further back than this is not the answer.
_SEARCHED = 2000
_LARGEST_INT = 2**63 - 1


def as_string(text: str, task: Task) -> Outcome:
    """Take the answer as it is, trimmed."""
    text = text.strip()
    return Outcome(Value(text, "string"), text)


def as_condition(text: str, task: Task) -> Outcome:
    """Find the answer among ``valid_conditions``; case and punctuation around it do not matter."""
    conditions = task.valid_conditions
    if not conditions:
        raise TaskFailed(f"task {task.id!r} has no valid_conditions to compare the answer with")
    key = _matching_key(text, conditions)
    if key is None:
        allowed = ", ".join(repr(key) for key in conditions)
        raise UnusableAnswer(
            f"the model answered {shorten(text)}, which is none of the conditions {allowed}"
        )
    result = conditions[key]
    return Outcome(Value(result, "bool"), "true" if result else "false", key)


def condition_problem(task: Task) -> str | None:
    """Say what is missing for `as_condition`."""
    if task.valid_conditions:
        return None
    return "valid_conditions is empty: map each answer you expect to true or false"


def _matching_key(text: str, conditions: dict[str, bool]) -> str | None:
    text = text.strip()
    if text in conditions:
        return text
    bare = text.strip(_PUNCTUATION).casefold()
    keys = (key for key in conditions if bare and key.strip(_PUNCTUATION).casefold() == bare)
    return next(keys, None)


def as_int(text: str, task: Task) -> Outcome:
    """Read a whole number: the whole answer, or the first number in it."""
    bare = text.translate(_DECORATION)
    if _INT.fullmatch(bare):
        number = int(bare)
    else:
        exact = _first_number(bare, text, "a whole number")
        if not exact.is_integer() or abs(exact) > _LARGEST_INT:
            raise UnusableAnswer(f"the model answered {shorten(text)}, which is no whole number")
        number = int(exact)
    return Outcome(Value(number, "int"), str(number))


def as_float(text: str, task: Task) -> Outcome:
    """Read a number: the whole answer, or the first number in it."""
    number = _first_number(text.translate(_DECORATION), text, "a number")
    return Outcome(Value(number, "float"), f"{number:.2f}")


def _first_number(bare: str, text: str, wanted: str) -> float:
    found = _NUMBER.fullmatch(bare[:_SEARCHED]) or _NUMBER.search(text[:_SEARCHED])
    number = float(found.group()) if found else math.inf
    if not math.isfinite(number):
        raise UnusableAnswer(f"the model answered {shorten(text)} where {wanted} is needed")
    return number


def as_range(text: str, task: Task) -> Outcome:
    """Read ``a-b`` (``a..b`` for negative numbers), or one number, which stands for ``n-n``."""
    bare = text.translate(_DECORATION).replace("\N{EN DASH}", "-")
    if _NUMBER.fullmatch(bare):
        separator = ".." if bare.startswith("-") else "-"
        bare = f"{bare}{separator}{bare}"
    elif not _RANGE.fullmatch(bare):
        raise UnusableAnswer(f"the model answered {shorten(text)} where a range 'a-b' is needed")
    return Outcome(Value(bare, "string"), bare)


def as_js(text: str, task: Task) -> Outcome:
    """Take the code: without fence, or the ``code`` of a JSON object."""
    code = without_fence(text)
    if code.startswith("{"):
        code = _code_in_json(code) or code
    return Outcome(Value({"code": code}, "json"), "ok" if code else "empty_js")


def _code_in_json(text: str) -> str | None:
    try:
        decoded = decode_json(text)
    except ValueError:
        return None
    code = decoded.get("code") if isinstance(decoded, dict) else None
    return code if isinstance(code, str) else None


def without_fence(text: str) -> str:
    """Return what is inside the first Markdown code fence, the trimmed text when there is none.

    A fence that was never closed, as when the answer was cut off, reaches to the end.
    """
    text = text.strip()
    start = text.find(_FENCE)
    if start < 0:
        return text
    inside, _, _ = text[start + len(_FENCE) :].partition(_FENCE)
    first_line, line_end, rest = inside.partition("\n")
    return (rest if line_end else first_line).strip()


def shorten(text: str, limit: int = 200) -> str:
    """Quote *text* for an error message, cut to *limit* characters."""
    return repr(text if len(text) <= limit else f"{text[:limit]}…")
