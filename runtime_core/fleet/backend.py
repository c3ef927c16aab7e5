"""One backend: how it is reached, and what it was like when it was last looked at."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from runtime_core.protocols import LoadingProvider, PullingProvider
from runtime_core.types import BUILTIN_GROUPS, ModelInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime_core.protocols import Provider
    from runtime_core.types import BackendConfig, BreakerState, ModelRole, StoredBackend

__all__ = ("LATEST", "ROLE_GROUPS", "Backend", "Listing")

#: The built-in group whose backends serve a role; any group of an operator's own serves all roles.
ROLE_GROUPS: dict[ModelRole, str] = {
    "chat": "internal_chat_group",
    "task": "internal_tasks_group",
    "embed": "internal_embed_group",
}

#: What a name without a tag means where models have tags.
LATEST = ":latest"

_encode = msgspec.json.Encoder(enc_hook=repr, order="deterministic").encode


class Listing(Struct, frozen=True, kw_only=True):
    """What one look at a backend found; ``latency`` in seconds, ``error`` "" when it went well.

    ``timed_out`` tells a backend that is slow from one that refuses or is gone.
    """

    models: tuple[ModelInfo, ...] = ()
    loaded: tuple[str, ...] = ()
    latency: float | None = None
    error: str = ""
    timed_out: bool = False
    checked_at: str = ""


class Backend:
    """One backend: its configuration, its provider, and what the last listing said.

    ``error`` is the reason why the models could not be listed; "" when they could, or when
    nobody has looked yet (``listed_at`` None, else seconds of the monotonic clock).  ``models``
    are what was ``listed``, with what is declared of them; ``held`` is what was listed when that
    last went well, None for never.  ``loaded`` are those in the backend's
    memory, ``wanted`` those declared for it.  ``latency`` is that of the listing in seconds.
    ``error_at`` and ``checked_at`` are RFC 3339, "" for never.

    ``in_flight`` calls are counted by whoever makes them (`calling`); what else uses the provider
    holds it (`holding`): that of a backend which is gone is closed when the last of both is over.
    ``breaker`` is set by routing.
    """

    def __init__(
        self,
        config: BackendConfig,
        provider: Provider,
        *,
        groups: frozenset[str] = frozenset(BUILTIN_GROUPS),
        wanted: tuple[str, ...] = (),
        stored: StoredBackend | None = None,
    ) -> None:
        self.id = self.id_of(config)
        self.config = config
        self.provider = provider
        self.groups = groups
        self.wanted = wanted
        self.stored = stored
        self.listed: tuple[ModelInfo, ...] = ()
        self.models: tuple[ModelInfo, ...] = ()
        self.held: tuple[ModelInfo, ...] | None = None
        self.loaded: tuple[str, ...] = ()
        self.error = ""
        self.error_at = ""
        self.checked_at = ""
        self.listed_at: float | None = None
        self.latency: float | None = None
        #: How many listings failed in a row.
        self.failures = 0
        self.pulls = isinstance(provider, PullingProvider)
        self.knows_loaded = isinstance(provider, LoadingProvider)
        self.fingerprint = _fingerprint(config)
        #: Told when something changed that routing keeps, and the fleet's watchers want to see.
        self.on_change: Callable[[Backend], None] | None = None
        #: Told when a call could not reach the backend.
        self.on_suspicion: Callable[[Backend], None] | None = None
        #: Set by `regroup`: what is declared of the backend changed, its provider did not.
        self.regrouped = False
        self._breaker: BreakerState = "closed"
        self._in_flight = 0
        self._holders = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @staticmethod
    def id_of(config: BackendConfig) -> str:
        """Return the id of a backend; one from the settings goes by its name."""
        return config.id or f"static:{config.name}"

    @property
    def in_flight(self) -> int:
        """How many calls are going on."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._in_flight = count
        self._note_use()

    @property
    def breaker(self) -> BreakerState:
        """What the circuit breaker is now."""
        return self._breaker

    @breaker.setter
    def breaker(self, state: BreakerState) -> None:
        changed, self._breaker = state != self._breaker, state
        if changed and self.on_change is not None:
            self.on_change(self)

    @property
    def missing(self) -> tuple[str, ...]:
        """The wanted models that a backend which was heard of does not have."""
        if self.listed_at is None or self.error:
            return ()
        held = {model.name for model in self.listed}
        return tuple(name for name in self.wanted if held.isdisjoint((name, f"{name}{LATEST}")))

    def serves(self, role: ModelRole) -> bool:
        """Say whether the backend's groups let it serve *role*."""
        return ROLE_GROUPS[role] in self.groups or not self.groups <= BUILTIN_GROUPS.keys()

    def suspect(self) -> None:
        """Say that a call could not reach the backend, so that somebody looks; never waits."""
        if self.on_suspicion is not None:
            self.on_suspicion(self)

    def regroup(
        self, groups: frozenset[str], wanted: tuple[str, ...], stored: StoredBackend | None
    ) -> None:
        """Take over what is declared of a backend that is otherwise the same."""
        declared = (self.groups, self.wanted, self.stored)
        self.regrouped = self.regrouped or declared != (groups, wanted, stored)
        self.groups, self.wanted, self.stored = groups, wanted, stored

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Count a call for as long as the block lasts."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def holding(self) -> Iterator[Provider]:
        """Give the provider, open for as long as the block lasts; routing counts no call."""
        self._holders += 1
        self._note_use()
        try:
            yield self.provider
        finally:
            self._holders -= 1
            self._note_use()

    async def idle(self) -> None:
        """Wait until nobody uses the provider."""
        await self._idle.wait()

    def _note_use(self) -> None:
        if self._in_flight or self._holders:
            self._idle.clear()
        else:
            self._idle.set()


def _fingerprint(config: BackendConfig) -> str:
    """Name what decides what a listing says, the same in every replica; gives away no key."""
    told = _encode([config.type, config.base_url, config.api_key, config.options])
    return hashlib.blake2b(told, digest_size=16).hexdigest()
