from __future__ import annotations

from typing import Any

import pytest

from runtime_core.engine.tokens import estimate_messages
from runtime_core.http.conversation import context_length, reply_of, trimmed, usage_of
from runtime_core.types import (
    Chain,
    ChatCompletion,
    ChatHistory,
    ExecuteConfig,
    Message,
    ModelInfo,
    RunFinished,
    Task,
    Usage,
)


def talk(turns: int, size: int = 40) -> list[Message]:
    messages = []
    for turn in range(turns):
        messages.append(Message(role="user", content=f"u{turn}".ljust(size)))
        messages.append(Message(role="assistant", content=f"a{turn}".ljust(size)))
    return [*messages, Message(role="user", content="now".ljust(size))]


def test_without_a_limit_everything_stays() -> None:
    assert len(trimmed(talk(50), None)) == 101


def test_what_fits_stays_and_begins_with_a_user() -> None:
    kept = trimmed(talk(50), 100)
    assert estimate_messages(kept) <= 75
    assert kept[0].role == "user"
    assert kept == tuple(talk(50)[-len(kept) :])
    assert len(kept) == 7


def test_the_answers_length_is_set_aside() -> None:
    assert len(trimmed(talk(50), 100, 0)) == 9
    assert len(trimmed(talk(50), 100, 60)) == 3


@pytest.mark.parametrize("limit", [0, 1, 5, 10])
def test_the_last_message_always_stays(limit: int) -> None:
    assert trimmed(talk(3), limit) == (talk(3)[-1],)


def test_a_short_conversation_is_untouched() -> None:
    assert trimmed(talk(2), 10_000) == tuple(talk(2))


class Models:
    def __init__(self, **lengths: int) -> None:
        self.lengths = lengths

    def default_model(self, role: str) -> str:
        return "standard" if role == "chat" else "other"

    async def find(self, name: str) -> ModelInfo | None:
        length = self.lengths.get(name)
        return ModelInfo(name, length) if length else None


@pytest.mark.parametrize(
    ("config", "token_limit", "expected"),
    [
        (None, 0, (8000, None)),
        (ExecuteConfig(model="small"), 0, (2000, None)),
        (ExecuteConfig(models=("small", "standard"), max_tokens=50), 0, (2000, 50)),
        (ExecuteConfig(model="unknown"), 0, (None, None)),
        (ExecuteConfig(model="{{var:model}}"), 0, (None, None)),
        (ExecuteConfig(model="unknown"), 500, (500, None)),
        (None, 500, (500, None)),
        (None, 100_000, (8000, None)),
    ],
)
async def test_the_models_length_is_the_limit(
    config: ExecuteConfig | None, token_limit: int, expected: tuple[int | None, int | None]
) -> None:
    task = Task(id="a", handler="chat_completion", execute_config=config)
    chain = Chain(tasks=(Task(id="b", handler="noop"), task), token_limit=token_limit)
    models: Any = Models(standard=8000, small=2000)
    assert await context_length(chain, models) == expected


def test_the_reply_is_what_the_chain_ended_with() -> None:
    said = Message(role="assistant", content=[{"type": "text", "text": "parts"}])
    history = ChatHistory((Message(role="user", content="q"), said))
    completion = ChatCompletion("id", 0, "m", Message(role="assistant", content="whole"))
    for output, kind, text in (
        (history, "chat_history", "parts"),
        (ChatHistory(), "chat_history", ""),
        (completion, "openai_chat_response", "whole"),
        ("plain", "string", "plain"),
        ({"a": 1}, "json", '{"a":1}'),
    ):
        reply = reply_of(RunFinished(output, kind))  # type: ignore[arg-type]
        assert (reply.role, reply.content) == ("assistant", text)
        assert reply.id
        assert reply.timestamp.endswith("Z")


def test_usage_is_what_was_reported_else_what_was_counted() -> None:
    history = RunFinished(ChatHistory((), "m", 5, 6), "chat_history")
    completion = RunFinished(ChatCompletion("i", 0, "m", None, usage=Usage(1, 2)), "json")
    assert usage_of(history, Usage(3, 4)) == Usage(3, 4)
    assert usage_of(history, Usage()) == Usage(5, 6)
    assert usage_of(completion, Usage()) == Usage(1, 2)
    assert usage_of(RunFinished("x", "string"), Usage()) == Usage()
