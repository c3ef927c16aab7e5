"""Macros: ``{{var:NAME}}``, ``{{now:LAYOUT}}``, ``{{chain:id}}``, ``{{hookservice:…}}``.

In the arguments of hooks there is also ``{{secret:NAME}}``, which stays as it is: the hook that
sends it puts the secret there.

A macro is found when a chain is prepared, expanded once a run, and what it expands to is data:
in templated fields it is one more variable, never template text (see `Template`).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from runtime_core.engine.gotime import RFC3339, format_time
from runtime_core.engine.values import json_text
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runtime_core.protocols import Toolbox
    from runtime_core.types import Chain, ExecuteConfig, HookInfo, RunRequest, Task

    MacroValues = Mapping[str, str]

__all__ = ("MACRO", "ChainMacros", "Macro", "find_macro", "prepare_macros", "secrets_in")

#: The form of a macro: no space before the name, no ``}`` in the payload.
MACRO = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}\}")
_SECRET = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HOOKSERVICE = re.compile(r"list|hooks|tools(?:\s+(?P<hook>.*))?", re.DOTALL)


class Macro(NamedTuple):
    """A macro as it is used: its name and its trimmed payload."""

    name: str
    payload: str = ""

    def __str__(self) -> str:
        return f"{{{{{self.name}:{self.payload}}}}}" if self.payload else f"{{{{{self.name}}}}}"


def find_macro(name: str, payload: str | None) -> Macro | None:
    """Return the macro that ``{{name:payload}}`` is; None when it is none, and stays as it is."""
    trimmed = (payload or "").strip()
    if name in ("var", "now"):
        return Macro(name, trimmed)
    if name == "chain" and trimmed == "id":
        return Macro(name, trimmed)
    if name == "secret" and _SECRET.fullmatch(trimmed):
        return Macro(name, trimmed)
    if name == "hookservice" and _HOOKSERVICE.fullmatch(trimmed):
        return Macro(name, trimmed)
    return None


def prepare_macros(chain: Chain) -> ChainMacros:
    """Find every macro of *chain*, once; the result is false when there is none."""
    literal = {
        task.id: frozenset(_macros_of(_literal_texts(task)))
        for task in chain.tasks
        if any("{{" in text for text in _literal_texts(task))
    }
    literal = {task_id: macros for task_id, macros in literal.items() if macros}
    templated = (text for task in chain.tasks for text in _templated_texts(task))
    macros = frozenset(_macros_of(templated)).union(*literal.values())
    arguments = (text for task in chain.tasks for text in _arguments(task))
    # a secret that is named anywhere else has no value there, which is an error
    secrets = frozenset(macro for macro in _macros_of(arguments) if macro.name == "secret")
    others = frozenset(macro for macro in macros if macro.name != "secret")
    return ChainMacros(others | secrets, frozenset(literal))


def secrets_in(data: object) -> tuple[str, ...]:
    """Return the names of the secrets that a text, or the texts within *data*, name."""
    texts = [text for text in _strings(data) if "{{secret:" in text]
    found = _macros_of(texts) if texts else ()
    return tuple(dict.fromkeys(macro.payload for macro in found if macro.name == "secret"))


class ChainMacros(NamedTuple):
    """The macros of one chain, and the ids of the tasks that hold some outside of templates."""

    macros: frozenset[Macro]
    literal_tasks: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.macros)

    async def expand(
        self, request: RunRequest, toolbox: Toolbox, now: Callable[[], datetime] | None = None
    ) -> dict[str, str]:
        """Return what every macro, by its text, stands for in this run.

        :raises TemplateFailed: ``hookservice:tools`` names no hook, or one that cannot be listed.
        """
        hooks: Sequence[HookInfo] = ()
        if any(macro.name == "hookservice" for macro in self.macros):
            hooks = await toolbox.hooks(request.tenant_id)
        moment = now() if now is not None else datetime.now().astimezone()
        return {str(macro): _expand(macro, request, hooks, moment) for macro in self.macros}

    def apply(self, task: Task, values: MacroValues) -> Task:
        """Return *task* with the macros of its untemplated fields replaced.

        These are ``system_instruction``, ``execute_config.model`` and ``.provider``; templated
        fields stay as they are, and are rendered with ``macros=values``.
        """
        if task.id not in self.literal_tasks:
            return task
        config = task.execute_config
        return replace(
            task,
            system_instruction=_substitute(task.system_instruction, values),
            execute_config=None if config is None else _substitute_config(config, values),
        )


# -------------------------------------------------------------------------
# Finding
# -------------------------------------------------------------------------


def _literal_texts(task: Task) -> tuple[str, ...]:
    config = task.execute_config
    model, provider = (config.model, config.provider) if config else ("", "")
    return (task.system_instruction, model, provider)


def _templated_texts(task: Task) -> Iterator[str]:
    yield from (task.prompt_template, task.print, task.output_template)
    yield from _arguments(task)


def _arguments(task: Task) -> Iterator[str]:
    if task.hook is not None:
        yield from _strings(task.hook.args)


def _strings(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _strings(value)


def _macros_of(texts: Iterator[str] | Sequence[str]) -> Iterator[Macro]:
    for text in texts:
        for found in MACRO.finditer(text):
            macro = find_macro(found[1], found[2])
            if macro is not None:
                yield macro


# -------------------------------------------------------------------------
# Expanding
# -------------------------------------------------------------------------


def _expand(macro: Macro, request: RunRequest, hooks: Sequence[HookInfo], moment: datetime) -> str:
    if macro.name == "var":
        return request.template_vars.get(macro.payload, "")
    if macro.name == "now":
        return format_time(moment, macro.payload or RFC3339)
    if macro.name == "chain":
        return request.chain.id
    if macro.name == "secret":
        return str(macro)
    return _hookservice(macro, hooks)


def _hookservice(macro: Macro, hooks: Sequence[HookInfo]) -> str:
    if macro.payload == "hooks":
        return json_text([hook.name for hook in hooks])
    if macro.payload == "list":
        return json_text(
            {hook.name: [tool.name for tool in hook.tools] for hook in hooks if not hook.error}
        )
    return json_text(_tool_names(macro, hooks))


def _tool_names(macro: Macro, hooks: Sequence[HookInfo]) -> list[str]:
    wanted = macro.payload.removeprefix("tools").strip()
    known = ", ".join(hook.name for hook in hooks) or "none"
    if not wanted:
        raise TemplateFailed(f"the macro {macro} needs the name of a hook; there are: {known}")
    for hook in hooks:
        if hook.name == wanted:
            if hook.error:
                raise TemplateFailed(f"the macro {macro} cannot list the tools: {hook.error}")
            return [tool.name for tool in hook.tools]
    raise TemplateFailed(f"the macro {macro} names an unknown hook; there are: {known}")


def _substitute_config(config: ExecuteConfig, values: MacroValues) -> ExecuteConfig:
    return replace(
        config,
        model=_substitute(config.model, values),
        provider=_substitute(config.provider, values),
    )


def _substitute(text: str, values: MacroValues) -> str:
    def value(found: re.Match[str]) -> str:
        macro = find_macro(found[1], found[2])
        return found[0] if macro is None else values.get(str(macro), found[0])

    return MACRO.sub(value, text) if "{{" in text else text
