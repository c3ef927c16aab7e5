"""From what a task wants to the backend that answers."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from msgspec.structs import replace

from runtime_core.errors import (
    ContextLengthExceeded,
    NoBackendAvailable,
    RuntimeCoreError,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamProtocolError,
)
from runtime_core.fleet.names import same_model
from runtime_core.protocols import ChatProvider, EmbeddingProvider
from runtime_core.types import Routed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from runtime_core.fleet.catalog import Backend, Catalog
    from runtime_core.types import (
        BackendConfig,
        ChatChunk,
        ChatRequest,
        Embeddings,
        ModelInfo,
        ModelRole,
        Wanted,
    )

__all__ = ("LAST_RESORT", "Candidate", "Defaults", "FleetGateway")

_log = logging.getLogger("runtime.fleet")

#: A backend of at least this priority answers a request that names no model only where no other
#: backend is configured: a demo's echo must never stand in for a model that is down.
LAST_RESORT = 1000

_MOST_CACHED = 1024


class Candidate(NamedTuple):
    """A backend that can be asked, and the model to ask it for."""

    backend: Backend
    model: ModelInfo


class Defaults(NamedTuple):
    """What the settings say for a role; "" leaves the choice to routing."""

    model: str = ""
    provider: str = ""


class FleetGateway:
    """The models of all backends as one; implements `runtime_core.protocols.ModelGateway`.

    Candidates are tried in order: by wanted model, then wanted provider, then the backends'
    priority.  The next one is tried when one fails before its first chunk.
    """

    def __init__(self, catalog: Catalog, defaults: Mapping[ModelRole, Defaults]) -> None:
        self._catalog = catalog
        self._defaults = defaults
        self._cache: dict[tuple[object, ...], tuple[Candidate, ...]] = {}
        self._models_by_name: dict[str, ModelInfo | None] = {}
        self._cache_version = -1

    async def chat(
        self, wanted: Wanted, request: ChatRequest
    ) -> AsyncGenerator[Routed | ChatChunk, None]:
        """Ask the best backend: first its `Routed`, then its chunks."""
        failure: RuntimeCoreError | None = None
        for attempt, candidate in enumerate(await self.candidates(wanted), 1):
            provider = cast("ChatProvider", candidate.backend.provider)
            stream = provider.chat(replace(request, model=candidate.model.name))
            async with aclosing(cast("AsyncGenerator[ChatChunk, None]", stream)):
                try:
                    first = await anext(stream)
                except StopAsyncIteration:
                    failure = UpstreamProtocolError(
                        f"backend {candidate.backend.config.name} ended its answer before it began"
                    )
                    continue
                except (UpstreamError, TimedOut) as exc:
                    failure = self._failed(candidate, exc)
                    continue
                yield _routed(candidate, attempt)
                yield first
                async for chunk in stream:
                    yield chunk
                return
        raise failure or await self._nobody(wanted)

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        """Embed *texts* on the best backend."""
        failure: RuntimeCoreError | None = None
        for attempt, candidate in enumerate(await self.candidates(wanted), 1):
            provider = cast("EmbeddingProvider", candidate.backend.provider)
            try:
                answer = await provider.embed(candidate.model.name, texts)
            except (UpstreamError, TimedOut) as exc:
                failure = self._failed(candidate, exc)
                continue
            return _routed(candidate, attempt), answer
        raise failure or await self._nobody(wanted)

    async def models(self) -> Sequence[tuple[BackendConfig, ModelInfo]]:
        """Every model that can be asked now, preferred backends first."""
        while self._catalog.pending:
            await self._catalog.next_listing()
        return [(b.config, model) for b in self._catalog.backends for model in b.models]

    async def find(self, name: str) -> ModelInfo | None:
        """Return the model a name (exact, or equal after normalisation) stands for."""
        while self._catalog.pending and self._found(name) is None:
            await self._catalog.next_listing()
        if self._found(name) is None:
            await self._catalog.refresh()
        return self._found(name)

    def default_model(self, role: str) -> str:
        """The configured model of a role, "" when the choice is left to routing."""
        return self._defaults.get(cast("ModelRole", role), Defaults()).model

    async def candidates(self, wanted: Wanted) -> Sequence[Candidate]:
        """Return who can be asked, best first; empty when nobody can.

        :raises ContextLengthExceeded: there are models, but the prompt is too long for them all.
        """
        found = self._candidates_now(wanted)
        while self._unheard_rivals(found):
            await self._catalog.next_listing()
            found = self._candidates_now(wanted)
        if not found:
            await self._catalog.refresh()
            found = self._candidates_now(wanted)
        if not wanted.context_tokens or not found:
            return found
        return _fitting(found, wanted.context_tokens)

    def _found(self, name: str) -> ModelInfo | None:
        self._forget_what_changed()
        if name not in self._models_by_name:
            held = [model for backend in self._catalog.backends for model in backend.models]
            exact = (model for model in held if model.name == name)
            alike = (model for model in held if same_model(name, model.name))
            self._models_by_name[name] = next(exact, None) or next(alike, None)
        return self._models_by_name[name]

    def _unheard_rivals(self, found: Sequence[Candidate]) -> Sequence[Backend]:
        """Backends not listed yet that could be preferred over what was found."""
        pending = self._catalog.pending
        if not pending or not found:
            return pending
        best = found[0].backend.config.priority
        return [backend for backend in pending if backend.config.priority <= best]

    def _candidates_now(self, wanted: Wanted) -> tuple[Candidate, ...]:
        self._forget_what_changed()
        key = (wanted.role, wanted.models, wanted.providers)
        if key not in self._cache:
            first: dict[tuple[Backend, str], Candidate] = {}
            for candidate in self._ranked(wanted):
                first.setdefault((candidate.backend, candidate.model.name), candidate)
            self._cache[key] = tuple(first.values())
        return self._cache[key]

    def _forget_what_changed(self) -> None:
        many = max(len(self._cache), len(self._models_by_name)) > _MOST_CACHED
        if many or self._cache_version != self._catalog.version:
            self._cache.clear()
            self._models_by_name.clear()
            self._cache_version = self._catalog.version

    def _ranked(self, wanted: Wanted) -> Iterator[Candidate]:
        default = self._defaults.get(wanted.role, Defaults())
        names = wanted.models or ((default.model,) if default.model else ())
        providers = wanted.providers or ((default.provider,) if default.provider else ())
        backends = [b for b in self._catalog.backends if _can(b, wanted.role)]
        if providers:
            backends = [b for p in providers for b in backends if b.config.type == p]
        if not names:
            yield from self._unnamed(backends, wanted.role)
        held = [Candidate(backend, model) for backend in backends for model in backend.models]
        for name in names:
            # an exact name is taken at its word; a similar one must also have the capability
            yield from (c for c in held if c.model.name == name)
            yield from (
                c for c in held if same_model(name, c.model.name) and _has(wanted.role, c.model)
            )

    def _unnamed(self, backends: Sequence[Backend], role: ModelRole) -> Iterator[Candidate]:
        asked_for = [b for b in self._catalog.backends if not b.config.implicit]
        answering = [b for b in backends if any(_has(role, m) for m in b.models)]
        serious = [b for b in answering if b.config.priority < LAST_RESORT]
        for backend in serious or ([] if asked_for else answering):
            for model in backend.models:
                if _has(role, model):
                    yield Candidate(backend, model)
                    break

    def _failed(self, candidate: Candidate, error: RuntimeCoreError) -> RuntimeCoreError:
        """Log a failed attempt; a prompt that is too long is nobody's failure but the client's."""
        if isinstance(error, UpstreamContextExceeded):
            raise error
        name, model = candidate.backend.config.name, candidate.model.name
        _log.warning("backend %s failed to answer with %s: %s", name, model, error.message)
        return error

    async def _nobody(self, wanted: Wanted) -> NoBackendAvailable:
        what = " or ".join(repr(name) for name in wanted.models) or repr(
            self.default_model(wanted.role)
        )
        subject = f"model {what}" if what != "''" else f"a model for role {wanted.role!r}"
        of = f" of provider {' or '.join(wanted.providers)}" if wanted.providers else ""
        lines = [f"no backend can serve {subject}{of} now; models that can be asked:"]
        found = [f"- {m.name} on {config.name}" for config, m in await self.models()]
        lines += found or ["- none"]
        lines += [
            f"- backend {b.config.name} ({b.config.base_url}) is out: {b.error}"
            for b in self._catalog.backends
            if b.error and not b.config.implicit
        ]
        return NoBackendAvailable("\n".join(lines))


def _can(backend: Backend, role: ModelRole) -> bool:
    needed: Any = EmbeddingProvider if role == "embed" else ChatProvider
    return isinstance(backend.provider, needed)


def _has(role: ModelRole, model: ModelInfo) -> bool:
    return {"chat": model.can_chat, "task": model.can_prompt, "embed": model.can_embed}[role]


def _fitting(found: Sequence[Candidate], tokens: int) -> Sequence[Candidate]:
    fitting = [c for c in found if not c.model.context_length or c.model.context_length >= tokens]
    if fitting:
        return fitting
    longest = max(c.model.context_length or 0 for c in found)
    raise ContextLengthExceeded(
        f"the prompt has about {tokens} tokens, but the longest context among the models that "
        f"could answer is {longest}; shorten the conversation or choose another model"
    )


def _routed(candidate: Candidate, attempt: int) -> Routed:
    config = candidate.backend.config
    return Routed(
        backend=config.name,
        provider=config.type,
        model=candidate.model.name,
        attempts=attempt,
        context_length=candidate.model.context_length,
    )
