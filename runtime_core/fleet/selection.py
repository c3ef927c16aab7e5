"""Who can be asked, in tiers: those of one tier serve a task equally well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime_core.fleet.index import ModelIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runtime_core.fleet.backend import Backend
    from runtime_core.fleet.catalog import Catalog
    from runtime_core.fleet.records import Registry, Stats
    from runtime_core.types import ModelInfo, ModelRole, Wanted

__all__ = (
    "LAST_RESORT",
    "Candidate",
    "Choice",
    "Defaults",
    "Selection",
    "Wish",
    "has",
    "provider_place",
)

#: A backend of at least this priority answers a request that names no model only where no other
#: backend is configured: a demo's echo must never stand in for a model that is down.
LAST_RESORT = 1000

_MOST_CACHED = 1024


class Defaults(NamedTuple):
    """What the settings say for a role; "" leaves the choice to routing."""

    model: str = ""
    provider: str = ""


class Candidate:
    """A backend that can be asked, and the model to ask it for (`protocols.RouteOption`)."""

    __slots__ = ("backend", "backend_id", "model", "stats")

    def __init__(self, backend: Backend, model: ModelInfo, stats: Stats) -> None:
        self.backend = backend
        self.model = model
        self.stats = stats
        self.backend_id = backend.id

    @property
    def loaded(self) -> bool:
        """Whether the model answers without being loaded first; true where that is no question."""
        return not self.backend.knows_loaded or self.model.name in self.backend.loaded


class Choice(NamedTuple):
    """The candidates of a wish, best tier first.

    ``narrowest`` is the shortest known context among them, in tokens (0: none is known).
    """

    tiers: tuple[tuple[Candidate, ...], ...]
    narrowest: int = 0


class Wish(NamedTuple):
    """What is wanted after the defaults are filled in."""

    role: ModelRole
    models: tuple[str, ...]
    providers: tuple[str, ...]


class Selection:
    """Finds candidates and remembers them until the catalog changes.

    :param registry: the records of the backends' calls.
    """

    def __init__(
        self,
        catalog: Catalog,
        defaults: Mapping[ModelRole, Defaults],
        registry: Registry,
    ) -> None:
        self._catalog = catalog
        self._defaults = defaults
        self._registry = registry
        self._index = ModelIndex()
        self._version = -1
        self._choices: dict[tuple[object, ...], Choice] = {}
        self._models: dict[str, ModelInfo | None] = {}

    def default(self, role: ModelRole) -> Defaults:
        """Return what the settings say for a role."""
        return self._defaults.get(role, Defaults())

    def wish(self, wanted: Wanted) -> Wish:
        """Fill in the defaults of the role."""
        default = self.default(wanted.role)
        models = wanted.models or ((default.model,) if default.model else ())
        providers = wanted.providers or ((default.provider,) if default.provider else ())
        return Wish(wanted.role, models, tuple(name.casefold() for name in providers))

    def choice(self, wanted: Wanted) -> Choice:
        """Return who can be asked now, whatever the length of the prompt."""
        self._follow()
        key = (wanted.role, wanted.models, wanted.providers)
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choices[key] = _choice(self._ranked(self.wish(wanted)))
        return choice

    def find(self, name: str) -> ModelInfo | None:
        """Return the model a name stands for: that of this very name, else one alike."""
        self._follow()
        if name not in self._models:
            found = self._index.exactly(name) or self._index.alike(name)
            self._models[name] = found[0].model if found else None
        return self._models[name]

    def matching(self, name: str) -> dict[Backend, list[ModelInfo]]:
        """Return every backend that holds a model *name* stands for, and those models."""
        self._follow()
        found: dict[Backend, list[ModelInfo]] = {}
        for held in (*self._index.exactly(name), *self._index.alike(name)):
            models = found.setdefault(held.backend, [])
            if held.model not in models:
                models.append(held.model)
        return found

    def speaks(self, backend: Backend, role: ModelRole) -> bool:
        """Say whether a backend's provider has the calls of a role, whatever its models are."""
        known = self._registry.of(backend)
        return known.embeds if role == "embed" else known.chats

    def forget(self) -> None:
        """Find everything anew."""
        self._version = -1

    def _follow(self) -> None:
        version = self._catalog.version
        if version != self._version:
            self._index.update(self._catalog.backends)
            self._registry.keep(self._catalog.backends)
            self._choices.clear()
            self._models.clear()
            self._version = version
        elif max(len(self._choices), len(self._models)) > _MOST_CACHED:
            self._choices.clear()
            self._models.clear()

    def _ranked(self, wish: Wish) -> Iterator[tuple[tuple[int, ...], Candidate]]:
        """Yield candidates, each with its rank: the smaller, the better; equal ranks are a tier."""
        if not wish.models:
            yield from self._unnamed(wish)
            return
        for position, name in enumerate(wish.models):
            # an exact name is taken at its word; a similar one must also have the capability
            exact = [(0, held) for held in self._index.exactly(name)]
            similar = [(1, held) for held in self._index.alike(name) if has(wish.role, held.model)]
            for likeness, held in (*exact, *similar):
                place = provider_place(wish, held.backend)
                if place is not None and self._can(held.backend, wish.role):
                    rank = (position, likeness, place, held.backend.config.priority, held.place)
                    yield rank, self._candidate(held.backend, held.model)

    def _unnamed(self, wish: Wish) -> Iterator[tuple[tuple[int, ...], Candidate]]:
        answering = [
            ((0, 0, provider, backend.config.priority, place), backend, model)
            for place, backend in enumerate(self._catalog.backends)
            if (provider := provider_place(wish, backend)) is not None
            and self._can(backend, wish.role)
            and (model := next((m for m in backend.models if has(wish.role, m)), None))
        ]
        serious = [one for one in answering if one[1].config.priority < LAST_RESORT]
        if not serious and not self._asked_for(wish.role):
            serious = answering
        for rank, backend, model in serious:
            yield rank, self._candidate(backend, model)

    def _asked_for(self, role: ModelRole) -> bool:
        """Whether an operator has named a backend for *role*, in whatever state it is."""
        return any(b.serves(role) and not b.config.implicit for b in self._catalog.backends)

    def _can(self, backend: Backend, role: ModelRole) -> bool:
        return backend.serves(role) and self.speaks(backend, role)

    def _candidate(self, backend: Backend, model: ModelInfo) -> Candidate:
        return Candidate(backend, model, self._registry.of(backend))


def has(role: ModelRole, model: ModelInfo) -> bool:
    """Say whether a model has the capability of a role."""
    if role == "chat":
        return model.can_chat
    return model.can_prompt if role == "task" else model.can_embed


def provider_place(wish: Wish, backend: Backend) -> int | None:
    """Return the place of a backend's provider, or its own name, among the wanted, if any."""
    if not wish.providers:
        return 0
    kinds = (backend.config.type.casefold(), backend.config.name.casefold())
    return next((n for n, name in enumerate(wish.providers) if name in kinds), None)


def _choice(ranked: Iterable[tuple[tuple[int, ...], Candidate]]) -> Choice:
    best: dict[tuple[str, str], tuple[tuple[int, ...], Candidate]] = {}
    for rank, candidate in ranked:
        key = (candidate.backend_id, candidate.model.name)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, candidate)
    tiers: dict[tuple[int, ...], list[Candidate]] = {}
    for rank, candidate in sorted(best.values(), key=lambda one: one[0]):
        tiers.setdefault(rank[:-1], []).append(candidate)
    lengths = (c.model.context_length or 0 for tier in tiers.values() for c in tier)
    return Choice(
        tuple(map(tuple, tiers.values())), min((length for length in lengths if length), default=0)
    )
