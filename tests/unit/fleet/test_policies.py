"""In which order equals are asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runtime_core.drivers import driver_names, load_driver
from runtime_core.errors import DriverNotFound
from runtime_core.fleet.policies import LeastLoaded, LowestLatency, Preference, RoundRobin


def options(*ids, loaded=""):
    return [SimpleNamespace(backend_id=one, loaded=one in loaded) for one in ids]


def stats(**known):
    empty = {"in_flight": 0, "latency": None, "measured_at": 0.0, "asked": 0}
    return {name: SimpleNamespace(**empty | fields) for name, fields in known.items()}


def order(policy, candidates, known):
    return "".join(option.backend_id for option in policy.order(candidates, known))


def test_all_are_installed():
    names = ["least-loaded", "lowest-latency", "preference", "round-robin"]
    assert driver_names("router") == names
    for name in names:
        assert load_driver("router", name)().name == name
    with pytest.raises(DriverNotFound, match="round-robin"):
        load_driver("router", "round-robbin")


def test_preference_keeps_the_order():
    known = stats(a={"in_flight": 9}, b={}, c={})
    assert order(Preference(), options("a", "b", "c"), known) == "abc"


def test_round_robin_takes_turns():
    known = stats(a={}, b={}, c={})
    first = []
    for turn in range(1, 7):
        chosen = order(RoundRobin(), options("a", "b", "c"), known)[0]
        known[chosen].asked = turn
        first.append(chosen)
    assert "".join(first) == "abcabc"


def test_least_loaded_counts_calls_then_looks_into_memory_then_takes_turns():
    known = stats(a={"in_flight": 1}, b={"asked": 2}, c={"asked": 1}, d={"asked": 3})
    assert order(LeastLoaded(), options("a", "b", "c", "d", loaded="ad"), known) == "dcba"


def test_lowest_latency_prefers_who_answered_soonest():
    policy = LowestLatency(clock=lambda: 100.0)
    known = stats(
        a={"latency": 0.3, "measured_at": 99.0},
        b={"latency": 0.1, "measured_at": 99.0},
        c={"latency": 0.2, "measured_at": 99.0},
    )
    assert order(policy, options("a", "b", "c"), known) == "bca"


def test_lowest_latency_tries_the_unknown_one_call_at_a_time():
    policy = LowestLatency(clock=lambda: 100.0)
    known = stats(
        a={"latency": 0.1, "measured_at": 99.0},
        b={},
        c={"latency": 0.01, "measured_at": 39.0},
    )
    assert order(policy, options("a", "b", "c"), known) == "bca"
    known["b"].in_flight = known["c"].in_flight = 1
    assert order(policy, options("a", "b", "c"), known)[0] == "a"


@pytest.mark.parametrize("policy", [RoundRobin(), LeastLoaded(), LowestLatency()])
def test_a_large_fleet_costs_no_more_and_everybody_is_asked(policy):
    names = [f"b{number}" for number in range(200)]
    known = stats(**{name: {} for name in names})
    candidates, looks = options(*names), []

    class Counting(dict):
        def __getitem__(self, key):
            looks.append(key)
            return super().__getitem__(key)

    counting = Counting(known)
    for turn in range(1, 2001):
        looks.clear()
        first = next(iter(policy.order(candidates, counting)))
        assert len(looks) <= 16
        known[first.backend_id].asked = turn
    assert min(one.asked for one in known.values()) > 1000
    whole = list(policy.order(candidates, known))
    assert sorted(option.backend_id for option in whole) == sorted(names)


@pytest.mark.parametrize("policy", [RoundRobin(), LeastLoaded(), LowestLatency()])
def test_the_second_best_is_looked_for_only_when_it_is_needed(policy):
    seen = []

    class Counting(dict):
        def __getitem__(self, key):
            seen.append(key)
            return super().__getitem__(key)

    next(iter(policy.order(options("a", "b", "c"), Counting(stats(a={}, b={}, c={})))))
    assert len(seen) == 3
