"""Task chains on the wire: reading what clients send, and writing what they get back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.errors import Unprocessable
from runtime_core.types import (
    Branch,
    Chain,
    Compose,
    ExecuteConfig,
    HookCall,
    Task,
    Transition,
)
from runtime_core.types.validation import validation_error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("decode_chain", "encode_chain")

#: Subtrees that belong to the user: nulls and floats in them mean what they say.
_FREE = frozenset({"args", "output_schema", "tool_choice", "response_format"})
#: What the parts of a chain have parts of their own in.
_PARTS: Mapping[type[msgspec.Struct], Mapping[str, type[msgspec.Struct]]] = {
    Chain: {"tasks": Task},
    Task: {"execute_config": ExecuteConfig, "hook": HookCall, "transition": Transition},
    Transition: {"branches": Branch},
    Branch: {"compose": Compose},
}
#: Tasks and branches of one chain, all together: nobody else is served while they are read.
_MOST = 10_000


def decode_chain(data: object) -> Chain:
    """Read a chain from decoded JSON or YAML.

    Unknown keys are ignored, null means the default, ``1.0`` is a whole number.

    :raises Unprocessable: a value has the wrong type; ``param`` is its path, for example
        ``tasks.2.transition.branches.0.goto``.  Or there are more than 10,000 tasks and branches.
    """
    try:
        return msgspec.convert(_Reader().part(data, Chain), Chain)
    except msgspec.ValidationError as error:
        raise validation_error(error) from error


class _Reader:
    """Takes out of a document what a chain has, whatever else is there and however much of it."""

    def __init__(self) -> None:
        self._left = _MOST

    def part(self, data: Any, struct: type[msgspec.Struct]) -> Any:
        """Return the fields of *struct*; leave what cannot be one to the decoder's error."""
        if isinstance(data, list):
            return self._list(data, struct)
        if not isinstance(data, dict):
            return data
        inner = _PARTS.get(struct, {})
        found = {
            name: self.part(value, inner[name]) if name in inner else _value(name, value)
            for name in struct.__struct_fields__
            if (value := data.get(name)) is not None
        }
        if struct is Task and isinstance(former := data.get("systemInstruction"), str):
            found.setdefault("system_instruction", former)
        return found

    def _list(self, data: list[Any], struct: type[msgspec.Struct]) -> list[Any]:
        self._left -= len(data)
        if self._left < 0:
            raise Unprocessable(
                f"tasks: a chain has at most {_MOST} tasks and branches, all together; split it",
                param="tasks",
            )
        return [self.part(item, struct) for item in data]


def _value(name: str, value: Any) -> Any:
    if name in _FREE:
        return value
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if one is not None}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def encode_chain(chain: Chain) -> dict[str, Any]:
    """Write a chain as clients see it: documented keys always, all others only when set."""
    encoded: dict[str, Any] = {
        "id": chain.id,
        "debug": chain.debug,
        "description": chain.description,
        "tasks": [_encode_task(task) for task in chain.tasks],
        "token_limit": chain.token_limit,
    }
    if chain.max_steps:
        encoded["max_steps"] = chain.max_steps
    return encoded


def _encode_task(task: Task) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "id": task.id,
        "description": task.description,
        "handler": task.handler,
        **_set(task, "system_instruction", "valid_conditions"),
    }
    if task.execute_config is not None:
        encoded["execute_config"] = _encode_config(task.execute_config)
    if task.hook is not None:
        encoded["hook"] = _encode_hook(task.hook)
    encoded |= _set(task, "print")
    encoded["prompt_template"] = task.prompt_template
    encoded |= _set(task, "output_template", "output_schema", "input_var")
    encoded["transition"] = _encode_transition(task.transition)
    return encoded | _set(task, "timeout", "retry_on_failure")


def _encode_config(config: ExecuteConfig) -> dict[str, Any]:
    sampling = ("temperature", "top_p", "max_tokens", "seed", "tool_choice", "response_format")
    return {
        "model": config.model,
        **_set(config, "models", "provider", "providers"),
        **{name: value for name in sampling if (value := getattr(config, name)) is not None},
        **_set(config, "stop", "hooks", "hide_tools", "tool_timeout"),
        "pass_clients_tools": config.pass_clients_tools,
    }


def _encode_hook(hook: HookCall) -> dict[str, Any]:
    return {"name": hook.name, **_set(hook, "tool_name", "args")}


def _encode_transition(transition: Transition) -> dict[str, Any]:
    branches = transition.branches
    return {
        "on_failure": transition.on_failure,
        "branches": None if branches is None else [_encode_branch(branch) for branch in branches],
    }


def _encode_branch(branch: Branch) -> dict[str, Any]:
    encoded = {**_set(branch, "operator"), "when": branch.when, "goto": branch.goto}
    if branch.compose is not None:
        compose = branch.compose
        encoded["compose"] = {"with_var": compose.with_var, "strategy": compose.strategy}
    return encoded


def _set(struct: msgspec.Struct, *names: str) -> dict[str, Any]:
    values = {name: getattr(struct, name) for name in names}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value
    }
