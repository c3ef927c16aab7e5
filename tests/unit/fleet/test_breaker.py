"""When a backend rests, for how long, and who may try it."""

from __future__ import annotations

import pytest

from runtime_core.errors import UpstreamRateLimited, UpstreamUnavailable
from runtime_core.fleet.breaker import Breaker, BreakerLimits

DOWN = UpstreamUnavailable("down")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def breaker(clock, changes):
    made = Breaker(
        BreakerLimits(failures=3, cool_down=2.0, longest=10.0),
        clock=clock,
        changed=lambda: changes.append(made.state),
    )
    return made


def fail(breaker, times=1, error=DOWN):
    for _ in range(times):
        breaker.acquire().failed(error)


def test_failures_in_a_row_open_it(breaker, changes):
    fail(breaker, 2)
    assert breaker.state == "closed"
    breaker.acquire().succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert (breaker.state, breaker.acquire(), breaker.remaining) == ("open", None, 2.0)
    assert breaker.reason is DOWN
    assert changes == ["open"]


def test_one_probe_at_a_time(breaker, clock, changes):
    fail(breaker, 3)
    clock.now += 1.99
    assert breaker.acquire() is None
    clock.now += 0.01
    probe = breaker.acquire()
    assert breaker.state == "half_open"
    assert probe is not None
    assert (breaker.acquire(), breaker.passing) == (None, False)
    probe.succeeded()
    assert (breaker.state, breaker.passing) == ("closed", True)
    assert changes == ["open", "half_open", "closed"]
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_each_failed_probe_doubles_the_rest(breaker, clock):
    fail(breaker, 3)
    rests = []
    for _ in range(5):
        rests.append(breaker.remaining)
        clock.now += breaker.remaining
        fail(breaker)
    assert rests == [2.0, 4.0, 8.0, 10.0, 10.0]
    clock.now += 10
    breaker.acquire().succeeded()
    fail(breaker, 3)
    assert breaker.remaining == 2.0


def test_a_probe_that_is_given_up_lets_another_one_try(breaker, clock):
    fail(breaker, 3)
    clock.now += 2
    breaker.acquire().release()
    assert breaker.acquire() is not None


def test_a_probe_that_is_answered_lets_others_in_before_its_end(breaker, clock):
    fail(breaker, 3)
    clock.now += 2
    probe = breaker.acquire()
    probe.answering()
    assert breaker.acquire() is not None
    probe.failed(DOWN)
    assert (breaker.state, breaker.remaining) == ("open", 4.0)


def test_patience_that_is_asked_for_opens_it_at_once(breaker, clock):
    fail(breaker, 1, UpstreamRateLimited("slow down", retry_after=30))
    assert breaker.remaining == 30.0
    clock.now += 29.9
    assert breaker.acquire() is None
    clock.now += 0.2
    assert breaker.acquire() is not None


def test_nobody_is_out_for_days(breaker):
    fail(breaker, 1, UpstreamRateLimited("slow down", retry_after=1e9))
    assert breaker.remaining == 3600.0


def test_calls_from_before_it_opened_say_nothing(breaker, clock):
    early = [breaker.acquire() for _ in range(4)]
    fail(breaker, 3)
    early[0].failed(DOWN)
    early[1].succeeded()
    assert (breaker.state, breaker.remaining) == ("open", 2.0)
    early[2].failed(UpstreamRateLimited("slow down", retry_after=5))
    assert breaker.remaining == 5.0
    clock.now += 5
    probe = breaker.acquire()
    early[3].succeeded()
    assert breaker.acquire() is None
    probe.succeeded()
    assert breaker.state == "closed"


def test_how_a_call_ended_counts_once(breaker):
    permit = breaker.acquire()
    for _ in range(5):
        permit.failed(DOWN)
    assert breaker.state == "closed"


def test_it_can_be_switched_off(clock):
    breaker = Breaker(BreakerLimits(failures=0), clock=clock)
    for error in (*[DOWN] * 9, UpstreamRateLimited("later", retry_after=60)):
        permit = breaker.acquire()
        permit.failed(error)
    assert breaker.state == "closed"
