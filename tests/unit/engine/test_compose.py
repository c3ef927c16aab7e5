"""Compose: joining an output with a variable."""

from __future__ import annotations

import pytest

from runtime_core.engine.compose import compose, composed_name
from runtime_core.errors import TaskFailed
from runtime_core.types import ChatHistory, Message, Value

USER = Message(role="user", content="q")
ANSWER = Message(role="assistant", content="a")
EARLY = Value(ChatHistory((USER,), "m", 3, 1, "length"), "chat_history")
LATE = Value(ChatHistory((ANSWER,), "m", 5, 2, "stop"), "chat_history")
OTHER = Value(ChatHistory((ANSWER,), "n"), "chat_history")
TEXT = Value("note", "string")
LEFT = Value({"a": 1, "b": 1}, "json")
RIGHT = Value({"b": 2, "c": 2}, "json")


@pytest.mark.parametrize(
    ("current", "other", "strategy", "expected"),
    [
        (LEFT, RIGHT, "override", Value({"b": 1, "c": 2, "a": 1}, "json")),
        (LEFT, TEXT, "override", LEFT),
        (TEXT, RIGHT, "override", RIGHT),
        (TEXT, Value("x", "string"), "override", TEXT),
        (LEFT, RIGHT, "", Value({"b": 1, "c": 2, "a": 1}, "json")),
        (TEXT, RIGHT, "", RIGHT),
        (EARLY, LEFT, "", LEFT),
    ],
)
def test_override(current: Value, other: Value, strategy: str, expected: Value) -> None:
    assert compose(current, other, strategy) == expected


@pytest.mark.parametrize("strategy", ["append_string_to_chat_history", ""])
@pytest.mark.parametrize("sides", [(TEXT, EARLY), (EARLY, TEXT)])
def test_a_string_is_appended_as_the_assistants(sides: tuple[Value, Value], strategy: str) -> None:
    joined = compose(*sides, strategy)
    assert joined.type == "chat_history"
    assert joined.data.messages == (USER, Message(role="assistant", content="note"))
    assert (joined.data.model, joined.data.input_tokens) == ("m", 3)


@pytest.mark.parametrize("strategy", ["merge_chat_histories", ""])
def test_histories_are_merged_the_variables_first(strategy: str) -> None:
    merged = compose(LATE, EARLY, strategy).data
    assert merged == ChatHistory((USER, ANSWER), "m", 8, 3, "stop")
    assert compose(OTHER, EARLY, strategy).data.model == ""


@pytest.mark.parametrize(
    ("current", "other", "strategy", "part"),
    [
        (TEXT, TEXT, "append_string_to_chat_history", "here are string and string"),
        (EARLY, LEFT, "append_string_to_chat_history", "here are chat_history and json"),
        (EARLY, TEXT, "merge_chat_histories", "here are chat_history and string"),
        (TEXT, TEXT, "json_path:a", "unknown compose strategy 'json_path:a': use one of append"),
    ],
)
def test_a_strategy_that_does_not_fit(
    current: Value, other: Value, strategy: str, part: str
) -> None:
    with pytest.raises(TaskFailed) as failure:
        compose(current, other, strategy)
    assert part in failure.value.message


def test_inputs_are_left_as_they_were() -> None:
    left, right = dict(LEFT.data), dict(RIGHT.data)
    compose(LEFT, RIGHT, "override")
    assert (LEFT.data, RIGHT.data) == (left, right)


def test_the_name_of_the_composed_variable() -> None:
    assert composed_name("task", "Yes - No way") == "task_yes___no_way_composed"
