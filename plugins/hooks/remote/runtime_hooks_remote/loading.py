"""An OpenAPI document from its address to tools that can be called."""

from __future__ import annotations

import asyncio
import time
import zlib
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runtime_core.errors import RuntimeCoreError, UpstreamError
from runtime_core.types import HookInfo
from runtime_hooks_remote.freshness import freshness
from runtime_hooks_remote.request import PreparedRequest, is_at, origin
from runtime_hooks_remote.shapes import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from runtime_core.protocols import Egress, EgressAnswer
    from runtime_hooks_remote.hook import Draft
    from runtime_hooks_remote.injection import Injection
    from runtime_hooks_remote.settings import RemoteHooksSettings
    from runtime_hooks_remote.shapes import Document

__all__ = ("Loaded", "Loader", "Validators")

T = TypeVar("T")

#: Bytes of a document from which on others must not wait for its reading.
_IN_THREAD = 16 * 1024

#: How often a document that was fetched may name further ones.
_ROUNDS = 8

#: How much of the time for a document is for those that it refers to: one that hangs must not
#: take the time to read the others.
_SHARE = 0.8

_ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.5"


class Validators(Struct, frozen=True):
    """What a service said to ask with whether a document has changed."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers to ask with."""
        named = {"if-none-match": self.etag, "if-modified-since": self.last_modified}
        return {name: value for name, value in named.items() if value}


class Loaded:
    """The document of one hook, read, with what is worked out of it when it is needed."""

    def __init__(
        self, hook: Draft, document: Document, packed: bytes, validators: Validators
    ) -> None:
        self.document = document
        self.validators = validators
        self._hook = hook
        self._packed = packed
        self._prepared: dict[str, PreparedRequest] = {}
        self.info = HookInfo(
            name=hook.name,
            type="remote",
            description=document.title,
            tools=tuple(operation.tool for operation in document.operations.values()),
        )

    def prepared(self, tool: str) -> PreparedRequest | None:
        """Return what makes requests for a tool, None where there is no such tool."""
        found = self._prepared.get(tool)
        if found is None and (operation := self.document.operations.get(tool)) is not None:
            found = PreparedRequest(operation, self._hook.endpoint_url, self._hook.injection)
            self._prepared[tool] = found
        return found

    def json(self) -> bytes:
        """Return the document as it was served, in JSON."""
        return zlib.decompress(self._packed)


class Loader:
    """Fetches and reads documents, and what they refer to."""

    def __init__(self, egress: Egress, settings: RemoteHooksSettings) -> None:
        self._egress = egress
        self._settings = settings
        self._reader: ModuleType | None = None

    async def load(
        self,
        hook: Draft,
        injection: Injection,
        *,
        seconds: float,
        validators: Validators | None = None,
    ) -> tuple[Loaded | None, float]:
        """Return a hook's document, and for how many seconds it is fresh.

        None stands for a document that is what it was when it gave *validators*.

        :param injection: sent along where the document is at the hook's own service.
        :raises RuntimeCoreError: it cannot be had, or is none; says what to do.
        """
        until = time.monotonic() + seconds * _SHARE
        url = hook.document_url
        own = _headers(injection) if origin(url) == origin(hook.endpoint_url) else {}
        asked = own | (validators.headers() if validators else {})
        answer = await self._get(url, asked, seconds)
        fresh = freshness(answer.headers, self._settings.document_ttl)
        if answer.status == 304 and validators is not None:
            return None, fresh
        if answer.status != 200:
            raise UpstreamError(
                f"{url.partition('?')[0]} answered {answer.status}; an OpenAPI document must be "
                "there, or documentUrl of the hook name where it is"
            )
        given = Validators(answer.headers.get("etag", ""), answer.headers.get("last-modified", ""))
        budget = self._settings.max_document - len(answer.body)
        rest = _References(url, answer.url, own, budget, until)
        return await self._read(hook, answer.body, rest, given), fresh

    async def read(self, hook: Draft, content: bytes, *, seconds: float) -> Loaded:
        """Return the document in *content*, with what it refers to on the hook's own service.

        :raises UnreadableDocument: it is no OpenAPI document.
        """
        url = hook.endpoint_url
        budget = self._settings.max_document - len(content)
        rest = _References(url, url, {}, budget, time.monotonic() + seconds * _SHARE)
        return await self._read(hook, content, rest, Validators())

    async def _read(
        self, hook: Draft, content: bytes, rest: _References, given: Validators
    ) -> Loaded:
        openapi = await self._openapi()
        for _ in range(_ROUNDS):
            reading = partial(openapi.read, content, url=rest.base, injected=hook.injection.names)
            document = await _beside(content, reading, fetched=rest.fetched)
            wanted = [each for each in document.missing if each not in rest.failed]
            if not wanted:
                break
            for address in wanted:
                await self._follow(address, rest)
        packed = await _beside(content, partial(_packed, openapi.load, content))
        document = replace(document, problems=(*document.problems, *rest.problems()))
        return Loaded(hook, _at_home(document, hook.endpoint_url), packed, given)

    async def _openapi(self) -> ModuleType:
        """Return what reads documents; imported when there is one, for most starts see none."""
        if self._reader is None:
            self._reader = await asyncio.to_thread(import_module, "runtime_hooks_remote.openapi")
        return self._reader

    async def _follow(self, address: str, rest: _References) -> None:
        """Fetch a document that another refers to; the service chose its address."""
        if len(rest.fetched) + len(rest.failed) >= self._settings.max_references:
            rest.failed[address] = "is one document too many (max_references)"
            return
        seconds = rest.until - time.monotonic()
        if seconds <= 0:
            rest.failed[address] = "was not loaded: the others took all the time there was"
            return
        same = origin(address) == origin(rest.url)
        client = self._egress.operator if same else self._egress.untrusted
        headers = {"accept": _ACCEPT, **(rest.headers if same else {})}
        try:
            answer = await client.request(
                "GET", address, headers=headers, timeout=seconds, max_bytes=max(rest.budget, 1)
            )
        except RuntimeCoreError as error:
            rest.failed[address] = f"cannot be loaded: {error.message}"
            return
        if answer.status != 200:
            rest.failed[address] = f"cannot be loaded: it answered {answer.status}"
            return
        rest.fetched[address] = answer.body
        rest.budget -= len(answer.body)

    async def _get(self, url: str, headers: dict[str, str], seconds: float) -> EgressAnswer:
        return await self._egress.operator.request(
            "GET",
            url,
            headers={"accept": _ACCEPT, **headers},
            timeout=seconds,
            max_bytes=self._settings.max_document,
        )


class _References:
    """The documents that one document refers to, as far as they are there.

    :param url: where the operator said the document is.
    :param base: where it was found, after redirects.
    :param headers: for further documents of the same service.
    :param budget: how many bytes they may have together.
    :param until: when they must be there, on the monotonic clock.
    """

    def __init__(
        self, url: str, base: str, headers: dict[str, str], budget: int, until: float
    ) -> None:
        self.url = url
        self.base = base
        self.headers = headers
        self.budget = budget
        self.until = until
        self.fetched: dict[str, bytes] = {}
        self.failed: dict[str, str] = {}

    def problems(self) -> tuple[Problem, ...]:
        """Return what is missing, and why."""
        return tuple(Problem("", f"{address} {why}") for address, why in self.failed.items())


def _packed(load: Callable[[bytes], dict[str, object]], content: bytes) -> bytes:
    return zlib.compress(msgspec.json.encode(load(content), order="deterministic"), 1)


def _at_home(document: Document, endpoint: str) -> Document:
    """Leave out the operations that another service would get the credentials of."""
    away = {
        name: operation
        for name, operation in document.operations.items()
        if not is_at(operation, endpoint)
    }
    if not away:
        return document
    operations = {
        name: operation for name, operation in document.operations.items() if name not in away
    }
    problems = [
        Problem(
            f"/paths/{operation.path.replace('~', '~0').replace('/', '~1')}"
            f"/{operation.method.lower()}",
            f"it is called at {operation.server}, another service than the hook's endpoint: "
            "register a hook with that endpointUrl, and this documentUrl; it is left out",
        )
        for operation in away.values()
    ]
    return replace(document, operations=operations, problems=(*document.problems, *problems))


async def _beside(content: bytes, work: Callable[..., T], **arguments: object) -> T:
    """Return what *work* on *content* comes to; others do not wait for a large one."""
    if len(content) < _IN_THREAD:
        return work(**arguments)
    return await asyncio.to_thread(work, **arguments)


def _headers(injection: Injection) -> dict[str, str]:
    """Return what a hook's own service gets with each request, documents included."""
    headers = {name.lower(): text.strip() for name, text in injection.headers.items()}
    if injection.name and injection.place == "header":
        headers[injection.name.lower()] = str(injection.value)
    headers.pop("accept", None)
    headers.pop("content-type", None)
    return headers
