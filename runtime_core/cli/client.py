"""A running server, as the commands see it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from runtime_core.errors import UpstreamProtocolError
from runtime_core.upstream.framing import sse_data

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from runtime_core.settings import Settings

__all__ = ("Failure", "Server", "one_line", "path_of", "url_of")

_CONNECT_S, _ANSWER_S, _ALIVE_S = 5.0, 60.0, 2.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}

#: What ends a stream of chunks, and is no JSON.
_DONE = b"[DONE]"

#: What a server of this kind says of a path that nothing in it answers.
_NO_SUCH_PATH = "serverops: not found"

#: Statuses of what other servers say to paths that they do not have.
_NOT_OURS = frozenset({404, 405, 501})


class Failure(Exception):
    """What was asked for cannot be had; the message is one readable line.

    :param status: of the server's answer; 0 when there is none.
    :param run_id: of the run that failed, "" when there is none.
    """

    def __init__(self, message: str, *, status: int = 0, run_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.run_id = run_id


class Server:
    """Asks the server at *url*; an async context manager.

    :param token: sent with every request when it is set.
    :param transport: for tests to put in the network's place.
    :raises Failure: *url* is no address of a server; so do all methods that ask.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = _checked(url)
        # proxies are for other machines; what ~/.netrc says must not replace the key
        proxied = urlsplit(self.url).hostname not in _LOOPBACK
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"X-API-Key": token} if token else {},
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=proxied,
            transport=transport,
        )

    @classmethod
    def of(cls, settings: Settings, url: str | None = None) -> Self:
        """Return the server at *url*, by default the one that *settings* start here."""
        token = settings.token.get_secret_value() if settings.token else None
        return cls(url or url_of(settings.addr, settings.port), token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def alive(self) -> bool:
        """Say whether a server of this kind answers there."""
        try:
            response = await self._client.get("/livez", timeout=_ALIVE_S)
            answer = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.DecodeError):
            return False
        return isinstance(answer, dict) and answer.get("status") == "ok"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """Return an answer's JSON and headers."""
        content, headers = _json(body)
        async with self._explained():
            response = await self._client.request(
                method, path, content=content, headers=headers, params=params
            )
        if response.is_error:
            raise self._refusal(response)
        try:
            return msgspec.json.decode(response.content), response.headers
        except msgspec.DecodeError as error:
            raise Failure(
                f"{self.url} answered {path} with something else than JSON; is it "
                "a server of this kind?"
            ) from error

    async def events(
        self, path: str, body: object = None, *, method: str = "POST"
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the JSON of each event of a streamed answer; closing it stops the server's work.

        An event that is an error's envelope becomes the exception it is.
        """
        content, headers = _json(body)
        headers["Accept"] = "text/event-stream"
        # it may take a model any time to begin: whoever waits can press Ctrl-C
        timeout = httpx.Timeout(None, connect=_CONNECT_S)
        async with (
            self._explained(),
            self._client.stream(
                method, path, content=content, headers=headers, timeout=timeout
            ) as response,
        ):
            if response.is_error:
                await response.aread()
                raise self._refusal(response)
            async for data in sse_data(response):
                if data != _DONE:
                    yield self._event(data, response)

    def _event(self, data: bytes, response: httpx.Response) -> dict[str, Any]:
        try:
            event = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise Failure(f"{self.url} sent an event that is not JSON") from error
        if not isinstance(event, dict):
            raise Failure(f"{self.url} sent an event that is no object")
        if isinstance(event.get("error"), dict):
            raise Failure(_message(event), run_id=_run_id(event, response))
        return event

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise Failure(
                f"no server answers at {self.url}; start one with: runtime serve"
            ) from error
        except httpx.TimeoutException as error:
            raise Failure(f"the server at {self.url} took too long to answer") from error
        except (httpx.HTTPError, UpstreamProtocolError) as error:
            raise Failure(
                f"the server at {self.url} went away before its answer was complete"
            ) from error

    def _refusal(self, response: httpx.Response) -> Failure:
        status = response.status_code
        try:
            body = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            body = None
        if isinstance(body, dict) and "error" in body:
            message = _message(body)
        else:
            message = self._foreign(response)
        if message == _NO_SUCH_PATH:
            message = (
                f"{self.url} has no {_path(response)}; correct the address, or install the plugin "
                "that answers there (see there: runtime plugins)"
            )
        if status == 401:
            message += "; a key is given with --token or TOKEN"
        return Failure(message, status=status, run_id=_run_id(body, response))

    def _foreign(self, response: httpx.Response) -> str:
        """Return what is said of a refusal that is not in the form of a server of this kind."""
        status = f"{response.status_code} {response.reason_phrase}"
        if response.status_code in _NOT_OURS:
            return (
                f"{self.url} answered {_path(response)} with {status}; is it a server of this kind?"
            )
        return f"{self.url} answered {status}: {one_line(response.text[:200])}".rstrip(": ")


def url_of(addr: str, port: int) -> str:
    """Return where a server that listens on *addr* is reached from this machine."""
    host = _EVERYWHERE.get(addr, addr)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def path_of(*parts: str) -> str:
    """Return a path whose parts may hold any character."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def one_line(message: str) -> str:
    """Return *message* as one line that cannot move a terminal's cursor."""
    head, *items = message.split("\n- ")
    text = f"{head} {'; '.join(items)}" if items else head
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _checked(url: str) -> str:
    """Return *url* with its scheme and without a slash at its end."""
    whole = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        httpx.URL(whole)
        parts = urlsplit(whole)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and not any(character.isspace() for character in whole)
    except (ValueError, httpx.InvalidURL):
        valid = False
    if not valid:
        raise Failure(f"{url!r} is no address of a server; one is http://127.0.0.1:8081")
    return whole


def _path(response: httpx.Response) -> str:
    return one_line(response.request.url.raw_path.partition(b"?")[0].decode("ascii"))


def _json(body: object) -> tuple[bytes | None, dict[str, str]]:
    if body is None:
        return None, {}
    return msgspec.json.encode(body), {"Content-Type": "application/json"}


def _message(body: dict[str, Any]) -> str:
    error = body["error"]
    message = error.get("message") if isinstance(error, dict) else error
    return one_line(str(message or "the server gives no reason"))


def _run_id(body: object, response: httpx.Response) -> str:
    named = body.get("runId") if isinstance(body, dict) else None
    return str(named or response.headers.get("x-run-id", ""))
