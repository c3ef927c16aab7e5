"""A tiny model service, a right provider for it, and wrong ones that the suite must catch."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

import httpx
import msgspec
import pytest

from runtime_core import errors
from runtime_core.testing import Answer, ProviderSuite, Reply, WireRequest
from runtime_core.types import (
    BackendConfig,
    ChatChunk,
    ChatRequest,
    Embeddings,
    ModelInfo,
    ToolCallDelta,
    Usage,
)
from runtime_core.upstream import Endpoint, ndjson, reported_error, upstream_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.types import FinishReason

JSON = {"content-type": "application/json"}
CARRIED = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)


class TinyWire:
    """Requests are the kernel's own structs as JSON; answers are lines with one key each."""

    model = "tiny"
    base_path = "/v0"
    options = frozenset(CARRIED)
    finish_reasons: frozenset[FinishReason] = frozenset(
        {"stop", "length", "tool_calls", "content_filter"}
    )

    def operation(self, request: WireRequest) -> Literal["chat", "embed", "list", "other"]:
        return {"/v0/chat": "chat", "/v0/embed": "embed", "/v0/models": "list"}.get(
            request.path, "other"
        )

    def other(self, request: WireRequest) -> Reply:
        if request.path == "/v0/models":
            return Reply((b'{"models": ["tiny"]}',), 200, JSON)
        return Reply((b"nothing here",), 404)

    def asked(self, request: WireRequest) -> ChatRequest:
        return msgspec.json.decode(request.body, type=ChatRequest)

    def answer(self, request: WireRequest, answer: Answer) -> Reply:
        lines: list[Any] = [{"thought": piece} for piece in answer.reasoning]
        lines += [{"text": piece} for piece in answer.text]
        lines += [
            {"call": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in answer.tool_calls
        ]
        usage = answer.usage and [answer.usage.prompt_tokens, answer.usage.completion_tokens]
        lines.append({"end": answer.finish_reason, "usage": usage})
        return Reply(
            tuple(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines),
            200,
            {"content-type": "application/x-ndjson"},
        )

    def frame(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def failure(self, status: int, message: str) -> Reply:
        return Reply((json.dumps({"error": message}).encode(),), status, JSON)

    def failure_midway(self, message: str) -> bytes:
        return json.dumps({"error": message}).encode() + b"\n"

    def asked_texts(self, request: WireRequest) -> list[str]:
        texts: list[str] = request.json()["texts"]
        return texts

    def embeddings(self, request: WireRequest, vectors: list[list[float]]) -> Reply:
        return Reply((json.dumps({"vectors": vectors}).encode(),), 200, JSON)


class _Models(msgspec.Struct):
    models: list[str]


class _Vectors(msgspec.Struct):
    vectors: list[list[float]]


class Tiny:
    """The right one; the wrong ones change a method each."""

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        self.name = config.name
        self.client = client
        self.base = config.base_url.rstrip("/")
        self.headers = self.credentials(config.api_key)

    def credentials(self, key: str | None) -> dict[str, str]:
        return {"x-api-key": key} if key else {}

    def endpoint(self, path: str) -> Endpoint:
        return Endpoint(self.name, self.client, f"{self.base}/{path}", self.headers)

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(name) for name in (await self.endpoint("models").get(_Models)).models]

    def body(self, request: ChatRequest) -> dict[str, Any]:
        body = {"model": request.model, "messages": self.messages(request)}
        for option in CARRIED:
            value = getattr(request, option)
            if self.is_set(value):
                body[option] = value
        return body | request.extra

    def messages(self, request: ChatRequest) -> list[Any]:
        return list(request.messages)

    def is_set(self, value: Any) -> bool:
        return value is not None and value != ()

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        async with self.endpoint("chat").stream(body) as response:
            yield response

    def lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return ndjson(response)

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        calls: list[str] = []
        async with self.opened(self.body(request)) as response:
            async for raw in self.lines(response):
                chunk = self.chunk(self.decoded(raw), calls)
                yield chunk
                if chunk.finish_reason:
                    return
            if (end := self.made_up_end()) is not None:
                yield end

    def decoded(self, raw: bytes) -> Any:
        return json.loads(raw)

    def chunk(self, line: Any, calls: list[str]) -> ChatChunk:
        if "error" in line:
            return self.failed(line)
        if "end" in line:
            return ChatChunk(finish_reason=self.reason(line["end"]), usage=self.usage(line))
        if "call" in line:
            return ChatChunk(tool_calls=(self.delta(line["call"], calls),))
        if "thought" in line:
            return self.thought(line["thought"])
        return ChatChunk(self.text(line["text"]))

    def failed(self, line: Any) -> ChatChunk:
        request = httpx.Request("POST", self.base, headers=self.headers)
        raise reported_error(self.name, line["error"], request=request)

    def reason(self, word: FinishReason) -> FinishReason:
        return word

    def usage(self, line: Any) -> Usage | None:
        return Usage(*line["usage"]) if line["usage"] else None

    def delta(self, call: Any, calls: list[str]) -> ToolCallDelta:
        calls.append(self.call_id())
        return ToolCallDelta(self.index(calls), calls[-1], call["name"], call["arguments"])

    def call_id(self) -> str:
        return uuid4().hex

    def index(self, calls: list[str]) -> int:
        return len(calls) - 1

    def thought(self, text: str) -> ChatChunk:
        return ChatChunk(reasoning=text)

    def text(self, text: str) -> str:
        return text

    def made_up_end(self) -> ChatChunk | None:
        raise errors.UpstreamProtocolError("it ended half-way")

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        body = {"model": model, "texts": list(texts)}
        vectors = (await self.endpoint("embed").post(body, _Vectors)).vectors
        return Embeddings(self.arranged(vectors, len(texts)))

    def arranged(self, vectors: list[list[float]], wanted: int) -> list[list[float]]:
        if len(vectors) != wanted:
            raise errors.UpstreamProtocolError(f"{len(vectors)} vectors for {wanted} texts")
        return vectors

    async def aclose(self) -> None:
        pass


# -- what is sent ----------------------------------------------------------


class DropsZeros(Tiny):
    caught_by = ("test_sends_options",)

    def is_set(self, value: Any) -> bool:
        return bool(value)


class SendsUnsetOptions(Tiny):
    caught_by = ("test_leaves_unset_options_to_the_service",)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return {"temperature": 0.7} | super().body(request)


class IgnoresExtraFields(Tiny):
    caught_by = ("test_extra_fields_win",)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return super().body(msgspec.structs.replace(request, extra={}))


class DropsSystemMessages(Tiny):
    caught_by = ("test_sends_the_conversation",)

    def messages(self, request: ChatRequest) -> list[Any]:
        return [message for message in request.messages if message.role != "system"]


class DropsToolTraffic(Tiny):
    caught_by = ("test_tool_results_go_back",)

    def messages(self, request: ChatRequest) -> list[Any]:
        return [{"role": m.role, "content": m.content} for m in request.messages]


class SendsNoneAsKey(Tiny):
    caught_by = ("test_works_without_a_key",)

    def credentials(self, key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}


class SendsNoKey(Tiny):
    caught_by = ("test_sends_its_credentials",)

    def credentials(self, key: str | None) -> dict[str, str]:
        return {}


class DoublesTheSlash(Tiny):
    caught_by = ("test_a_slash_after_the_address_does_not_matter",)

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        super().__init__(config, client)
        self.base = config.base_url


# -- what becomes of answers -----------------------------------------------


class StripsWhitespace(Tiny):
    caught_by = ("test_streams_text_exactly_and_ends_once",)

    def text(self, text: str) -> str:
        return text.strip()


class DecodesPieceByPiece(Tiny):
    caught_by = ("test_characters_split_between_pieces",)

    async def lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        text = ""
        async for piece in response.aiter_raw():
            text += piece.decode("utf-8", "replace")
            *whole, text = text.split("\n")
            for line in whole:
                yield line.encode()


class SplitsAtUnicodeLineEnds(Tiny):
    caught_by = ("test_streams_text_exactly_and_ends_once",)

    async def lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        async for line in response.aiter_lines():
            yield line.encode()


class LosesLinesThatComeTogether(Tiny):
    caught_by = ("test_frames_that_arrive_together",)

    async def lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        async for piece in response.aiter_raw():
            yield piece.split(b"\n")[0]


class CollectsBeforeItYields(Tiny):
    caught_by = ("test_chunks_come_as_they_are_sent",)

    async def lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        for line in [line async for line in ndjson(response)]:
            yield line


class RefusesLongLines(Tiny):
    caught_by = ("test_a_huge_answer",)

    def decoded(self, raw: bytes) -> Any:
        if len(raw) > 64 * 1024:
            raise ValueError("line too long")
        return json.loads(raw)


class EndsTwice(Tiny):
    caught_by = ("test_streams_text_exactly_and_ends_once",)

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        async for chunk in super().chat(request):
            yield chunk
        yield chunk


class NeverEnds(Tiny):
    caught_by = ("test_streams_text_exactly_and_ends_once", "test_empty_answer")

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        async for chunk in super().chat(request):
            if chunk.finish_reason is None:
                yield chunk


class TakesTheEndOfTheBodyForTheEnd(Tiny):
    caught_by = (
        "test_an_answer_cut_short_is_never_whole",
        "test_an_empty_body",
        "test_a_frame_cut_short",
    )

    def decoded(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            return {"text": ""}

    def made_up_end(self) -> ChatChunk | None:
        return ChatChunk(finish_reason="stop")


class SkipsNonsense(Tiny):
    caught_by = ("test_nonsense_in_mid_stream",)

    def chunk(self, line: Any, calls: list[str]) -> ChatChunk:
        return super().chunk(line, calls) if isinstance(line, dict) else ChatChunk()


class TakesLengthForAnError(Tiny):
    caught_by = ("test_finish_reasons_are_results",)

    def reason(self, word: FinishReason) -> FinishReason:
        if word not in ("stop", "tool_calls"):
            raise errors.UpstreamRejected(f"finished with {word}")
        return word


class ThinksAloud(Tiny):
    caught_by = ("test_reasoning_is_not_text",)

    def thought(self, text: str) -> ChatChunk:
        return ChatChunk(text)


class MakesUpUsage(Tiny):
    caught_by = ("test_usage_is_not_made_up",)

    def usage(self, line: Any) -> Usage | None:
        return super().usage(line) or Usage()


class LosesUsage(Tiny):
    caught_by = ("test_usage_is_what_the_service_reports",)

    def usage(self, line: Any) -> Usage | None:
        return None


class GivesCallsOneId(Tiny):
    caught_by = ("test_tool_calls_have_ids_of_their_own",)

    def call_id(self) -> str:
        return "call_0"


class GivesCallsOneIndex(Tiny):
    caught_by = ("test_tool_calls_arrive_whole", "test_tool_calls_have_ids_of_their_own")

    def index(self, calls: list[str]) -> int:
        return 0


class ForgetsToCountVectors(Tiny):
    caught_by = ("test_as_many_embeddings_as_texts",)

    def arranged(self, vectors: list[list[float]], wanted: int) -> list[list[float]]:
        return vectors[:wanted]


class ReordersVectors(Tiny):
    caught_by = ("test_embeds_in_order",)

    def arranged(self, vectors: list[list[float]], wanted: int) -> list[list[float]]:
        return sorted(super().arranged(vectors, wanted))


# -- what becomes of failures ----------------------------------------------


class LetsForeignErrorsOut(Tiny):
    caught_by = ("test_refusals", "test_silence_is_a_time_out", "test_broken_connections")

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        url = f"{self.base}/chat"
        content = msgspec.json.encode(body)
        async with self.client.stream("POST", url, content=content) as response:
            response.raise_for_status()
            yield response


class ForgetsTheRefusalsText(LetsForeignErrorsOut):
    caught_by = ("test_refusals", "test_refusal_that_is_not_json")

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        with upstream_errors(self.name):
            async with super().opened(body) as response:
                yield response


class ForgetsRetryAfter(Tiny):
    caught_by = ("test_retry_after_in_seconds", "test_retry_after_as_a_date")

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        try:
            async with super().opened(body) as response:
                yield response
        except errors.UpstreamRateLimited as exc:
            raise errors.UpstreamRateLimited(exc.message) from exc


class QuotesItsKey(Tiny):
    caught_by = ("test_refusals_keep_the_key_secret",)

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        try:
            async with super().opened(body) as response:
                yield response
        except errors.UpstreamRejected as exc:
            raise type(exc)(f"{exc.message} (sent {self.headers})") from exc


class QuotesTheKeyOfAMidStreamError(Tiny):
    caught_by = ("test_an_error_in_mid_stream",)

    def failed(self, line: Any) -> ChatChunk:
        raise errors.UpstreamUnavailable(line["error"])


class SwallowsErrorsInMidStream(Tiny):
    caught_by = ("test_an_error_in_mid_stream",)

    def failed(self, line: Any) -> ChatChunk:
        return ChatChunk(finish_reason="stop")


class TriesAgainByItself(Tiny):
    caught_by = ("test_refusals",)

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        try:
            async for chunk in super().chat(request):
                yield chunk
        except errors.UpstreamUnavailable:
            async for chunk in super().chat(request):
                yield chunk


# -- what becomes of connections -------------------------------------------


class LeavesTheConnectionOpen(Tiny):
    caught_by = (
        "test_leaving_a_stream_closes_its_connection",
        "test_cancelling_in_mid_stream_closes_the_connection",
        "test_refusals",
    )
    kept: ClassVar[list[httpx.Response]] = []

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        with upstream_errors(self.name):
            request = httpx.Request("POST", f"{self.base}/chat", content=msgspec.json.encode(body))
            response = await self.client.send(request, stream=True)
            self.kept.append(response)
            response.raise_for_status()
            yield response


class ReadsOnWhenCancelled(Tiny):
    caught_by = ("test_cancelling_in_mid_stream_closes_the_connection",)

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        queue: asyncio.Queue[ChatChunk | errors.RuntimeCoreError] = asyncio.Queue()
        whole = super().chat

        async def pump() -> None:
            try:
                async for chunk in whole(request):
                    queue.put_nowait(chunk)
            except errors.RuntimeCoreError as exc:
                queue.put_nowait(exc)

        self.task = asyncio.create_task(pump())
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            yield item
            if item.finish_reason:
                return


class WaitsForEver(Tiny):
    caught_by = ("test_silence_is_a_time_out",)

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        with upstream_errors(self.name):
            url, content = f"{self.base}/chat", msgspec.json.encode(body)
            async with self.client.stream("POST", url, content=content, timeout=None) as response:
                response.raise_for_status()
                yield response


class ClosesEveryConnection(Tiny):
    caught_by = ("test_the_connection_serves_again",)

    def credentials(self, key: str | None) -> dict[str, str]:
        return super().credentials(key) | {"connection": "close"}


class OpensItsOwnConnections(Tiny):
    caught_by = ("test_lists_models", "test_sends_json")

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        super().__init__(config, httpx.AsyncClient())


class ClosesTheSharedClient(Tiny):
    caught_by = ("test_closes_twice_and_leaves_the_client_open",)

    async def aclose(self) -> None:
        await self.client.aclose()


class ClosesOnlyOnce(Tiny):
    caught_by = ("test_closes_twice_and_leaves_the_client_open",)

    async def aclose(self) -> None:
        del self.client


class SharesStateBetweenRequests(Tiny):
    caught_by = ("test_fifty_at_once",)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        self.request = request
        return super().body(request)

    @asynccontextmanager
    async def opened(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        await asyncio.sleep(0)
        async with super().opened(super().body(self.request)) as response:
            yield response


class AnswersOneAtATime(Tiny):
    caught_by = ("test_a_waiting_stream_holds_up_no_other",)

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        super().__init__(config, client)
        self.turn = asyncio.Lock()

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        async with self.turn:
            async for chunk in super().chat(request):
                yield chunk


class ListsNothing(Tiny):
    caught_by = ("test_lists_models", "test_listing_fails_clearly")

    async def models(self) -> Sequence[ModelInfo]:
        return []


def _suite(provider: type[Tiny]) -> type[ProviderSuite]:
    class Suite(ProviderSuite):
        @pytest.fixture
        def provider_factory(self) -> type[Tiny]:
            return provider

        @pytest.fixture
        def wire(self) -> TinyWire:
            return TinyWire()

    Suite.__name__ = Suite.__qualname__ = f"Test{provider.__name__}"
    return Suite


def _below(provider: type[Tiny]) -> list[type[Tiny]]:
    return [cls for child in provider.__subclasses__() for cls in (child, *_below(child))]


MUTANTS: dict[str, tuple[str, ...]] = {
    mutant.__name__: mutant.__dict__["caught_by"] for mutant in _below(Tiny)
}
globals().update({suite.__name__: suite for suite in map(_suite, (Tiny, *_below(Tiny)))})


class TestWeakened(globals()["TestTiny"]):  # type: ignore[misc]
    """Leaves a test out, without a reason."""

    async def test_refusals(self) -> None:
        pass


class TestExcused(globals()["TestTiny"]):  # type: ignore[misc]
    """Leaves a test out, and says why."""

    @pytest.mark.xfail(reason="the service has no refusals", run=False)
    async def test_refusals(self) -> None:
        pass


class TestLying(globals()["TestTiny"], without=("tools",)):  # type: ignore[misc]
    """Says that the service has no tools, which it has."""
