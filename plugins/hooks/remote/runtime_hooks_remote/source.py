"""The hook source: every registered service is one hook."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runtime_core.errors import NotFound, RuntimeCoreError, TaskFailed, UpstreamUnavailable
from runtime_core.types import HookInfo
from runtime_hooks_remote.calls import Caller, Deadline
from runtime_hooks_remote.documents import Documents
from runtime_hooks_remote.loading import Loader
from runtime_hooks_remote.results import result_of
from runtime_hooks_remote.revealing import Revealer
from runtime_hooks_remote.shaping import shaped
from runtime_hooks_remote.store import HookStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.protocols import Egress, Services
    from runtime_core.types import ToolRequest, Value
    from runtime_hooks_remote.hook import RemoteHook
    from runtime_hooks_remote.loading import Loaded
    from runtime_hooks_remote.settings import RemoteHooksSettings

__all__ = ("RemoteHooks", "Rooms")


class Rooms(NamedTuple):
    """What a running source is made of; its routes use it too."""

    store: HookStore
    documents: Documents
    loader: Loader
    caller: Caller
    egress: Egress
    revealer: Revealer


class RemoteHooks:
    """OpenAPI services that operators registered; each operation is a tool."""

    def __init__(self, settings: RemoteHooksSettings) -> None:
        self.settings = settings
        self._rooms: Rooms | None = None

    @property
    def rooms(self) -> Rooms:
        """What the source is made of.

        :raises UpstreamUnavailable: it is not running.
        """
        if self._rooms is None:
            raise UpstreamUnavailable("remote hooks are not running: see why in the server's log")
        return self._rooms

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Keep hooks and documents while the context is open."""
        loader = Loader(services.egress, self.settings)
        revealer = Revealer(services.secrets)
        rooms = Rooms(
            store=HookStore(services),
            documents=Documents(loader, revealer),
            loader=loader,
            caller=Caller(services.egress.operator, retries=self.settings.retries),
            egress=services.egress,
            revealer=revealer,
        )
        async with rooms.store.running(), rooms.documents.running():
            self._rooms = rooms
            try:
                yield
            finally:
                self._rooms = None

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hooks; one whose document cannot be had comes with the reason."""
        found = await self._list(tenant_id)
        return [each if isinstance(each, HookInfo) else each.info for each in found]

    async def loaded(self, tenant_id: str) -> Sequence[Loaded]:
        """Return the documents of the hooks that have one."""
        return [each for each in await self._list(tenant_id) if not isinstance(each, HookInfo)]

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        """Return a hook with its tools, or None."""
        rooms = self.rooms
        try:
            hook = await rooms.store.find(tenant_id, name)
            if hook is None:
                return None
            loaded = rooms.documents.get_nowait(tenant_id, hook)
            return (loaded or await rooms.documents.get(tenant_id, hook)).info
        except RuntimeCoreError as error:
            return _broken(name, error.message)

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool; without a tool's name the hook's only one.

        :raises NotFound: there is no such hook, or it has no such tool.
        :raises TaskFailed: an argument is wrong or names a secret, or the service does not
            want it so.
        :raises UpstreamError: the service cannot be reached, or broke.
        :raises TimedOut: it took longer than the hook allows.
        """
        rooms = self.rooms
        hook = await rooms.store.find(request.tenant_id, request.hook)
        if hook is None:
            raise NotFound(f"unknown remote hook {request.hook!r}; see GET /hooks/remote")
        _refuse_secrets(request)
        deadline = Deadline(hook.timeout, f"hook {hook.name!r}")
        loaded = rooms.documents.get_nowait(request.tenant_id, hook)
        if loaded is None:
            loaded = await deadline.wait(rooms.documents.get(request.tenant_id, hook))
        name = _tool_name(request, loaded)
        injection, mask = await rooms.revealer.reveal(request.tenant_id, hook)
        prepared = loaded.prepared(name)
        if prepared is None:
            raise _no_tool(hook, name, loaded)
        outgoing = prepared.build(request.arguments, injection, task_input=_input(request))
        tool = f"{hook.name}.{name}"
        answer = await rooms.caller.call(
            outgoing,
            deadline,
            mask,
            max_bytes=hook.options.max_response_bytes or self.settings.max_response,
            tool=tool,
        )
        result = result_of(answer, mask, tool=tool)
        if shape := hook.shape_of(name):
            return await shaped(result, shape, len(answer.body), tool=tool)
        return result

    async def _list(self, tenant_id: str) -> Sequence[Loaded | HookInfo]:
        rooms = self.rooms
        hooks, unreadable = await rooms.store.all(tenant_id)
        found = await rooms.documents.list(tenant_id, hooks, seconds=self.settings.list_timeout)
        return [*found, *(_broken(name, reason) for name, reason in unreadable.items())]


def _broken(name: str, reason: str) -> HookInfo:
    return HookInfo(name=name, type="remote", error=reason)


def _refuse_secrets(request: ToolRequest) -> None:
    """Refuse a call in whose arguments the chain names a secret: only the hook sends any."""
    if not request.secrets:
        return
    argument, names = next(iter(request.secrets.items()))
    named = ", ".join(f"{{{{secret:{name}}}}}" for name in names)
    raise TaskFailed(
        f"the argument {argument!r} names {named}, and arguments of remote hooks are sent without "
        f"secrets: put the credential into headers or properties of the hook {request.hook!r}"
    )


def _tool_name(request: ToolRequest, loaded: Loaded) -> str:
    name = request.tool.removeprefix(f"{request.hook}.")
    if not name and len(loaded.document.operations) == 1:
        [name] = loaded.document.operations
    return name


def _no_tool(hook: RemoteHook, name: str, loaded: Loaded) -> NotFound:
    known = ", ".join(list(loaded.document.operations)[:50]) or "none"
    return NotFound(f"hook {hook.name!r} has no tool {name!r}; there are: {known}")


def _input(request: ToolRequest) -> Any:
    """Return a task's input as plain data."""
    return None if request.input is None else msgspec.to_builtins(request.input.data)
