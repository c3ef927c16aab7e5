"""How long a conversation is, where no provider has counted it yet.

The estimate is one token for every four bytes of UTF-8 text, rounded up: close for English,
generous for most other scripts.  A `Counter` asks the tokenizer that the settings name, and
estimates where there is none.  Pictures and other parts without text count as nothing.
"""

from __future__ import annotations

import asyncio
import logging
import operator
import threading
from typing import TYPE_CHECKING, Self

from runtime_core.protocols import LoadingTokenizer
from runtime_core.types import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runtime_core.protocols import Tokenizer
    from runtime_core.types import ChatHistory, Message

__all__ = ("Counter", "Estimate", "estimate", "estimate_history", "estimate_messages", "is_long")

logger = logging.getLogger(__name__)

_BYTES_PER_TOKEN = 4
#: Characters that are counted as they are; a longer text is counted by as many, in samples.
_WHOLE = 32_768
_SAMPLE = 1_024
#: Estimated tokens that are counted at once on the event loop: some milliseconds.
_AT_ONCE = _WHOLE // _BYTES_PER_TOKEN
#: Seconds of loading after which the log says that it goes on.
_PATIENCE = 30.0
#: Seconds that a stop waits for loading: code that is torn down half-way may crash the process.
_LEAVE = 2.0
_INSTEAD = "A token per four bytes is estimated instead; RUNTIME_TOKENIZER=estimate chooses that"


def estimate(text: str) -> int:
    """Estimate the tokens of *text*."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_messages(messages: Iterable[Message]) -> int:
    """Estimate the tokens of *messages*, tool calls included."""
    return sum(estimate(text) for message in messages for text in _texts(message))


def estimate_history(history: ChatHistory) -> int:
    """Estimate the tokens that sending *history* takes.

    Counts it came with are trusted: they cover everything up to the model's last answer, and
    what has been said since is estimated.
    """
    known, uncounted = _counted(history)
    return known + estimate_messages(uncounted)


def is_long(messages: Sequence[Message]) -> bool:
    """Say whether counting *messages* would hold the event loop for too long."""
    return estimate_messages(messages) > _AT_ONCE


class Estimate:
    """The tokenizer that needs nothing: a token for every four bytes."""

    def count(self, text: str, model: str) -> int:
        """Estimate the tokens of *text*, whatever the model."""
        return estimate(text)


class Counter:
    """Counts with a tokenizer as soon and as long as it works, else estimates.

    Use it as an async context manager: a tokenizer that has to load does so meanwhile, in a
    thread.  Implements `runtime_core.protocols.TokenCounter`.

    :param tokenizer: None is the estimate.
    :param name: what the settings call it.
    :param environ: the environment that the settings were read from.
    :param models: the names of the models in the settings.
    :param wanted: whether somebody asked for it by name, and is warned when it cannot be loaded.
    :param patience: seconds of loading after which the log says that it goes on.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        name: str = "estimate",
        *,
        environ: Mapping[str, str] | None = None,
        models: Sequence[str] = (),
        wanted: bool = True,
        patience: float = _PATIENCE,
    ) -> None:
        self.name = name
        self._tokenizer = None if isinstance(tokenizer, Estimate) else tokenizer
        self._environ = {} if environ is None else environ
        self._models = models
        self._wanted = wanted
        self._patience = patience
        self._loading: threading.Thread | None = None
        self._count: Callable[[str, str], int] | None = None
        #: Why the tokenizer does not count now.
        self.problem = ""
        if isinstance(self._tokenizer, LoadingTokenizer):
            self.problem = "has not been loaded yet"
        elif self._tokenizer is not None:
            self._count = self._tokenizer.count

    @property
    def exact(self) -> bool:
        """Whether the tokenizer counts now; False: the estimate does."""
        return self._count is not None

    async def __aenter__(self) -> Self:
        if isinstance(self._tokenizer, LoadingTokenizer) and self._loading is None:
            # a daemon: a network that never answers must not keep the process from exiting
            self._loading = threading.Thread(
                target=self._load, args=(self._tokenizer,), name="tokenizer", daemon=True
            )
            self._loading.start()
            self._reminder = asyncio.get_running_loop().call_later(self._patience, self._remind)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._loading is not None:
            self._reminder.cancel()
            await self.settled(_LEAVE)

    async def settled(self, seconds: float) -> None:
        """Wait until loading has come to its end, one way or the other, or *seconds* are over."""
        if self._loading is not None and self._loading.is_alive():
            await asyncio.to_thread(self._loading.join, seconds)

    def count(self, text: str, model: str = "") -> int:
        """Count the tokens of *text*, a very long one by samples."""
        count = self._count
        if count is None:
            return estimate(text)
        try:
            return _counted_by(count, text, model)
        # A tokenizer that fails, perhaps a plugin's, is no reason to fail a request.
        except Exception:
            self._count = None
            self.problem = "failed while counting; the log has the reason"
            logger.exception("tokenizer %s failed. %s", self.name, _INSTEAD)
            return estimate(text)

    def count_message(self, message: Message, model: str = "") -> int:
        """Count the tokens of a message, its tool calls included."""
        return sum(self.count(text, model) for text in _texts(message))

    async def count_messages(self, messages: Sequence[Message], model: str = "") -> int:
        """Count the tokens of *messages*; many are counted beside the event loop."""
        if self._count is None:
            return estimate_messages(messages)
        if is_long(messages):
            return await asyncio.to_thread(self._sum, messages, model)
        return self._sum(messages, model)

    async def count_history(self, history: ChatHistory, model: str = "") -> int:
        """Count the tokens that sending *history* takes, trusting the counts it came with."""
        known, uncounted = _counted(history)
        return known + await self.count_messages(uncounted, model)

    def _sum(self, messages: Iterable[Message], model: str) -> int:
        return sum(self.count_message(message, model) for message in messages)

    def _load(self, tokenizer: LoadingTokenizer) -> None:
        try:
            tokenizer.load(self._environ, self._models)
        # Loading a plugin: whatever it raises, the server goes on without it.
        except BaseException as exc:  # noqa: BLE001
            self.problem = f"cannot be loaded: {_in_words(exc)}"
            level = logging.WARNING if self._wanted else logging.INFO
            logger.log(level, "tokenizer %s %s. %s", self.name, self.problem, _INSTEAD)
        else:
            self._count, self.problem = tokenizer.count, ""
            logger.info("tokens are counted by %s", self.name)

    def _remind(self) -> None:
        if self._loading is not None and self._loading.is_alive():
            logger.info("tokenizer %s is still being loaded. %s", self.name, _INSTEAD)


def _counted(history: ChatHistory) -> tuple[int, Sequence[Message]]:
    """Return the tokens a provider has counted, and the messages that none has."""
    if history.input_tokens <= 0:
        return 0, history.messages
    if history.output_tokens <= 0:
        return history.input_tokens, ()
    return history.input_tokens + history.output_tokens, _unanswered(history)


def _unanswered(history: ChatHistory) -> tuple[Message, ...]:
    messages = history.messages
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "assistant":
            return messages[index + 1 :]
    return ()


def _texts(message: Message) -> Iterator[str]:
    content = message.content
    yield content if isinstance(content, str) else text_of(message)
    for call in message.tool_calls:
        yield call.function.name
        yield call.function.arguments


def _counted_by(count: Callable[[str, str], int], text: str, model: str) -> int:
    length = len(text)
    if length <= _WHOLE:
        return operator.index(count(text, model)) if text else 0
    samples = _WHOLE // _SAMPLE
    last = length - _SAMPLE
    starts = [last * number // (samples - 1) for number in range(samples)]
    counted = sum(count(text[start : start + _SAMPLE], model) for start in starts)
    return -(-counted * length // _WHOLE)


def _in_words(reason: BaseException) -> str:
    text = " ".join(str(reason).split())
    return f"{type(reason).__name__}: {text[:300]}" if text else type(reason).__name__
