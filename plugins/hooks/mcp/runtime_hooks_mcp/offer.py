"""What is offered at ``/mcp``: stored chains and, where wanted, the tools of hooks."""

from __future__ import annotations

import uuid
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime_core.errors import NotFound, RuntimeCoreError, TaskFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    Message,
    RunFinished,
    RunRequest,
    StepStarted,
    Tool,
    ToolRequest,
    Value,
    text_of,
)
from runtime_core.types.interchange import chat_request_to_wire
from runtime_hooks_mcp.names import fits, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from runtime_core.protocols import Services
    from runtime_core.types import Chain, DataType, HookInfo
    from runtime_hooks_mcp.settings import MCPSettings

    #: Told the number of steps begun, and the name of the last one.
    Progress = Callable[[int, str], Awaitable[None]]

__all__ = ("Offer", "Offered", "Page")

_PAGE = 100
_INPUTS: tuple[DataType, ...] = ("string", "json", "chat_history")


class Page(NamedTuple):
    """Some of the tools; ``cursor`` is where the next ones are, None when these are the last."""

    tools: list[Tool]
    cursor: str | None = None


class Offered(NamedTuple):
    """A chain, or the tool of a hook, that a name stands for."""

    chain: Chain | None = None
    hook: str = ""
    tool: str = ""


class Offer:
    """The chains and tools of a tenant, by names that any MCP client takes.

    A chain is named as its id, a tool ``<hook>__<tool>``; what does not fit 64 characters of
    ``A-Z a-z 0-9 _ -`` gets a name made from it, always the same.  A chain wins over a tool of
    the same name.
    """

    def __init__(self, settings: MCPSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    async def tools(self, tenant_id: str, cursor: str | None = None) -> Page:
        """List a page: the chains, newest first, and after the last of them the hooks' tools.

        :raises Unprocessable: the cursor is none of ours.
        """
        found, following = await self._chains(tenant_id, cursor)
        tools = [_chain_tool(chain, self._inputs(chain)) for chain in found]
        if following is None and self._settings.offer_hooks:
            names = {tool.name for tool in tools}
            if cursor is not None:
                names |= {name_of(chain.id) async for chain in self._all(tenant_id)}
            hooks = await self._services.toolbox.hooks(tenant_id)
            tools += [tool for tool in self._hook_tools(hooks) if tool.name not in names]
        return Page(tools, following)

    async def find(self, tenant_id: str, name: str) -> Offered | None:
        """Return what *name* stands for, or None."""
        if not fits(name):
            return None
        chain = await self._chain(tenant_id, name)
        if chain is not None:
            return Offered(chain)
        return await self._tool(tenant_id, name) if self._settings.offer_hooks else None

    async def call(
        self, tenant_id: str, offered: Offered, arguments: dict[str, Any], progress: Progress
    ) -> Value:
        """Run the chain, or call the tool.

        :raises RuntimeCoreError: that failed.
        """
        if offered.chain is not None:
            return await self._run(tenant_id, offered.chain, arguments, progress)
        request = ToolRequest(
            hook=offered.hook,
            tool=offered.tool,
            arguments=arguments,
            caller="model",
            tenant_id=tenant_id,
        )
        return _shown(await self._services.toolbox.call(request))

    # -- chains ----------------------------------------------------------------

    async def _chains(
        self, tenant_id: str, cursor: str | None
    ) -> tuple[Sequence[Chain], str | None]:
        if not self._settings.offer_chains:
            return (), None
        if self._settings.chains:
            named = [await self._get(tenant_id, id) for id in self._settings.chains]
            return [chain for chain in named if chain is not None], None
        page = await self._services.chains.list(tenant_id, limit=_PAGE, cursor=cursor)
        return [stored.chain for stored in page.items], page.next_cursor

    async def _chain(self, tenant_id: str, name: str) -> Chain | None:
        """Find a chain by its tool's name: most often that is its id."""
        if not self._settings.offer_chains:
            return None
        allowed = self._settings.chains
        if not allowed or name in allowed:
            chain = await self._get(tenant_id, name)
            if chain is not None:
                return chain
        if _is_made(name):
            async for chain in self._all(tenant_id):
                if name_of(chain.id) == name:
                    return chain
        return None

    async def _all(self, tenant_id: str) -> AsyncIterator[Chain]:
        cursor: str | None = None
        while True:
            chains, cursor = await self._chains(tenant_id, cursor)
            for chain in chains:
                yield chain
            if cursor is None:
                return

    async def _get(self, tenant_id: str, chain_id: str) -> Chain | None:
        try:
            return (await self._services.chains.get(tenant_id, chain_id)).chain
        except NotFound:
            return None

    def _inputs(self, chain: Chain) -> list[DataType]:
        """Return the types of input the chain can start with."""
        check = self._services.runner.check
        return [kind for kind in _INPUTS if not check(chain, kind)]

    async def _run(
        self, tenant_id: str, chain: Chain, arguments: dict[str, Any], progress: Progress
    ) -> Value:
        if "input" not in arguments:
            raise TaskFailed("the argument 'input' is missing: it is what the chain works on")
        request = RunRequest(
            chain=chain,
            input=_input(arguments["input"], self._inputs(chain)),
            run_id=str(uuid.uuid4()),
            tenant_id=tenant_id,
        )
        steps = 0
        async with aclosing(self._services.runner.run(request)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, StepStarted):
                    steps += 1
                    await progress(steps, event.task_id)
                elif isinstance(event, RunFinished):
                    return _shown(Value(event.output, event.output_type))
        raise RuntimeCoreError("the run ended without a result")

    # -- hooks -----------------------------------------------------------------

    def _hook_tools(self, hooks: Sequence[HookInfo]) -> list[Tool]:
        return [
            Tool(_tool_name(hook.name, tool.name), tool.description, tool.parameters)
            for hook in hooks
            if self._is_offered(hook)
            for tool in hook.tools
        ]

    async def _tool(self, tenant_id: str, name: str) -> Offered | None:
        """Find a tool: first among the hooks whose names *name* may begin with."""
        parts = name.split("__")
        begins = ["__".join(parts[:n]) for n in range(1, len(parts))]
        if begins and (found := await self._tool_of(tenant_id, name, begins)):
            return found
        return await self._tool_of(tenant_id, name, None) if _is_made(name) else None

    async def _tool_of(
        self, tenant_id: str, name: str, hooks: Sequence[str] | None
    ) -> Offered | None:
        for hook in await self._services.toolbox.hooks(tenant_id, hooks):
            for tool in hook.tools if self._is_offered(hook) else ():
                if _tool_name(hook.name, tool.name) == name:
                    return Offered(hook=hook.name, tool=tool.name)
        return None

    def _is_offered(self, hook: HookInfo) -> bool:
        return hook.type != "mcp" or self._settings.offer_mcp


def _chain_tool(chain: Chain, inputs: Sequence[DataType]) -> Tool:
    text = {"type": "string", "description": "The text the chain works on."}
    data = {"type": "object", "description": "The data the chain works on."}
    kinds = [text] if {"string", "chat_history"} & set(inputs) else []
    kinds += [data] if "json" in inputs else []
    schema: dict[str, Any] = {"description": "What the chain works on."}
    if kinds:
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return Tool(
        name_of(chain.id),
        chain.description or f"Runs the chain {chain.id}.",
        {"type": "object", "properties": {"input": schema}, "required": ["input"]},
    )


def _input(data: Any, inputs: Sequence[DataType]) -> Value:
    """Return what the chain starts with: a text may become a user's message."""
    if not isinstance(data, str):
        return Value(data, "json")
    if "string" not in inputs and "chat_history" in inputs:
        return Value(ChatHistory((Message(role="user", content=data),)), "chat_history")
    return Value(data, "string")


def _shown(value: Value) -> Value:
    """Return a value as plain text or JSON data; of a conversation, its last message's text."""
    data = value.data
    if isinstance(data, ChatHistory):
        return Value(text_of(data.messages[-1]) if data.messages else "", "string")
    if isinstance(data, ChatCompletion):
        return Value(text_of(data.message) if data.message else "", "string")
    if value.type == "openai_chat":
        return Value(chat_request_to_wire(data), "json")
    return value


def _tool_name(hook: str, tool: str) -> str:
    return name_of(f"{hook}__{tool}")


def _is_made(name: str) -> bool:
    """Tell whether a name may have been made from one that does not fit."""
    digest = name.rpartition("_")[2]
    return len(digest) == 10 and set(digest) <= set("0123456789abcdef")
