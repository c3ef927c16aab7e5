"""All hook sources as one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtime_core.errors import NotFound, RuntimeCoreError, UpstreamUnavailable
from runtime_core.types import HookInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runtime_core.protocols import HookSource
    from runtime_core.types import ToolRequest, Value

__all__ = ("SourceToolbox",)

logger = logging.getLogger(__name__)


class SourceToolbox:
    """Hooks of several sources; a hook of an earlier source shadows its namesakes in later ones.

    *timeout* is how long, in seconds, one source may take to list its hooks.
    """

    def __init__(self, sources: Mapping[str, HookSource], *, timeout: float = 10.0) -> None:
        self._sources = dict(sources)
        self._timeout = timeout

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List every hook; a source that cannot be listed is one row with its ``error``."""
        listings = await self._listings(self._sources, tenant_id)
        rows: dict[str, HookInfo] = {}
        for row in self._rows(listings):
            rows.setdefault(row.name, row)
        return tuple(rows.values())

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the first source that has the hook.

        :raises NotFound: no source has the hook, or the hook has no such tool.
        """
        return await (await self._owner(request)).call(request)

    async def _owner(self, request: ToolRequest) -> HookSource:
        known: list[str] = []
        broken: list[str] = []
        for name, source in self._sources.items():
            [listing] = await self._listings([name], request.tenant_id)
            if isinstance(listing, BaseException):
                broken.append(f"{name} ({self._reason(listing)})")
            elif any(hook.name == request.hook for hook in listing):
                return source
            else:
                known.extend(hook.name for hook in listing)
        if broken:
            raise UpstreamUnavailable(
                f"hook {request.hook!r} was not found, and these sources of hooks cannot be "
                f"asked now: {', '.join(broken)}"
            )
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise NotFound(f"unknown hook {request.hook!r}; {there_are}")

    async def _listings(
        self, names: Iterable[str], tenant_id: str
    ) -> list[Sequence[HookInfo] | BaseException]:
        return await asyncio.gather(
            *(self._listed(name, tenant_id) for name in names), return_exceptions=True
        )

    async def _listed(self, name: str, tenant_id: str) -> Sequence[HookInfo]:
        return await asyncio.wait_for(self._sources[name].hooks(tenant_id), self._timeout)

    def _rows(self, listings: Sequence[Sequence[HookInfo] | BaseException]) -> Iterator[HookInfo]:
        for name, listing in zip(self._sources, listings, strict=True):
            if isinstance(listing, BaseException):
                logger.warning("hook source %r cannot list its hooks: %s", name, listing)
                yield HookInfo(name=name, type=name, error=self._reason(listing))
            else:
                yield from listing

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        return str(error) if isinstance(error, RuntimeCoreError) else "failed unexpectedly"
