from __future__ import annotations

from typing import Any

import pytest

from runtime_core.engine.tokens import Counter, estimate_messages
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


class Letters:
    """A tokenizer with a token for each letter; remembers how many texts it was asked about."""

    def __init__(self) -> None:
        self.asked = 0

    def count(self, text: str, model: str) -> int:
        self.asked += 1
        return len(text)


async def kept(
    messages: list[Message], limit: int | None, answer: int | None = None
) -> tuple[Message, ...]:
    return await trimmed(messages, limit, answer, tokens=Counter())


async def test_without_a_limit_everything_stays() -> None:
    assert len(await kept(talk(50), None)) == 101


async def test_what_fits_stays_and_begins_with_a_user() -> None:
    newest = await kept(talk(50), 100)
    assert estimate_messages(newest) <= 75
    assert newest[0].role == "user"
    assert newest == tuple(talk(50)[-len(newest) :])
    assert len(newest) == 7


async def test_the_answers_length_is_set_aside() -> None:
    assert len(await kept(talk(50), 100, 0)) == 9
    assert len(await kept(talk(50), 100, 60)) == 3


@pytest.mark.parametrize("limit", [0, 1, 5, 10])
async def test_the_last_message_always_stays(limit: int) -> None:
    assert await kept(talk(3), limit) == (talk(3)[-1],)


async def test_a_short_conversation_is_untouched() -> None:
    assert await kept(talk(2), 10_000) == tuple(talk(2))


@pytest.mark.parametrize("size", [40, 4000])
async def test_the_tokenizer_decides_what_fits(size: int) -> None:
    newest = await trimmed(talk(50, size), 3 * size, 0, tokens=Counter(Letters()))
    assert newest == tuple(talk(50, size)[-3:])


async def test_what_fits_whatever_its_tokens_is_not_counted() -> None:
    letters = Letters()
    assert len(await trimmed(talk(2), 5 * 40, 0, tokens=Counter(letters))) == 5
    assert letters.asked == 0
    assert len(await trimmed(talk(2), 5 * 40 - 1, 0, tokens=Counter(letters))) == 3
    assert letters.asked > 0


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
