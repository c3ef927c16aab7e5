"""Who holds a model, without looking at the whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime_core.fleet.names import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime_core.fleet.backend import Backend
    from runtime_core.types import ModelInfo

__all__ = ("Held", "ModelIndex")


class Held(NamedTuple):
    """A model on a backend; ``place`` is the backend's in the operator's order."""

    place: int
    backend: Backend
    model: ModelInfo


class ModelIndex:
    """The fleet's models by name and by normalised name; follows what changed, and only that."""

    def __init__(self) -> None:
        self._backends: Sequence[Backend] = ()
        self._seen: dict[Backend, Sequence[ModelInfo]] = {}
        self._places: dict[Backend, int] = {}
        self._by_name: dict[str, dict[Backend, list[ModelInfo]]] = {}
        self._by_meaning: dict[str, dict[Backend, list[ModelInfo]]] = {}

    def update(self, backends: Sequence[Backend]) -> None:
        """Take in what *backends* hold now; those that are not among them are forgotten.

        The same object as last time says that they are the same backends in the same order.
        """
        if backends is not self._backends:
            self._backends = backends
            self._places = {backend: place for place, backend in enumerate(backends)}
            for backend in [known for known in self._seen if known not in self._places]:
                self._forget(backend)
        for backend in backends:
            if self._seen.get(backend) is not backend.models:
                self._forget(backend)
                self._learn(backend)

    def exactly(self, name: str) -> list[Held]:
        """Return who holds a model of this very name, in the operator's order."""
        return self._sorted(self._by_name.get(name))

    def alike(self, name: str) -> list[Held]:
        """Return who holds a model that *name* stands for, in the operator's order."""
        meaning = normalised(name)
        return self._sorted(self._by_meaning.get(meaning)) if meaning else []

    def _sorted(self, holders: dict[Backend, list[ModelInfo]] | None) -> list[Held]:
        if not holders:
            return []
        held = [
            Held(self._places[backend], backend, model)
            for backend, models in holders.items()
            for model in models
        ]
        held.sort(key=lambda one: one.place)
        return held

    def _learn(self, backend: Backend) -> None:
        self._seen[backend] = backend.models
        for keys, model in _keys(backend.models):
            for table, key in zip((self._by_name, self._by_meaning), keys, strict=True):
                table.setdefault(key, {}).setdefault(backend, []).append(model)

    def _forget(self, backend: Backend) -> None:
        for keys, _ in _keys(self._seen.pop(backend, ())):
            for table, key in zip((self._by_name, self._by_meaning), keys, strict=True):
                holders = table.get(key)
                if holders is None:
                    continue
                holders.pop(backend, None)
                if not holders:
                    del table[key]


def _keys(models: Sequence[ModelInfo]) -> Iterator[tuple[tuple[str, str], ModelInfo]]:
    for model in models:
        yield (model.name, normalised(model.name)), model
