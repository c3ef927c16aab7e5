"""Joining a task's output with a variable, as a branch's ``compose`` asks."""

from __future__ import annotations

from msgspec.structs import replace

from runtime_core.errors import TaskFailed
from runtime_core.types import ChatHistory, Message, Value

__all__ = ("STRATEGIES", "compose", "composed_name")

#: What ``compose.strategy`` may say; "" chooses by the types of the two values.
STRATEGIES = frozenset({"", "override", "append_string_to_chat_history", "merge_chat_histories"})


def composed_name(task_id: str, when: str) -> str:
    """Return the name of the variable that a composed value is also stored under."""
    return f"{task_id}_{when.lower().replace(' ', '_').replace('-', '_')}_composed"


def compose(current: Value, other: Value, strategy: str) -> Value:
    """Join a task's output with the value of ``compose.with_var``.

    :raises TaskFailed: the strategy is unknown or does not fit the two types.
    """
    if strategy == "":
        return _by_types(current, other)
    if strategy == "override":
        return _override(current, other)
    if strategy == "append_string_to_chat_history":
        return _append(current, other)
    if strategy == "merge_chat_histories":
        return _merge(current, other)
    known = ", ".join(sorted(STRATEGIES - {""}))
    raise TaskFailed(f"unknown compose strategy {strategy!r}: use one of {known}")


def _by_types(current: Value, other: Value) -> Value:
    histories = sum(isinstance(side.data, ChatHistory) for side in (current, other))
    texts = sum(isinstance(side.data, str) for side in (current, other))
    if histories == 2:
        return _merge(current, other)
    if histories == 1 and texts == 1:
        return _append(current, other)
    return _override(current, other)


def _override(current: Value, other: Value) -> Value:
    if not isinstance(other.data, dict):
        return current
    if not isinstance(current.data, dict):
        return other
    return Value({**other.data, **current.data}, "json")


def _append(current: Value, other: Value) -> Value:
    history, text = (current.data, other.data)
    if isinstance(history, str):
        history, text = text, history
    if not isinstance(history, ChatHistory) or not isinstance(text, str):
        raise TaskFailed(
            "compose strategy append_string_to_chat_history joins one string and one chat_history, "
            f"here are {current.type} and {other.type}"
        )
    message = Message(role="assistant", content=text)
    return Value(replace(history, messages=(*history.messages, message)), "chat_history")


def _merge(current: Value, other: Value) -> Value:
    late, early = current.data, other.data
    if not isinstance(late, ChatHistory) or not isinstance(early, ChatHistory):
        raise TaskFailed(
            "compose strategy merge_chat_histories joins two chat_history values, "
            f"here are {current.type} and {other.type}"
        )
    merged = ChatHistory(
        messages=early.messages + late.messages,
        model=late.model if late.model == early.model else "",
        input_tokens=early.input_tokens + late.input_tokens,
        output_tokens=early.output_tokens + late.output_tokens,
        finish_reason=late.finish_reason,
    )
    return Value(merged, "chat_history")
