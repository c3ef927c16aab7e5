"""Tables, limits and JSON files, the same for every benchmark."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ("Check", "at_least", "at_most", "print_checks", "print_table", "run_in_process", "write")

_RESULTS = Path(__file__).resolve().parent / "results"


class Check(msgspec.Struct, frozen=True):
    """One limit: what was measured, what it must be, and whether it is."""

    name: str
    measured: float
    must: str
    passed: bool


def at_most(name: str, measured: float, limit: float, unit: str = "") -> Check:
    """Return the check that ``measured`` does not exceed ``limit``."""
    return Check(name, measured, f"<= {_number(limit)}{unit}", measured <= limit)


def at_least(name: str, measured: float, limit: float, unit: str = "") -> Check:
    """Return the check that ``measured`` is not below ``limit``."""
    return Check(name, measured, f">= {_number(limit)}{unit}", measured >= limit)


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> None:
    """Print rows below a head; numbers to the right, None as a dash."""
    texts = [list(head), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for index, row in enumerate(texts):
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  ".join([row[0].ljust(widths[0]), *others]))
        if index == 0:
            print("  ".join("-" * width for width in widths))


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else _number(value)


def print_checks(checks: Sequence[Check]) -> None:
    """Print which limits hold."""
    rows = [
        [check.name, check.measured, check.must, "pass" if check.passed else "FAIL"]
        for check in checks
    ]
    print_table(["limit", "measured", "must be", ""], rows)


def write(bench: str, data: dict[str, Any], file: Path | None) -> Path:
    """Write a result as JSON, by default to ``bench/results/<bench>-<time>.json``."""
    now = datetime.now(UTC)
    path = file or _RESULTS / f"{bench}-{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"bench": bench, "date": now.isoformat(timespec="seconds"), **data}
    path.write_text(json.dumps(result, indent=1, default=msgspec.to_builtins) + "\n")
    return path


def run_in_process(
    name: str,
    run: Callable[[int], dict[str, Any]],
    argv: Sequence[str],
    description: str | None,
) -> int:
    """Be the command of a benchmark that starts no servers; 0 when every limit holds.

    :param run: given the number of rounds, returns ``figures`` in microseconds and ``checks``.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=description)
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take medians over")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args(argv)
    result = run(arguments.rounds)
    print_table([name, "µs"], list(result["figures"].items()))
    print()
    print_checks(result["checks"])
    print(f"\nwritten to {write(name, result, arguments.json)}")
    return 0 if all(check.passed for check in result["checks"]) else 1
