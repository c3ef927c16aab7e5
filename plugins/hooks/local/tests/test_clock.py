"""The hook ``time``."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from runtime_hooks_local.source import LocalHooks

from runtime_core.errors import TaskFailed

#: An hour before clocks go forward in Berlin.
MOMENT = datetime(2026, 3, 29, 0, 0, 5, 123456, tzinfo=UTC)


@pytest.fixture
def tell(as_model):
    source = LocalHooks(now=lambda: MOMENT)

    async def call(**arguments):
        return (await source.call(as_model("time", **arguments))).data

    return call


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "2026-03-29T00:00:05Z"),
        ({"timezone": None, "format": "", "add": ""}, "2026-03-29T00:00:05Z"),
        ({"timezone": "Europe/Berlin"}, "2026-03-29T01:00:05+01:00"),
        ({"timezone": "America/Argentina/Buenos_Aires"}, "2026-03-28T21:00:05-03:00"),
        ({"timezone": "utc"}, "2026-03-29T00:00:05Z"),
        ({"timezone": "+05:45"}, "2026-03-29T05:45:05+05:45"),
        ({"timezone": "-0330"}, "2026-03-28T20:30:05-03:30"),
        ({"format": "%A %d %B %Y, %H:%M %%"}, "Sunday 29 March 2026, 00:00 %"),
        ({"format": "%Y-%m-%d", "timezone": "America/New_York"}, "2026-03-28"),
        ({"add": "2h", "timezone": "Europe/Berlin"}, "2026-03-29T04:00:05+02:00"),
        ({"add": "1h30m"}, "2026-03-29T01:30:05Z"),
        ({"add": "-1w 1d"}, "2026-03-21T00:00:05Z"),
        ({"time": "2026-07-01T12:00:00Z", "timezone": "Asia/Tokyo"}, "2026-07-01T21:00:00+09:00"),
        ({"time": "2026-07-01T12:00", "timezone": "Asia/Tokyo"}, "2026-07-01T12:00:00+09:00"),
        ({"time": "2026-07-01"}, "2026-07-01T00:00:00Z"),
        ({"time": "2026-07-01T12:00:00Z", "add": "-45s"}, "2026-07-01T11:59:15Z"),
    ],
)
async def test_tells_the_time(tell, arguments, text):
    assert await tell(**arguments) == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timezone": "Europe/Nowhere"}, "no time zone 'Europe/Nowhere': use a name such as"),
        ({"timezone": "../../etc/passwd"}, "no time zone"),
        ({"timezone": "/etc/localtime"}, "no time zone"),
        ({"timezone": "Europe"}, "no time zone"),
        ({"timezone": "+25:00"}, "no time zone"),
        ({"timezone": "+01:75"}, "no time zone"),
        ({"timezone": "a\0b"}, "no time zone"),
        ({"timezone": 7}, "'timezone' must be a text"),
        ({"time": "noon"}, "'noon' is no time: write it like"),
        ({"add": "soon"}, "'soon' is no span: write it like"),
        ({"add": "999999999w"}, "too long"),
        ({"add": "999999999d"}, "after 9999"),
        ({"time": "0001-01-01", "timezone": "+10:00"}, "before the year 1"),
        ({"format": "%Q"}, "unknown directive '%Q'"),
        ({"format": "ends with %"}, "unknown directive '%'"),
        ({"format": "%Y" * 200}, "at most 200 characters"),
        ({"format": "%Y\0"}, "at most 200 characters"),
    ],
)
async def test_says_what_is_wrong(tell, arguments, words):
    with pytest.raises(TaskFailed) as failure:
        await tell(**arguments)
    assert words in str(failure.value)


async def test_tells_the_time_of_now(as_task):
    before = datetime.now(UTC).replace(microsecond=0)
    told = datetime.fromisoformat((await LocalHooks().call(as_task("time"))).data)
    assert before <= told <= datetime.now(UTC)
