"""All hook sources as one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from runtime_core.engine.lookup import Late, Question, look_up
from runtime_core.engine.opening import Opened
from runtime_core.errors import NotFound, RuntimeCoreError, UpstreamUnavailable
from runtime_core.protocols import FindingHookSource, RunningHookSource
from runtime_core.types import HookInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from runtime_core.protocols import HookSource, Services
    from runtime_core.types import ToolRequest, Value

__all__ = ("SourceToolbox",)

logger = logging.getLogger(__name__)


class SourceToolbox:
    """Hooks of several sources; a hook of an earlier source shadows its namesakes in later ones.

    A source that cannot tell what it has is passed over: the others' hooks can be used.

    :param timeout: how long, in seconds, one source may take to open, or to say what it has.
    :param patience: how long it may take where another source has what is looked for; and
        where it was late less than *timeout* ago.
    """

    def __init__(
        self, sources: Mapping[str, HookSource], *, timeout: float = 10.0, patience: float = 0.5
    ) -> None:
        self._sources = dict(sources)
        self._timeout = timeout
        self._patience = min(patience, timeout)
        self._closed: dict[str, str] = {}
        self._slow_until: dict[str, float] = {}

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
            name: Opened(partial(source.running, services), seconds=self._timeout)
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
        rows: dict[str, HookInfo] = {}
        for name, answer in (await self._ask(tenant_id, names)).items():
            if isinstance(answer, str):
                rows.setdefault(name, HookInfo(name=name, type=name, error=answer))
                continue
            for row in answer:
                rows.setdefault(row.name, row)
        return tuple(rows.values())

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the first source that has the hook.

        :raises NotFound: no source has the hook, or the hook has no such tool.
        :raises UpstreamUnavailable: a source that may have the hook cannot tell.
        """
        broken: list[str] = []
        for name, answer in (await self._ask(request.tenant_id, (request.hook,))).items():
            if isinstance(answer, str):
                broken.append(f"{name} ({answer})")
            elif answer:
                return await self._sources[name].call(request)
        if broken:
            raise UpstreamUnavailable(
                f"hook {request.hook!r} was not found, and these sources of hooks cannot be "
                f"asked now: {', '.join(broken)}"
            )
        known = [hook.name for hook in await self.hooks(request.tenant_id)]
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise NotFound(f"unknown hook {request.hook!r}; {there_are}")

    async def _ask(
        self, tenant_id: str, names: Collection[str] | None
    ) -> dict[str, Sequence[HookInfo] | str]:
        """Return what each source has of *names*, or a text that says why it cannot tell."""
        now = asyncio.get_running_loop().time()
        questions = {
            name: Question(
                partial(_hooks, name, source, tenant_id, names), self._seconds(name, now)
            )
            for name, source in self._sources.items()
            if name not in self._closed
        }
        answers = await look_up(questions, names, patience=self._patience)
        told: dict[str, Sequence[HookInfo] | str] = {}
        for name in self._sources:
            answer = answers.get(name)
            if answer is None:
                told[name] = self._closed[name]
            elif isinstance(answer, BaseException):
                told[name] = self._failed(name, answer)
            else:
                told[name] = answer
        return told

    def _seconds(self, name: str, now: float) -> float:
        return self._patience if self._slow_until.get(name, 0.0) > now else self._timeout

    def _failed(self, name: str, error: BaseException) -> str:
        """Log why a source cannot tell; one that was late gets less time for a while."""
        logger.warning("hook source %r cannot list its hooks: %s", name, error)
        if isinstance(error, Late):
            now = asyncio.get_running_loop().time()
            if self._slow_until.get(name, 0.0) <= now:
                self._slow_until[name] = now + self._timeout
        return self._reason(error)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        return _reason(error)


async def _hooks(
    name: str, source: HookSource, tenant_id: str, names: Collection[str] | None
) -> Sequence[HookInfo]:
    """Ask one source; whatever a plugin's code returns or raises stays in the task that asks."""
    if names is None:
        return tuple(await source.hooks(tenant_id))
    if not isinstance(source, FindingHookSource):
        return tuple([hook for hook in await source.hooks(tenant_id) if hook.name in names])
    asked = list(names)
    if len(asked) == 1:
        one = await source.hook(tenant_id, asked[0])
        return () if one is None else (one,)
    found = await asyncio.gather(
        *(source.hook(tenant_id, hook) for hook in asked), return_exceptions=True
    )
    errors = [answer for answer in found if isinstance(answer, BaseException)]
    if errors and len(errors) == len(asked):
        raise errors[0]
    return tuple(
        [
            HookInfo(name=hook, type=name, error=_reason(answer))
            if isinstance(answer, BaseException)
            else answer
            for hook, answer in zip(asked, found, strict=True)
            if answer is not None
        ]
    )


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, RuntimeCoreError | Late) else "failed unexpectedly"
