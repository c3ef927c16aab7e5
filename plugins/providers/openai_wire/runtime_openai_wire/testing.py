"""A fake OpenAI server for tests: real HTTP on a loopback port, scripted, and as strict as OpenAI.

Use it in any test, sync or async, with any client::

    with FakeOpenAI() as fake:
        fake.will_answer("Hel", "lo")
        client = openai.OpenAI(base_url=fake.base_url, api_key=fake.api_key)
        ...
        assert fake.requests[-1].json["model"] == "gpt-fake"

What is not scripted is answered with the last user message, word by word.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from struct import pack
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_core.types import FunctionCall, ToolCall, Usage
from runtime_openai_wire._fake_answers import CREATED, Script, completion, events
from runtime_openai_wire._fake_requests import Refused, check_chat, check_embeddings, no_model
from runtime_openai_wire._fake_wire import OpenAIWire
from runtime_openai_wire._loopback import Answer, Break, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from runtime_core.testing import WireRequest

__all__ = ("CHAT_MODEL", "EMBED_MODEL", "FakeOpenAI", "OpenAIWire", "SeenRequest")

CHAT_MODEL = "gpt-fake"
EMBED_MODEL = "text-embedding-fake"

_STREAM = {"content-type": "text/event-stream; charset=utf-8"}

_Json = dict[str, Any]


class SeenRequest(Struct, frozen=True):
    """A request the fake has got.

    ``path`` includes the query; ``json`` is the decoded body, None without one.
    """

    method: str
    path: str
    headers: dict[str, str]
    json: Any


class FakeOpenAI:
    """The server; serves while used as a context manager.

    ``requests`` are the `SeenRequest`s so far, ``open_streams`` how many answers are being
    sent now (one that the client has left is not counted).
    """

    def __init__(
        self,
        *,
        api_key: str | None = "sk-fake",
        chat_models: Sequence[str] = (CHAT_MODEL,),
        embed_models: Sequence[str] = (EMBED_MODEL,),
        dimensions: int = 8,
    ) -> None:
        self.api_key = api_key
        self.requests: list[SeenRequest] = []
        self._chat_models = tuple(chat_models)
        self._embed_models = tuple(embed_models)
        self._dimensions = dimensions
        self._replies: deque[Script | Answer | Refused] = deque()
        self._server = LoopbackServer(self._handle)
        self._routes: Mapping[tuple[str, str], Callable[[Any], Answer]] = {
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/embeddings"): self._embeddings,
        }

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.__exit__(*exc)

    @property
    def base_url(self) -> str:
        """What clients are given, ``/v1`` included."""
        return f"{self._server.url}/v1"

    @property
    def open_streams(self) -> int:
        """How many answers are being sent now."""
        return self._server.open_answers

    def wait_until_idle(self, timeout: float = 5.0) -> bool:
        """Wait until no answer is being sent, at most *timeout* seconds; tell whether that is so.

        Blocks: in async code, call it with `asyncio.to_thread`.
        """
        return self._server.idle.wait(timeout)

    def will_answer(
        self,
        *pieces: str,
        tool_calls: Sequence[tuple[str, str]] = (),
        finish_reason: str | None = None,
        usage: tuple[int, int] | None = None,
        pause: float = 0.0,
    ) -> None:
        """Answer the next chat with *pieces*, one a chunk, and tool calls ``(name, arguments)``.

        *usage* is ``(prompt, completion)`` tokens, counted by words when None; *pause* is in
        seconds, before each piece but the first.
        """
        self._replies.append(
            Script(
                pieces=pieces,
                tool_calls=tuple(
                    ToolCall(f"call_fake_{index}", FunctionCall(*call))
                    for index, call in enumerate(tool_calls)
                ),
                finish_reason=finish_reason,
                usage=Usage(*usage) if usage is not None else None,
                pause=pause,
            )
        )

    def will_break(self, *pieces: str) -> None:
        """Reset the connection of the next chat after *pieces*; without any, before an answer."""
        self._replies.append(Script(pieces=pieces, breaks=True))

    def will_fail(
        self,
        status: int,
        message: str = "The fake was told to fail.",
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next chat or embeddings request with an error."""
        self._replies.append(Refused(status, message, code, headers=headers))

    def will_send(
        self, body: bytes, *, status: int = 200, content_type: str = "application/json"
    ) -> None:
        """Answer the next chat or embeddings request with *body*, whatever it may be."""
        self._replies.append(_answer(body, status, {"content-type": content_type}))

    def will_stream(self, *events: bytes, pause: float = 0.0) -> None:
        """Answer the next chat with the raw bytes *events*, sent one by one."""

        pieces = ((pause if number else 0.0, event) for number, event in enumerate(events))
        self._replies.append(Answer(pieces, headers=_STREAM))

    def _handle(self, received: WireRequest) -> Answer:
        try:
            body = msgspec.json.decode(received.body) if received.body else None
        except msgspec.DecodeError as exc:
            return _refuse(Refused(400, f"We could not parse the JSON body: {exc}"))
        path = received.path
        self.requests.append(SeenRequest(received.method, received.target, received.headers, body))
        try:
            self._authenticate(received)
            route = self._routes.get((received.method, path))
            if route is None and path.startswith("/v1/models/"):
                return self._model(path.removeprefix("/v1/models/"))
            if route is None:
                raise Refused(404, f"Invalid URL ({received.method} {path})")
            return route(body)
        except Refused as exc:
            return _refuse(exc)

    def _authenticate(self, received: WireRequest) -> None:
        given = received.headers.get("authorization", "")
        if self.api_key is not None and given != f"Bearer {self.api_key}":
            raise Refused(401, "Incorrect API key provided.", "invalid_api_key")

    def _models(self, body: Any) -> Answer:
        rows = [_model(name) for name in (*self._chat_models, *self._embed_models)]
        return _json({"object": "list", "data": rows})

    def _model(self, name: str) -> Answer:
        if name not in (*self._chat_models, *self._embed_models):
            raise no_model(name)
        return _json(_model(name))

    def _scripted(self) -> Script | Answer | None:
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, Refused):
            raise reply
        return reply

    def _chat(self, body: Any) -> Answer:
        check_chat(body, self._chat_models)
        reply = self._scripted()
        if isinstance(reply, Answer):
            return reply
        script = reply or Script(pieces=tuple(re.findall(r"\s*\S+|\s+", _last_user(body))))
        if script.usage is None:
            script = msgspec.structs.replace(script, usage=_count(body, script))
        if script.breaks and not (script.pieces and body.get("stream")):
            raise Break
        if not body.get("stream"):
            return _json(completion(body, script))
        return Answer(events(body, script), headers=_STREAM)

    def _embeddings(self, body: Any) -> Answer:
        texts = check_embeddings(body, self._embed_models)
        reply = self._scripted()
        if isinstance(reply, Answer):
            return reply
        dimensions = body.get("dimensions", self._dimensions)
        vectors = [_vector(text, dimensions) for text in texts]
        if body.get("encoding_format") == "base64":
            rows: list[Any] = [b64encode(pack(f"<{len(v)}f", *v)).decode() for v in vectors]
        else:
            rows = vectors
        tokens = sum(len(text.split()) for text in texts)
        return _json(
            {
                "object": "list",
                "model": body["model"],
                "data": [
                    {"object": "embedding", "index": index, "embedding": row}
                    for index, row in enumerate(rows)
                ],
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )


def _last_user(body: _Json) -> str:
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            return "\n".join(part.get("text", "") for part in content if part["type"] == "text")
    return ""


def _count(body: _Json, script: Script) -> Usage:
    asked = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    return Usage(asked, len("".join(script.pieces).split()) + len(script.tool_calls))


def _model(name: str) -> _Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}


def _vector(text: str, dimensions: int) -> list[float]:
    """Return a vector that 32-bit floats hold exactly."""
    data = text.encode()
    return [float((sum(data) * (place + 1) + len(data)) % 64) / 64 for place in range(dimensions)]


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return _answer(
        msgspec.json.encode(body), status, {"content-type": "application/json", **(headers or {})}
    )


def _answer(body: bytes, status: int, headers: Mapping[str, str]) -> Answer:
    return Answer(iter([(0.0, body)]), status, headers)


def _refuse(refused: Refused) -> Answer:
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    error = {
        "message": refused.message,
        "type": kind,
        "param": refused.param,
        "code": refused.code,
    }
    return _json({"error": error}, refused.status, refused.headers)
