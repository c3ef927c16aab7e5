"""Task chains: the state machines that users write (snake_case on the wire and here)."""

from __future__ import annotations

from typing import Any, Literal, get_args

from msgspec import Struct, field

__all__ = (
    "DATA_TYPES",
    "Branch",
    "Chain",
    "Compose",
    "DataType",
    "ExecuteConfig",
    "HookCall",
    "Task",
    "Transition",
    "Value",
)

DataType = Literal[
    "any",
    "string",
    "bool",
    "int",
    "float",
    "vector",
    "search_results",
    "json",
    "chat_history",
    "openai_chat",
    "openai_chat_response",
    "nil",
]
DATA_TYPES: frozenset[str] = frozenset(get_args(DataType))


class Value(Struct, frozen=True):
    """What passes from task to task, with its declared type.

    ``data`` is plain JSON data, except for three types: it is a `ChatHistory` for
    ``chat_history``, a `ChatRequest` for ``openai_chat`` and a `ChatCompletion` for
    ``openai_chat_response``.
    """

    data: Any
    type: DataType


class ExecuteConfig(Struct, frozen=True, kw_only=True):
    """Which model a task asks, and how."""

    model: str = ""
    models: tuple[str, ...] = ()
    provider: str = ""
    providers: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    hooks: tuple[str, ...] = ()
    hide_tools: tuple[str, ...] = ()
    tool_timeout: str = ""
    pass_clients_tools: bool = False


class HookCall(Struct, frozen=True, kw_only=True):
    """A direct call of a hook's tool."""

    name: str = ""
    tool_name: str = ""
    args: dict[str, Any] = field(default_factory=dict)


class Compose(Struct, frozen=True, kw_only=True):
    """How a branch joins a task's output with a variable."""

    with_var: str = ""
    strategy: str = ""


class Branch(Struct, frozen=True, kw_only=True):
    """Where to go when a task's transition value matches."""

    operator: str = ""
    when: str = ""
    goto: str = ""
    compose: Compose | None = None


class Transition(Struct, frozen=True, kw_only=True):
    """What happens after a task; ``branches`` is None when the client did not send it."""

    on_failure: str = ""
    branches: tuple[Branch, ...] | None = None


class Task(Struct, frozen=True, kw_only=True):
    """One state of the machine; durations are Go's (``300ms``, ``1m30s``)."""

    id: str = ""
    description: str = ""
    handler: str = ""
    system_instruction: str = ""
    valid_conditions: dict[str, bool] = field(default_factory=dict)
    execute_config: ExecuteConfig | None = None
    hook: HookCall | None = None
    print: str = ""
    prompt_template: str = ""
    output_template: str = ""
    output_schema: dict[str, Any] | None = None
    input_var: str = ""
    transition: Transition = field(default_factory=Transition)
    timeout: str = ""
    retry_on_failure: int = 0


class Chain(Struct, frozen=True, kw_only=True):
    """A state machine; its first task is the entry. ``token_limit`` <= 0 means no limit."""

    id: str = ""
    debug: bool = False
    description: str = ""
    tasks: tuple[Task, ...] = ()
    token_limit: int = 0
    max_steps: int = 0
