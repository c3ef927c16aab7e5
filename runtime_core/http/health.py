"""Whether the server can do its work: every check at once, each within its time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtime_core.errors import RuntimeCoreError
from runtime_core.http.wire.documents import CheckWire, Readiness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import HealthCheck
    from runtime_core.types import PluginReport

__all__ = ("readiness",)

_log = logging.getLogger("runtime.http")
_SECONDS = 3.0


async def readiness(
    checks: Mapping[str, HealthCheck],
    plugins: Sequence[PluginReport],
    *,
    seconds: float = _SECONDS,
) -> Readiness:
    """Run *checks* side by side; warnings and quarantined plugins are named and do not count."""
    results = await asyncio.gather(
        *(_within(check, seconds) for check in checks.values()), return_exceptions=True
    )
    rows = {name: _row(name, result, seconds) for name, result in zip(checks, results, strict=True)}
    failed = any(row.status == "fail" for row in rows.values())
    rows["plugins"] = _plugins(plugins)
    return Readiness(status="fail" if failed else "ok", checks=rows)


async def _within(check: HealthCheck, seconds: float) -> str | None:
    async with asyncio.timeout(seconds):
        return await check()


def _row(name: str, result: BaseException | str | None, seconds: float) -> CheckWire:
    if result is None:
        return CheckWire("ok")
    if isinstance(result, str):
        return CheckWire("warn", result)
    if isinstance(result, TimeoutError):
        return CheckWire("fail", f"no answer within {seconds:g} s")
    if isinstance(result, RuntimeCoreError):
        return CheckWire("fail", result.message)
    _log.error("the check %s failed", name, exc_info=result)
    return CheckWire("fail", "failed unexpectedly; see the server's log")


def _plugins(plugins: Sequence[PluginReport]) -> CheckWire:
    out = [plugin.name for plugin in plugins if plugin.status == "quarantined"]
    if not out:
        return CheckWire("ok")
    return CheckWire("warn", f"quarantined: {', '.join(out)}; see /plugins")
