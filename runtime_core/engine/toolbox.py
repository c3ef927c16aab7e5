"""All hook sources as one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime_core.engine.opening import Opened
from runtime_core.errors import NotFound, RuntimeCoreError, UpstreamUnavailable
from runtime_core.protocols import FindingHookSource, RunningHookSource
from runtime_core.types import HookInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence

    from runtime_core.protocols import HookSource, Services
    from runtime_core.types import ToolRequest, Value

__all__ = ("SourceToolbox",)

logger = logging.getLogger(__name__)


class SourceToolbox:
    """Hooks of several sources; a hook of an earlier source shadows its namesakes in later ones.

    *timeout* is how long, in seconds, one source may take to open, or to list its hooks.
    """

    def __init__(self, sources: Mapping[str, HookSource], *, timeout: float = 10.0) -> None:
        self._sources = dict(sources)
        self._timeout = timeout
        self._closed: dict[str, str] = {}

    @property
    def sources(self) -> Mapping[str, HookSource]:
        """The sources by name, in the order in which they shadow each other."""
        return self._sources

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Open the sources that have something to open, side by side, and close them at the end.

        One that fails to open is out until the next start: its listing says why.
        """
        opened = {
            name: Opened(source.running(services), seconds=self._timeout)
            for name, source in self._sources.items()
            if isinstance(source, RunningHookSource)
        }
        try:
            failures = await asyncio.gather(*(one.open() for one in opened.values()))
            for name, error in zip(opened, failures, strict=True):
                if error is not None:
                    logger.error("hook source %r cannot be used: %s", name, error, exc_info=error)
                    self._closed[name] = self._reason(error)
            yield
        finally:
            await asyncio.gather(*(one.close() for one in opened.values()))

    async def hooks(
        self, tenant_id: str, names: Collection[str] | None = None
    ) -> Sequence[HookInfo]:
        """List every hook, or those of *names*; a source that cannot tell is one row with its
        ``error``.
        """
        asked = [
            self._named(name, tenant_id, names) if names is not None else self._all(name, tenant_id)
            for name in self._sources
        ]
        rows: dict[str, HookInfo] = {}
        for answer in await asyncio.gather(*asked):
            for row in self._rows(answer):
                rows.setdefault(row.name, row)
        return tuple(rows.values())

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the first source that has the hook.

        :raises NotFound: no source has the hook, or the hook has no such tool.
        """
        broken: list[str] = []
        for name in self._sources:
            answer = await self._named(name, request.tenant_id, (request.hook,))
            if answer.error:
                broken.append(f"{name} ({answer.error})")
            elif answer.hooks:
                return await self._sources[name].call(request)
        if broken:
            raise UpstreamUnavailable(
                f"hook {request.hook!r} was not found, and these sources of hooks cannot be "
                f"asked now: {', '.join(broken)}"
            )
        known = [hook.name for hook in await self.hooks(request.tenant_id)]
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise NotFound(f"unknown hook {request.hook!r}; {there_are}")

    async def _all(self, name: str, tenant_id: str) -> _Answer:
        return await self._answer(name, self._sources[name].hooks(tenant_id))

    async def _named(self, name: str, tenant_id: str, names: Collection[str]) -> _Answer:
        source = self._sources[name]
        if isinstance(source, FindingHookSource):
            return await self._answer(name, _found(source, tenant_id, names))
        answer = await self._all(name, tenant_id)
        return answer._replace(hooks=[hook for hook in answer.hooks if hook.name in names])

    async def _answer(self, name: str, asking: Coroutine[Any, Any, Sequence[HookInfo]]) -> _Answer:
        if reason := self._closed.get(name):
            asking.close()
            return _Answer(name, error=reason)
        # a source is a plugin's code: whatever it raises is its own listing's business
        [outcome] = await asyncio.gather(
            asyncio.wait_for(asking, self._timeout), return_exceptions=True
        )
        if isinstance(outcome, BaseException):
            logger.warning("hook source %r cannot list its hooks: %s", name, outcome)
            return _Answer(name, error=self._reason(outcome))
        return _Answer(name, outcome)

    def _rows(self, answer: _Answer) -> Iterator[HookInfo]:
        if answer.error:
            yield HookInfo(name=answer.source, type=answer.source, error=answer.error)
        yield from answer.hooks

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        return str(error) if isinstance(error, RuntimeCoreError) else "failed unexpectedly"


class _Answer(NamedTuple):
    """The hooks a source has, or why it cannot tell."""

    source: str
    hooks: Sequence[HookInfo] = ()
    error: str = ""


async def _found(
    source: FindingHookSource, tenant_id: str, names: Collection[str]
) -> Sequence[HookInfo]:
    if len(names) == 1:
        [name] = names
        found = [await source.hook(tenant_id, name)]
    else:
        found = await asyncio.gather(*(source.hook(tenant_id, name) for name in names))
    return [hook for hook in found if hook is not None]
