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

from runtime_openai_wire._fake_answers import CREATED, Script, completion, events
from runtime_openai_wire._loopback import Answer, Break, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from runtime_core.testing import WireRequest

__all__ = ("CHAT_MODEL", "EMBED_MODEL", "FakeOpenAI", "SeenRequest")

CHAT_MODEL = "gpt-fake"
EMBED_MODEL = "text-embedding-fake"

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

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


class _Refused(Exception):
    """Answers with an error of OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}


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
        self._replies: deque[Script | Answer | _Refused] = deque()
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
                tool_calls=tuple(tool_calls),
                finish_reason=finish_reason,
                usage=usage,
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
        self._replies.append(_Refused(status, message, code, headers=headers))

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
            return _refuse(_Refused(400, f"We could not parse the JSON body: {exc}"))
        path = received.path
        self.requests.append(SeenRequest(received.method, received.target, received.headers, body))
        try:
            self._authenticate(received)
            route = self._routes.get((received.method, path))
            if route is None and path.startswith("/v1/models/"):
                return self._model(path.removeprefix("/v1/models/"))
            if route is None:
                raise _Refused(404, f"Invalid URL ({received.method} {path})")
            return route(body)
        except _Refused as exc:
            return _refuse(exc)

    def _authenticate(self, received: WireRequest) -> None:
        given = received.headers.get("authorization", "")
        if self.api_key is not None and given != f"Bearer {self.api_key}":
            raise _Refused(401, "Incorrect API key provided.", "invalid_api_key")

    def _models(self, body: Any) -> Answer:
        rows = [_model(name) for name in (*self._chat_models, *self._embed_models)]
        return _json({"object": "list", "data": rows})

    def _model(self, name: str) -> Answer:
        if name not in (*self._chat_models, *self._embed_models):
            raise _no_model(name)
        return _json(_model(name))

    def _scripted(self) -> Script | Answer | None:
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, _Refused):
            raise reply
        return reply

    def _chat(self, body: Any) -> Answer:
        _check_chat(body, self._chat_models)
        reply = self._scripted()
        if isinstance(reply, Answer):
            return reply
        script = reply or Script(pieces=tuple(re.findall(r"\s*\S+|\s+", _last_user(body))))
        if script.breaks and not (script.pieces and body.get("stream")):
            raise Break
        if not body.get("stream"):
            return _json(completion(body, script))
        return Answer(events(body, script), headers=_STREAM)

    def _embeddings(self, body: Any) -> Answer:
        texts = _check_embeddings(body, self._embed_models)
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


def _check_chat(body: Any, models: Sequence[str]) -> None:
    _check_model(body, models)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refused(400, "Invalid 'messages': expected a non-empty array.", param="messages")
    asked: set[str] = set()
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]", asked)
    for tool in body.get("tools") or ():
        if not _TOOL_NAME.fullmatch(str(tool.get("function", {}).get("name", ""))):
            raise _Refused(400, "Invalid 'tools[].function.name'.", param="tools")
    if "tool_choice" in body and not body.get("tools"):
        raise _Refused(400, "'tool_choice' is only allowed when 'tools' are specified.")


def _check_message(message: _Json, param: str, asked: set[str]) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "developer", "user", "assistant", "tool"):
        raise _Refused(400, f"Invalid value: {role!r}.", param=f"{param}.role")
    if content is None and not message.get("tool_calls"):
        raise _Refused(400, "Invalid value for 'content': got null.", param=f"{param}.content")
    asked.update(call["id"] for call in message.get("tool_calls") or ())
    if role == "tool" and message.get("tool_call_id") not in asked:
        raise _Refused(400, "A tool message must answer a tool call that precedes it.", param=param)


def _check_embeddings(body: Any, models: Sequence[str]) -> list[str]:
    _check_model(body, models)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise _Refused(400, "Invalid 'input': expected text or an array of texts.", param="input")
    return texts


def _check_model(body: Any, models: Sequence[str]) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise _Refused(400, "you must provide a model parameter", param="model")
    if body["model"] not in models:
        raise _no_model(body["model"])


def _no_model(name: str) -> _Refused:
    return _Refused(404, f"The model '{name}' does not exist.", "model_not_found", param="model")


def _last_user(body: _Json) -> str:
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            return "\n".join(part.get("text", "") for part in content if part["type"] == "text")
    return ""


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


def _refuse(refused: _Refused) -> Answer:
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    error = {
        "message": refused.message,
        "type": kind,
        "param": refused.param,
        "code": refused.code,
    }
    return _json({"error": error}, refused.status, refused.headers)
