"""How many servers like this one have passed a call on: a chain must not call itself for ever."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from runtime_core.errors import TaskFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp_types import RequestParamsMeta

__all__ = ("counted", "hops_so_far", "passed_on")

_KEY = "runtime-api/hops"
#: A tool that leads back to itself twice makes two to the power of this many calls.
_MOST = 5

_hops: ContextVar[int] = ContextVar("runtime_mcp_hops", default=0)


def hops_so_far(meta: Mapping[str, Any] | None) -> int:
    """Return how often a call was passed on, by what its ``_meta`` says.

    :raises TaskFailed: too often.
    """
    told = (meta or {}).get(_KEY)
    hops = told if isinstance(told, int) and told > 0 else 0
    if hops >= _MOST:
        raise TaskFailed(
            f"{hops} MCP servers have passed this call on, which is as many as may: does the tool "
            "lead back to itself?"
        )
    return hops


@contextmanager
def counted(hops: int) -> Iterator[None]:
    """Let the calls made inside know of the one they are made for."""
    token = _hops.set(hops + 1)
    try:
        yield
    finally:
        _hops.reset(token)


def passed_on() -> RequestParamsMeta | None:
    """Return the ``_meta`` for a call made here, None for one that nobody passed on."""
    hops = _hops.get()
    return cast("RequestParamsMeta", {_KEY: hops}) if hops else None
