"""Go durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.engine.durations import parse_duration
from runtime_core.errors import Unprocessable


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("10s", 10),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("2h45m", 9900),
        (".5s", 0.5),
        ("1.s", 1),
        ("0", 0),
        ("+3s", 3),
        ("100us", 1e-4),
        ("100\u00b5s", 1e-4),
        ("100\u03bcs", 1e-4),
        ("50ns", 5e-8),
        (" 10s ", 10),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "10", "s", "10 s", "-1s", "1d", "1m-30s", "ten seconds", "1..5s", ".s", "\u0661s", "1e3s"],
)
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(Unprocessable, match="write for example 300ms, 10s or 1m30s") as failure:
        parse_duration(text, param="timeout")
    assert failure.value.param == "timeout"


def test_a_duration_longer_than_go_holds() -> None:
    with pytest.raises(Unprocessable, match="292 years"):
        parse_duration("9999999999h")


@given(st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**5))
def test_parts_add_up(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds}ms"
    expected = hours * 3600 + minutes * 60 + milliseconds / 1000
    assert parse_duration(text) == pytest.approx(expected)
