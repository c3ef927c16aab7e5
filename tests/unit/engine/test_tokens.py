"""Counting tokens: the estimate, tokenizers that load, fail or are slow, and tiktoken."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import subprocess
import sys
import threading

import pytest
import tiktoken

from runtime_core.engine.tiktoken import Tiktoken
from runtime_core.engine.tokens import Counter, Estimate, estimate, estimate_history
from runtime_core.errors import ContextLengthExceeded, StartupError
from runtime_core.types import (
    ChatChunk,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    ToolCall,
    Usage,
    Value,
)

#: An ordinary text of this many characters is counted as it is.
WHOLE = 32_768

USER = Message(role="user", content="x" * 40)
ANSWER = Message(role="assistant", content="y")
LATE = Message(role="tool", content="z" * 8)


class Words:
    """A tokenizer with a token for each word; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.threads: set[threading.Thread] = set()

    def count(self, text: str, model: str) -> int:
        self.asked.append((text, model))
        self.threads.add(threading.current_thread())
        return len(text.split())


class Loading(Words):
    """One that loads when it may, and then raises *error* if there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error
        self.may = threading.Event()
        self.given: list[object] = []
        self.thread: threading.Thread | None = None

    def load(self, environ, models) -> None:
        self.thread = threading.current_thread()
        self.given = [environ, models]
        self.may.wait(10)
        if self.error is not None:
            raise self.error


def small(name: str, *words: str) -> tiktoken.Encoding:
    """A real vocabulary: every byte, and the merges that build *words* from their left."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for word in words:
        for end in range(2, len(word) + 1):
            ranks.setdefault(word[:end].encode(), len(ranks))
    return tiktoken.Encoding(
        name,
        pat_str=r"\s?\S+|\s+",
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": len(ranks)},
    )


@pytest.fixture
def vocabularies(monkeypatch):
    """Put small vocabularies where the library keeps those it has loaded."""

    def put(**encodings: tiktoken.Encoding) -> None:
        monkeypatch.setattr("tiktoken.registry.ENCODINGS", dict(encodings))

    return put


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """No vocabulary in the cache, and a network that refuses."""
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path


def warnings_in(caplog) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


# -------------------------------------------------------------------------
# The estimate
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本語", 3), ("é", 1), ("\ud800", 1)],
)
def test_the_estimate(text, tokens):
    assert estimate(text) == tokens
    assert Counter().count(text) == tokens
    assert Counter(Estimate(), "estimate").count(text, "m") == tokens


@pytest.mark.parametrize(
    ("history", "tokens"),
    [
        (ChatHistory((USER,)), 10),
        (ChatHistory((USER,), input_tokens=3), 3),
        (ChatHistory((USER, ANSWER), "", 3, 4), 7),
        (ChatHistory((USER, ANSWER, LATE), "", 3, 4), 9),
    ],
)
async def test_counts_that_came_along_are_trusted_up_to_the_last_answer(history, tokens):
    assert estimate_history(history) == tokens
    assert await Counter().count_history(history) == tokens


async def test_the_tokenizer_counts_only_what_no_provider_has():
    words = Words()
    history = ChatHistory((USER, ANSWER, LATE), "", 3, 4)
    assert await Counter(words).count_history(history, "m") == 8
    assert words.asked == [("z" * 8, "m")]


# -------------------------------------------------------------------------
# Any tokenizer
# -------------------------------------------------------------------------


async def test_a_message_is_its_texts_and_its_tool_calls():
    parts = [{"type": "text", "text": "two words"}, {"type": "image_url", "image_url": {"url": ""}}]
    call = ToolCall("c", FunctionCall("get", '{"a": 1}'))
    words = Words()
    counter = Counter(words)
    assert counter.count_message(Message(role="user", content=parts)) == 2
    assert counter.count_message(Message(role="assistant", tool_calls=(call,))) == 3
    assert "" not in [text for text, _ in words.asked]


def test_a_long_text_is_counted_by_samples_of_all_of_it():
    words = Words()
    counter = Counter(words)
    assert counter.count("abc " * (WHOLE // 4)) == WHOLE // 4
    assert len(words.asked) == 1
    words.asked.clear()
    half = 4_000_000
    counted = counter.count("abc " * (half // 4) + "abcdefg " * (half // 8))
    assert counted == pytest.approx(half // 4 + half // 8, rel=0.05)
    assert sum(len(text) for text, _ in words.asked) <= WHOLE


def test_the_end_of_a_long_text_counts():
    text = "a" * WHOLE + " a" * WHOLE
    assert Counter(Words()).count(text) == pytest.approx(WHOLE, rel=0.05)


async def test_much_text_is_counted_beside_the_event_loop():
    words = Words()
    counter = Counter(words)
    message = Message(role="user", content="abc " * 5000)
    assert await counter.count_messages((message,)) == 5000
    assert words.threads == {threading.current_thread()}
    words.threads.clear()
    assert await counter.count_messages((message, message)) == 10_000
    assert threading.current_thread() not in words.threads


async def test_a_tokenizer_that_fails_is_not_asked_again(caplog):
    class Broken:
        asked = 0

        def count(self, text, model):
            self.asked += 1
            raise ZeroDivisionError("one too many")

    broken = Broken()
    counter = Counter(broken, "acme")
    assert counter.exact
    assert counter.count("abcde") == 2
    assert await counter.count_messages((USER,)) == 10
    assert broken.asked == 1
    assert not counter.exact
    assert "log" in counter.problem
    [record] = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "tokenizer acme failed" in record.getMessage()
    assert "one too many" in record.exc_text


async def test_a_tokenizer_that_returns_no_number_is_one_that_fails():
    class Mistaken:
        def count(self, text, model):
            return [1, 2] if len(text) < WHOLE else None

    counter = Counter(Mistaken(), "acme")  # type: ignore[arg-type]
    assert counter.count("abcde") == 2
    assert counter.count("a" * 400_000) == 100_000


# -------------------------------------------------------------------------
# Loading
# -------------------------------------------------------------------------


async def test_the_estimate_counts_until_the_tokenizer_has_loaded(caplog):
    loading = Loading()
    counter = Counter(loading, "acme", environ={"A": "b"}, models=("m",))
    assert loading.thread is None
    async with counter:
        assert (counter.exact, counter.problem) == (False, "has not been loaded yet")
        assert counter.count("one two three four") == 5
        loading.may.set()
        await counter.settled(10)
        assert (counter.exact, counter.problem) == (True, "")
        assert counter.count("one two three four") == 4
    assert loading.thread not in (None, threading.current_thread())
    assert loading.given == [{"A": "b"}, ("m",)]
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("error", [ValueError("no\nvocabulary"), SystemExit("no\nvocabulary")])
async def test_one_that_cannot_be_loaded_leaves_the_estimate_and_one_warning(caplog, error):
    loading = Loading(error)
    loading.may.set()
    counter = Counter(loading, "acme")
    async with counter:
        await counter.settled(10)
        assert [counter.count("one two three four") for _ in range(3)] == [5, 5, 5]
    [warning] = warnings_in(caplog)
    assert f"acme cannot be loaded: {type(error).__name__}: no vocabulary" in warning
    assert "RUNTIME_TOKENIZER=estimate" in warning
    assert loading.asked == []


async def test_one_that_nobody_named_is_missed_quietly(caplog):
    caplog.set_level(logging.INFO)
    loading = Loading(ValueError("no vocabulary"))
    loading.may.set()
    async with Counter(loading, "acme", wanted=False) as counter:
        await counter.settled(10)
    assert warnings_in(caplog) == []
    assert "acme cannot be loaded" in caplog.text


async def test_loading_that_takes_long_is_mentioned_and_does_not_stop_a_stop(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("runtime_core.engine.tokens._LEAVE", 0.05)
    loading = Loading()
    try:
        async with asyncio.timeout(5), Counter(loading, "acme", patience=0.01) as counter:
            while "acme is still being loaded" not in caplog.text:  # noqa: ASYNC110 - a log line
                await asyncio.sleep(0.005)
            assert not counter.exact
    finally:
        loading.may.set()
        loading.thread.join(10)


async def test_a_stop_waits_for_loading_that_is_about_to_end():
    loading = Loading()
    async with Counter(loading, "acme") as counter:
        threading.Timer(0.05, loading.may.set).start()
    assert counter.exact


# -------------------------------------------------------------------------
# tiktoken
# -------------------------------------------------------------------------


async def test_tiktoken_counts_with_its_vocabulary(vocabularies):
    vocabularies(o200k_base=small("o200k_base", "hello", " world"))
    async with Counter(Tiktoken(), "tiktoken") as counter:
        await counter.settled(10)
        assert counter.exact
        assert counter.count("hello world") == 2
        assert counter.count("hello worlds", "llama3.2") == 3
        assert counter.count("") == 0


def test_a_model_in_the_settings_has_its_own_vocabulary(vocabularies):
    vocabularies(
        o200k_base=small("o200k_base", "hello"), cl100k_base=small("cl100k_base", "hel", "lo")
    )
    known = Tiktoken()
    known.load({}, ("gpt-4", "llama3.2"))
    assert known.count("hello", "gpt-4") == 2
    assert [known.count("hello", name) for name in ("gpt-4o", "llama3.2", "")] == [1, 1, 1]
    other = Tiktoken()
    other.load({}, ("llama3.2",))
    assert other.count("hello", "gpt-4") == 1


def test_special_tokens_and_broken_unicode_are_text(vocabularies):
    vocabularies(o200k_base=small("o200k_base", "hello"))
    tokenizer = Tiktoken()
    tokenizer.load({}, ())
    assert tokenizer.count("<|endoftext|>", "") == len("<|endoftext|>")
    assert tokenizer.count("hello\ud800", "") >= 2


@pytest.mark.parametrize("piece", [" ", "a", "^", "\n", "😀", "a "])
def test_repetitions_that_would_overflow_the_librarys_stack_are_counted(vocabularies, piece):
    vocabularies(o200k_base=small("o200k_base", piece * 8))
    tokenizer = Tiktoken()
    tokenizer.load({}, ())
    counter = Counter(tokenizer, "tiktoken")
    text = piece * (2_000_000 // len(piece)) + "x"
    assert 0 < counter.count(text) <= len(text.encode())


async def test_without_network_and_cache_the_estimate_counts(unreachable, caplog):
    environ = {"TIKTOKEN_CACHE_DIR": str(unreachable)}
    async with Counter(Tiktoken(), "tiktoken", environ=environ) as counter:
        await counter.settled(60)
        assert not counter.exact
        assert counter.count("hello") == 2
    [warning] = warnings_in(caplog)
    assert f"not in {unreachable}" in warning
    assert "set TIKTOKEN_CACHE_DIR" in warning
    assert "ProxyError" in warning


def test_a_vocabulary_in_the_cache_that_was_tampered_with_is_not_used(unreachable):
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    cached = unreachable / hashlib.sha1(url.encode()).hexdigest()
    cached.write_bytes(b"YQ== 0\n")
    with pytest.raises(StartupError, match="cannot be fetched"):
        Tiktoken().load({}, ())


def test_without_the_library_tiktoken_says_how_to_get_it(monkeypatch):
    # what is not installed cannot be tested without hiding it
    monkeypatch.setattr("runtime_core.engine.tiktoken.find_spec", lambda name: None)
    with pytest.raises(StartupError, match=r'pip install "runtime-core\[tokens\]"'):
        Tiktoken()


def test_the_library_is_not_imported_before_it_is_loaded():
    code = (
        "import sys\nfrom runtime_core.engine.tiktoken import Tiktoken\nTiktoken()\n"
        "print('tiktoken' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -------------------------------------------------------------------------
# Tasks
# -------------------------------------------------------------------------


@pytest.fixture
def counting(bench):
    """The bench with a counter of words; gives its tokenizer."""
    words = Words()
    bench.machine = bench.new_machine(tokens=Counter(words))
    return words


def said(text: str) -> Value:
    request = ChatRequest(model="asked", messages=(Message(role="user", content=text),))
    return Value(request, "openai_chat")


async def test_the_limit_of_a_conversation_is_in_the_tokenizers_tokens(bench, counting):
    chain = bench.chain({"id": "a", "handler": "chat_completion"}, token_limit=3)
    bench.models.answers("x")
    assert (await bench.run(chain, said("longlonglong " * 3))).error is None
    assert counting.asked[0][1] == "asked"
    wanted = bench.models.asked[0][0]
    assert (wanted.context_tokens, wanted.counted) == (3, True)
    result = await bench.run(chain, said("a b c d"))
    assert isinstance(result.error, ContextLengthExceeded)
    assert "about 4 tokens" in str(result.error)


async def test_the_limit_of_a_prompt_is_in_the_tokenizers_tokens(bench, counting):
    task = {"id": "a", "handler": "prompt_to_string", "execute_config": {"model": "small"}}
    chain = bench.chain(task, token_limit=3)
    bench.models.answers("x")
    assert (await bench.run(chain, "longlonglong " * 3)).error is None
    assert counting.asked[0][1] == "small"
    assert isinstance((await bench.run(chain, "a b c d")).error, ContextLengthExceeded)


async def test_where_nobody_asks_nothing_is_counted(bench, counting):
    chain = bench.chain(
        {"id": "a", "handler": "chat_completion"},
        {"id": "b", "handler": "prompt_to_string"},
    )
    for _ in "ab":
        bench.models.answers(ChatChunk("x"), ChatChunk(finish_reason="stop", usage=Usage(31, 7)))
    assert (await bench.run(chain, said("a b c"))).error is None
    assert counting.asked == []
    wanted = bench.models.asked[0][0]
    assert (wanted.context_tokens, wanted.counted) == (2, False)


async def test_usage_that_no_provider_reports_is_counted(bench, counting):
    bench.models.answers("one two")
    result = await bench.one({"handler": "chat_completion"}, said("a b c"))
    assert (result.output.input_tokens, result.output.output_tokens) == (3, 2)
    assert {model for _, model in counting.asked} == {"routed-model"}


async def test_a_count_a_provider_made_needs_no_other(bench, counting):
    history = Value(ChatHistory((USER,), input_tokens=3), "chat_history")
    bench.models.answers(ChatChunk("x"), ChatChunk(finish_reason="stop", usage=Usage(31, 7)))
    await bench.one({"handler": "chat_completion"}, history)
    wanted = bench.models.asked[0][0]
    assert (wanted.context_tokens, wanted.counted) == (3, True)
