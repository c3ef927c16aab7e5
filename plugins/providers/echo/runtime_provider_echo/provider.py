"""The provider: plays answers with the pace and the faults they ask for."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, NoReturn

from runtime_core.errors import (
    SettingsError,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamModelNotFound,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnauthenticated,
    UpstreamUnavailable,
)
from runtime_core.types import (
    ChatChunk,
    Embeddings,
    ModelInfo,
    ToolCallDelta,
    Usage,
    text_of,
)
from runtime_provider_echo.options import EchoOptions, Tokens
from runtime_provider_echo.samples import fitting_text
from runtime_provider_echo.script import Script
from runtime_provider_echo.vectors import unit_vector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    import httpx

    from runtime_core.types import BackendConfig, ChatRequest, FinishReason
    from runtime_provider_echo.options import Answer, Fault
    from runtime_provider_echo.script import Chosen

__all__ = ("EchoProvider",)

#: A word with the white space before it, the last one also with what follows; joined, the tokens
#: are the text to the byte.
_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?|\s+")

#: Characters of a tool call's arguments in one chunk.
_ARGUMENTS = 24

#: How long ``hang`` waits for somebody to lose patience, in seconds.
_HANG = 60.0

_FAULTS: Mapping[Fault, tuple[type[UpstreamError | TimedOut], str]] = {
    "400": (UpstreamRejected, "answered 400"),
    "401": (UpstreamUnauthenticated, "answered 401"),
    "403": (UpstreamUnauthenticated, "answered 403"),
    "404": (UpstreamModelNotFound, "answered 404"),
    "408": (TimedOut, "answered 408"),
    "429": (UpstreamRateLimited, "answered 429"),
    "500": (UpstreamUnavailable, "answered 500"),
    "502": (UpstreamUnavailable, "answered 502"),
    "503": (UpstreamUnavailable, "answered 503"),
    "504": (TimedOut, "answered 504"),
    "529": (UpstreamUnavailable, "answered 529"),
    "context_length": (UpstreamContextExceeded, "says the prompt is too long"),
    "disconnect": (UpstreamUnavailable, "broke the connection"),
    "garbage": (UpstreamProtocolError, "sent an answer that makes no sense"),
    "hang": (TimedOut, "said nothing for a minute"),
    "timeout": (TimedOut, "took too long"),
    "truncate": (UpstreamProtocolError, "ended its answer half-way"),
}


class EchoProvider:
    """Answers chats with their own text, and embeds texts by hashing.

    :param config: its ``options`` are `EchoOptions`; they can also stand in the query of its
        ``base_url``.
    :raises SettingsError: an option is unknown or has a wrong value.
    """

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient | None = None) -> None:
        self._name = config.name
        try:
            self._options = EchoOptions.read(config.base_url, config.options)
        except ValueError as exc:
            raise SettingsError(f"backend {config.name!r} (echo): {exc}") from exc
        self._script = Script(self._options)

    async def models(self) -> Sequence[ModelInfo]:
        """List the models the options name."""
        length = self._options.context_length
        chat = [ModelInfo(name, length) for name in self._options.chat_models]
        embed = [
            ModelInfo(
                name, length, can_chat=False, can_embed=True, can_prompt=False, can_stream=False
            )
            for name in self._options.embed_models
        ]
        return chat + embed

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Stream the answer that the prompt, the script or the options ask for."""
        self._check_model(request.model, self._options.chat_models)
        chosen = await self._script.choose(request.messages)
        prompt_tokens = self._count(request)
        answer = chosen.answer
        await asyncio.sleep(answer.delay_ms / 1000)
        play = _Play(request, chosen)
        pace = _Pace(answer)
        for number, chunk in enumerate(play.chunks()):
            if answer.fail is not None and number >= answer.fail_after:
                await self._fail(answer)
            await pace.wait(play.tokens)
            yield chunk
        if answer.fail is not None:
            await self._fail(answer)
        yield ChatChunk(
            finish_reason=play.finish_reason, usage=_usage(answer, prompt_tokens, play.tokens)
        )

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Return a unit vector for each text."""
        self._check_model(model, self._options.embed_models)
        await asyncio.sleep(self._options.delay_ms / 1000)
        if self._options.fail is not None:
            await self._fail(self._options)
        vectors = [unit_vector(text, self._options.dimensions) for text in texts]
        words = sum(len(text.split()) for text in texts)
        return Embeddings(vectors, model, _usage(self._options, words, 0))

    async def aclose(self) -> None:
        """Let go of nothing."""

    def _check_model(self, model: str, models: Sequence[str]) -> None:
        if model not in models:
            known = ", ".join(models) or "none"
            raise UpstreamModelNotFound(
                f"{self._name} has no model {model!r} for this; it has: {known}"
            )

    def _count(self, request: ChatRequest) -> int:
        words = sum(len(text_of(message).split()) for message in request.messages)
        limit = self._options.context_length
        if limit is not None and words > limit:
            raise UpstreamContextExceeded(
                f"{self._name}: the prompt has {words} tokens, the context length is {limit}"
            )
        return words

    async def _fail(self, answer: Answer) -> NoReturn:
        assert answer.fail is not None
        kind, text = _FAULTS[answer.fail]
        if answer.fail == "hang":
            await asyncio.sleep(_HANG)
        raise kind(f"{self._name} {text}, as it was told to", retry_after=answer.retry_after)


class _Play:
    """One answer being given; ``tokens`` counts what has been said."""

    def __init__(self, request: ChatRequest, chosen: Chosen) -> None:
        self.tokens = 0
        self.finish_reason: FinishReason = "tool_calls" if chosen.answer.tool_calls else "stop"
        self._request = request
        self._chosen = chosen

    def chunks(self) -> Iterator[ChatChunk]:
        answer = self._chosen.answer
        for piece in self._cut(answer.reasoning, None):
            yield ChatChunk(reasoning=piece)
        for piece in self._text():
            yield ChatChunk(piece)
        for index in range(len(answer.tool_calls)):
            yield from self._call(index)
        if answer.finish_reason is not None:
            self.finish_reason = answer.finish_reason

    def _text(self) -> Iterator[str]:
        answer = self._chosen.answer
        if answer.pieces is not None:
            return self._given(answer.pieces)
        if answer.text is not None:
            text = _as_text(answer.text)
        elif answer.tool_calls:
            text = ""
        else:
            text = fitting_text(self._chosen.echo, self._request.response_format)
        ends = [at for stop in self._request.stop if stop and (at := text.find(stop)) >= 0]
        return self._cut(text[: min(ends)] if ends else text, self._request.max_tokens)

    def _given(self, pieces: Sequence[str]) -> Iterator[str]:
        for piece in pieces:
            self.tokens += 1
            yield piece

    def _cut(self, text: str, limit: int | None) -> Iterator[str]:
        """Yield *text* in chunks, at most *limit* tokens of it."""
        size = self._chosen.answer.chunk_size
        piece: list[str] = []
        for number, token in enumerate(_TOKEN.finditer(text)):
            if limit is not None and number >= limit:
                self.finish_reason = "length"
                break
            piece.append(token[0])
            self.tokens += 1
            if len(piece) == size:
                yield "".join(piece)
                piece.clear()
        if piece:
            yield "".join(piece)

    def _call(self, index: int) -> Iterator[ChatChunk]:
        call = self._chosen.answer.tool_calls[index]
        made_up = f"call_{len(self._request.messages)}_{index}{self._chosen.suffix}"
        arguments = _as_text(call.arguments)
        self.tokens += 1
        yield ChatChunk(tool_calls=(ToolCallDelta(index, call.id or made_up, call.name),))
        for start in range(0, len(arguments), _ARGUMENTS):
            piece = arguments[start : start + _ARGUMENTS]
            yield ChatChunk(tool_calls=(ToolCallDelta(index, arguments=piece),))


class _Pace:
    """Keeps an answer to its tokens per second, without drift."""

    def __init__(self, answer: Answer) -> None:
        self._rate = answer.tokens_per_second
        self._start: float | None = None

    async def wait(self, tokens: int) -> None:
        """Wait until so many *tokens* may have been said; the first chunk comes at once."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now - tokens / self._rate
        await asyncio.sleep(max(0.0, self._start + tokens / self._rate - now))


def _usage(answer: Answer, prompt_tokens: int, completion_tokens: int) -> Usage | None:
    if isinstance(answer.usage, Tokens):
        return Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return Usage(prompt_tokens, completion_tokens) if answer.usage else None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
