from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.errors import Unprocessable
from runtime_core.tables.pagination import (
    Position,
    decode_cursor,
    encode_cursor,
    page_parameters,
)

TIMES = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(TIMES, NAMES)
def test_a_cursor_leads_back_to_its_position(time, name):
    position = Position(time.replace(tzinfo=UTC), name)
    cursor = encode_cursor(position)

    assert decode_cursor(cursor) == position
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


@given(TIMES, st.integers(-14 * 60, 14 * 60))
def test_an_rfc3339_time_is_before_everything_of_that_time(time, minutes):
    local = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert decode_cursor(local.isoformat()) == Position(local.astimezone(UTC), "")


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        ("2026-11-24T07:12:10Z", datetime(2026, 11, 24, 7, 12, 10)),
        ("2026-11-24t07:12:10z", datetime(2026, 11, 24, 7, 12, 10)),
        ("2026-11-24T07:12:10.5Z", datetime(2026, 11, 24, 7, 12, 10, 500_000)),
        ("2026-11-24T07:12:10.000001Z", datetime(2026, 11, 24, 7, 12, 10, 1)),
        # a row of the microsecond .000001 is strictly older than .0000011
        ("2026-11-24T07:12:10.0000011Z", datetime(2026, 11, 24, 7, 12, 10, 2)),
        ("2026-11-24T07:12:10.000001000Z", datetime(2026, 11, 24, 7, 12, 10, 1)),
        ("2026-11-24T09:12:10+02:00", datetime(2026, 11, 24, 7, 12, 10)),
        ("2026-11-23T23:42:10-07:30", datetime(2026, 11, 24, 7, 12, 10)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1)),
    ],
)
def test_the_forms_of_rfc3339_times(cursor, expected):
    assert decode_cursor(cursor) == Position(expected.replace(tzinfo=UTC), "")


@pytest.mark.parametrize("cursor", [None, ""])
def test_no_cursor_is_the_top(cursor):
    assert decode_cursor(cursor).created_at.year == 9999


def opaque(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "2026-11-24T07:12:10",
        "2026-11-24T07:12:10 02:00",
        "2026-11-24 07:12:10Z",
        "2026-11-24",
        "2026-13-24T07:12:10Z",
        "2026-02-30T07:12:10Z",
        "2026-11-24T24:12:10Z",
        "2026-11-24T07:12:61Z",
        "2026-11-24T07:12:10+25:00",
        "2026-11-24T07:12:10.Z",
        "2026-11-24T07:12:10Z\n",
        "٢٠٢٦-11-24T07:12:10Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.9999999Z",
        "yesterday",
        "1",
        "=",
        "%",
        "é",
        "\0",
        "\ud800",
        opaque("[]"),
        opaque('[1,"a",2]'),
        opaque('["a",1]'),
        opaque("[1.5,1]"),
        opaque('[99999999999999999999999,"a"]'),
        opaque('[9223372036854775807,"a"]'),
        opaque('[1,"a\\u0000"]'),
        opaque('[1,"a"]') + "=",
        opaque('[1,"a"]') + "\n",
        "A" * 100_000,
    ],
)
def test_anything_else_says_what_a_cursor_is(cursor):
    with pytest.raises(Unprocessable, match=r"X-Next-Cursor .* RFC 3339 .* %2B") as caught:
        decode_cursor(cursor)
    assert caught.value.param == "cursor"


@given(st.text())
def test_no_text_breaks_the_decoder(cursor):
    with suppress(Unprocessable):
        assert decode_cursor(cursor).created_at.tzinfo is UTC


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_has_its_range(limit):
    with pytest.raises(Unprocessable, match=f"from 1 to 1000, not {limit}") as caught:
        page_parameters("default", limit, None)
    assert caught.value.param == "limit"


@pytest.mark.parametrize("limit", [1, 1000])
def test_one_row_more_than_the_page_is_fetched(limit):
    assert page_parameters("default", limit, None)["fetch"] == limit + 1
