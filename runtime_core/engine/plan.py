"""Chains made ready to run: everything that does not depend on a run, done once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime_core.engine.durations import parse_duration
from runtime_core.engine.graph import find_mismatches, find_problems, template_fields
from runtime_core.engine.macros import prepare_macros
from runtime_core.engine.streaming import Streaming
from runtime_core.engine.templates import Template
from runtime_core.engine.transitions import prepare_transition
from runtime_core.errors import InvalidChain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.engine.macros import ChainMacros
    from runtime_core.engine.transitions import PreparedTransition
    from runtime_core.protocols import TaskHandler
    from runtime_core.types import Chain, DataType, Task

__all__ = ("Plan", "Plans", "PreparedTask")

#: Bytes of encoded chains that are kept prepared, together and each.
_KEPT = 4 * 2**20
_LARGEST_KEPT = 2**20
#: Tasks that are prepared in a moment.
_SMALL = 100


class PreparedTask(NamedTuple):
    """A task with its handler found, templates compiled and durations parsed.

    ``timeout`` is in seconds; ``final`` says that its answer can only be the run's, ``executing``
    that the chain executes the tools it calls.
    """

    task: Task
    handler: TaskHandler
    prompt: Template | None
    print: Template | None
    timeout: float | None
    attempts: int
    transition: PreparedTransition
    final: bool
    executing: bool


class Plan:
    """One chain, ready to run.

    :param input_type: what it is run with first.
    :raises InvalidChain: the chain has problems, with every one of them.
    """

    def __init__(
        self, chain: Chain, handlers: Mapping[str, TaskHandler], input_type: DataType
    ) -> None:
        self.chain = chain
        self._handlers = handlers
        self._templates: dict[str, Template] = {}
        self._refuse(find_problems(chain, handlers, self.template, input_type=input_type))
        self._checked: set[DataType] = {input_type}
        self.macros: ChainMacros = prepare_macros(chain)
        self._streaming = Streaming(chain)
        self.tasks = {task.id: self._prepare(task) for task in chain.tasks}
        self.entry = self.tasks[chain.tasks[0].id]
        self._known = {source for task in chain.tasks for _, source in template_fields(task)}

    def check_input(self, input_type: DataType) -> None:
        """Follow *input_type* through the chain.

        :raises InvalidChain: some task would be handed what it does not take.
        """
        if input_type not in self._checked:
            self._refuse(list(find_mismatches(self.chain, self._handlers, input_type)))
            self._checked.add(input_type)

    def template(self, source: str) -> Template:
        """Compile *source*, which is part of the chain; the second time it is at hand."""
        template = self._templates.get(source)
        if template is None:
            template = self._templates[source] = Template.compile(source)
        return template

    def adhoc(self, source: str) -> Template:
        """Compile *source*, kept only if it is part of the chain."""
        return self.template(source) if source in self._known else Template.compile(source)

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            name = f"chain {self.chain.id!r}" if self.chain.id else "the chain"
            count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
            raise InvalidChain(f"{name} cannot run, it has {count}:", problems=problems)

    def _prepare(self, task: Task) -> PreparedTask:
        return PreparedTask(
            task=task,
            handler=self._handlers[task.handler],
            prompt=self.template(task.prompt_template) if task.prompt_template else None,
            print=self.template(task.print) if task.print else None,
            timeout=parse_duration(task.timeout) if task.timeout else None,
            attempts=1 + max(0, task.retry_on_failure),
            transition=prepare_transition(task.transition),
            final=task.id in self._streaming.final,
            executing=task.id in self._streaming.executing,
        )


class Plans:
    """Plans of the chains run lately, found again by their content.

    A chain object that is run again, as from a cache, is recognised without looking at it.
    """

    def __init__(self, handlers: Mapping[str, TaskHandler]) -> None:
        self._handlers = handlers
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._by_identity: dict[int, _Kept] = {}
        self._size = 0

    async def get(self, chain: Chain, input_type: DataType) -> Plan:
        """Return the plan of *chain*; a large one is made beside the event loop.

        :raises InvalidChain: the chain has problems, or some with an input of *input_type*.
        """
        kept = self._by_identity.get(id(chain))
        if kept is None:
            encoded = msgspec.json.encode(chain)
            key = hashlib.blake2b(encoded, digest_size=32).digest()
            kept = self._kept.get(key)
            if kept is None:
                plan = await self._made(chain, input_type)
                self._keep(plan, chain, key, len(encoded))
                return plan
            self._remember(kept, chain)
        self._kept.move_to_end(kept.key)
        kept.plan.check_input(input_type)
        return kept.plan

    async def _made(self, chain: Chain, input_type: DataType) -> Plan:
        if len(chain.tasks) <= _SMALL:
            return Plan(chain, self._handlers, input_type)
        return await asyncio.to_thread(Plan, chain, self._handlers, input_type)

    def _keep(self, plan: Plan, chain: Chain, key: bytes, size: int) -> None:
        if size > _LARGEST_KEPT or key in self._kept:
            return
        kept = self._kept[key] = _Kept(plan, key, size)
        self._remember(kept, chain)
        self._size += size
        while self._size > _KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._by_identity.pop(id(oldest.chain), None)
            self._size -= oldest.size

    def _remember(self, kept: _Kept, chain: Chain) -> None:
        """Recognise *chain*, the latest object of its content; holding it keeps its id its own."""
        self._by_identity.pop(id(kept.chain), None)
        kept.chain = chain
        self._by_identity[id(chain)] = kept


class _Kept:
    __slots__ = ("chain", "key", "plan", "size")

    def __init__(self, plan: Plan, key: bytes, size: int) -> None:
        self.plan = plan
        self.chain = plan.chain
        self.key = key
        self.size = size
