"""From what a task wants to the backend that answers."""

from __future__ import annotations

import itertools
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from runtime_core.errors import ContextLengthExceeded, NoBackendAvailable, UpstreamProtocolError
from runtime_core.fleet.explain import explanation, not_found
from runtime_core.fleet.policies import Preference
from runtime_core.fleet.records import Registry
from runtime_core.fleet.search import Budget, Search
from runtime_core.fleet.selection import LAST_RESORT, Candidate, Defaults, Selection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from runtime_core.errors import RuntimeCoreError
    from runtime_core.fleet.catalog import Backend, Catalog
    from runtime_core.fleet.search import Attempt
    from runtime_core.fleet.selection import Choice
    from runtime_core.protocols import ChatProvider, EmbeddingProvider, Router, TokenCounter
    from runtime_core.types import (
        BackendConfig,
        ChatChunk,
        ChatRequest,
        Embeddings,
        Message,
        ModelInfo,
        ModelRole,
        Routed,
        RouteExplanation,
        Wanted,
    )

__all__ = ("LAST_RESORT", "Candidate", "Defaults", "FleetGateway")

_Tiers = tuple[tuple[Candidate, ...], ...]


class FleetGateway:
    """The models of all backends as one; implements `runtime_core.protocols.ModelGateway`.

    Candidates are tried by wanted model, then wanted provider, then the backends' priority; those
    that are equal so far are sorted by the policy.  The next one is tried when one fails before
    its answer has begun, or at any time when the answer is wanted whole.

    :param router: the policy.
    :param policy: its name, for explanations.
    :param tokens: counts a prompt whose estimated length leaves open whether it fits.
    """

    def __init__(
        self,
        catalog: Catalog,
        defaults: Mapping[ModelRole, Defaults],
        *,
        router: Router | None = None,
        policy: str = "",
        budget: Budget | None = None,
        tokens: TokenCounter | None = None,
    ) -> None:
        self._catalog = catalog
        self._router = router or Preference()
        self._policy = policy or type(self._router).__name__
        self._budget = budget or Budget()
        self._tokens = tokens
        self._registry = Registry(self._budget.breaker)
        self._selection = Selection(catalog, defaults, self._registry)
        self._turn = itertools.count(1).__next__
        self._heard: Sequence[Backend] | None = None

    async def chat(
        self, wanted: Wanted, request: ChatRequest
    ) -> AsyncGenerator[Routed | ChatChunk, None]:
        """Ask the best backend: first its `Routed`, then its chunks."""
        search = await self._search(wanted, request.messages, whole=wanted.whole)
        for attempt in search:
            with attempt, attempt.watch as watch:
                provider = cast("ChatProvider", attempt.candidate.backend.provider)
                answer = provider.chat(replace(request, model=attempt.candidate.model.name))
                async with aclosing(cast("AsyncGenerator[ChatChunk, None]", answer)) as stream:
                    begun = await _beginning(stream, attempt, whole=wanted.whole)
                    watch.pause()
                    attempt.shown = True
                    yield attempt.routed()
                    for chunk in begun:
                        yield chunk
                    if not wanted.whole:
                        watch.wait()
                        async for chunk in stream:
                            watch.pause()
                            yield chunk
                            watch.wait()
                return
        raise search.failure() or await self._nobody(wanted)

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        """Embed *texts* on the best backend."""
        search = await self._search(wanted, (), whole=True)
        for attempt in search:
            with attempt, attempt.watch:
                provider = cast("EmbeddingProvider", attempt.candidate.backend.provider)
                answer = await provider.embed(attempt.candidate.model.name, texts)
                attempt.began()
                return attempt.routed(), answer
        raise search.failure() or await self._nobody(wanted)

    async def explain(self, wanted: Wanted) -> RouteExplanation:
        """Say who would be asked now, in which order, and why the others would not."""
        choice = await self._choice(wanted)
        return explanation(
            wanted,
            self._selection,
            self._catalog.backends,
            self._ordered(choice.tiers),
            self._policy,
        )

    async def models(self) -> Sequence[tuple[BackendConfig, ModelInfo]]:
        """Every model that can be asked now, preferred backends first."""
        while self._pending():
            await self._catalog.next_listing()
        return [(b.config, model) for b in self._catalog.backends for model in b.models]

    async def find(self, name: str) -> ModelInfo | None:
        """Return the model a name (exact, or equal after normalisation) stands for."""
        while self._selection.find(name) is None and self._pending():
            await self._catalog.next_listing()
        if self._selection.find(name) is None:
            await self._catalog.refresh()
        return self._selection.find(name)

    def missing(self, name: str) -> RuntimeCoreError:
        """Return what to tell a client whose model `find` did not find."""
        return not_found(name, self._catalog.backends)

    def default_model(self, role: str) -> str:
        """The configured model of a role, "" when the choice is left to routing."""
        return self._selection.default(cast("ModelRole", role)).model

    def forgive(self) -> None:
        """Forget which backends failed: all are asked again at once."""
        self._registry.clear()
        self._selection.forget()

    async def candidates(self, wanted: Wanted) -> Sequence[Candidate]:
        """Return who can be asked, best first; empty when nobody can.

        :raises ContextLengthExceeded: there are models, but the prompt is too long for them all.
        """
        choice = await self._choice(wanted)
        return list(self._ordered(_fitting(choice, wanted.context_tokens)))

    async def _search(self, wanted: Wanted, messages: Sequence[Message], *, whole: bool) -> Search:
        started = time.monotonic()
        choice = await self._choice(wanted)
        tiers = _fitting(choice, await self._length(wanted, choice, messages))
        return Search(self._ordered(tiers), self._budget, self._turn, started, whole=whole)

    async def _choice(self, wanted: Wanted) -> Choice:
        choice = self._selection.choice(wanted)
        while self._unheard_rivals(choice):
            await self._catalog.next_listing()
            choice = self._selection.choice(wanted)
        if not choice.tiers:
            await self._catalog.refresh()
            choice = self._selection.choice(wanted)
        return choice

    async def _length(self, wanted: Wanted, choice: Choice, messages: Sequence[Message]) -> int:
        """Return how many tokens the prompt has; counts only where the estimate may be wrong."""
        estimated = wanted.context_tokens
        if self._tokens is None or wanted.counted or not choice.narrowest:
            return estimated
        # a token has a byte at least, and the estimate is one for every four
        if estimated * 4 <= choice.narrowest:
            return estimated
        return await self._tokens.count_messages(messages, choice.tiers[0][0].model.name)

    def _ordered(self, tiers: _Tiers) -> Iterator[Candidate]:
        for tier in tiers:
            if len(tier) == 1:
                yield tier[0]
            else:
                yield from self._router.order(tier, self._registry.stats)

    def _pending(self) -> Sequence[Backend]:
        """Return the backends nobody has heard of yet; looks at all only until it knows all."""
        backends = self._catalog.backends
        if self._heard is backends:
            return ()
        pending = self._catalog.pending
        if not pending:
            self._heard = backends
        return pending

    def _unheard_rivals(self, choice: Choice) -> Sequence[Backend]:
        """Return backends not listed yet that could be preferred over what was found."""
        pending = self._pending()
        if not pending or not choice.tiers:
            return pending
        best = choice.tiers[0][0].backend.config.priority
        return [backend for backend in pending if backend.config.priority <= best]

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


async def _beginning(
    stream: AsyncGenerator[ChatChunk, None], attempt: Attempt, *, whole: bool
) -> list[ChatChunk]:
    """Return an answer's chunks up to the first that says something, or all of them.

    :raises UpstreamProtocolError: the answer ends before that.
    """
    chunks: list[ChatChunk] = []
    begun = False
    async for chunk in stream:
        chunks.append(chunk)
        if not begun:
            if not (chunk.text or chunk.tool_calls or chunk.reasoning or chunk.finish_reason):
                continue
            begun = True
            attempt.began()
            if not whole:
                return chunks
        attempt.watch.wait()
    name = attempt.candidate.backend.config.name
    if not begun:
        raise UpstreamProtocolError(f"backend {name} ended its answer before it began")
    if all(chunk.finish_reason is None for chunk in reversed(chunks)):
        raise UpstreamProtocolError(f"backend {name} ended its answer half-way")
    return chunks


def _fitting(choice: Choice, tokens: int) -> _Tiers:
    """Leave out candidates whose context is known to be too short.

    :raises ContextLengthExceeded: that is all of them.
    """
    tiers = choice.tiers
    if tokens <= choice.narrowest or not choice.narrowest:
        return tiers
    fitting = [
        tuple(c for c in tier if not c.model.context_length or c.model.context_length >= tokens)
        for tier in tiers
    ]
    if any(fitting):
        return tuple(filter(None, fitting))
    longest = max(c.model.context_length or 0 for tier in tiers for c in tier)
    raise ContextLengthExceeded(
        f"the prompt has about {tokens} tokens, but the longest context among the models that "
        f"could answer is {longest}; shorten the conversation or choose another model"
    )
