from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtime_core.errors import NoBackendAvailable
from runtime_core.http.health import readiness
from runtime_core.types import PluginReport

if TYPE_CHECKING:
    import pytest


async def well() -> None:
    pass


async def unwell() -> None:
    raise NoBackendAvailable("no backend is configured")


async def broken() -> None:
    raise KeyError("password")


async def stuck() -> None:
    await asyncio.Event().wait()


async def test_all_is_well() -> None:
    state = await readiness({"a": well, "b": well}, ())
    assert state.status == "ok"
    assert {name: row.status for name, row in state.checks.items()} == {
        "a": "ok",
        "b": "ok",
        "plugins": "ok",
    }


async def test_a_failed_check_says_why(caplog: pytest.LogCaptureFixture) -> None:
    state = await readiness({"a": well, "b": unwell, "c": broken, "d": stuck}, (), seconds=0.01)
    assert state.status == "fail"
    assert state.checks["a"].status == "ok"
    assert state.checks["b"].reason == "no backend is configured"
    assert "password" not in state.checks["c"].reason
    assert "password" in caplog.text
    assert state.checks["d"].reason == "no answer within 0.01 s"


async def test_a_warning_is_named_and_does_not_count() -> None:
    async def grumble() -> str:
        return "the bus is away"

    state = await readiness({"a": grumble, "b": well}, ())
    assert state.status == "ok"
    assert (state.checks["a"].status, state.checks["a"].reason) == ("warn", "the bus is away")


async def test_checks_run_side_by_side() -> None:
    met = asyncio.Barrier(2)

    async def meet() -> None:
        await met.wait()

    state = await readiness({"a": meet, "b": meet}, (), seconds=5)
    assert state.status == "ok"


async def test_a_quarantined_plugin_is_named_and_does_not_count() -> None:
    plugins = [
        PluginReport(name=name, distribution="d", version="1", status=status)
        for name, status in (("good", "active"), ("off", "disabled"), ("bad", "quarantined"))
    ]
    state = await readiness({"a": well}, plugins)
    assert state.status == "ok"
    assert state.checks["plugins"].status == "warn"
    assert state.checks["plugins"].reason == "quarantined: bad; see /plugins"
