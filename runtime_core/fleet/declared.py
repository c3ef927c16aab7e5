"""From what operators declare to the backends there must be, and what is known of models."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from runtime_core.fleet.backend import LATEST
from runtime_core.types import BUILTIN_GROUPS, BackendConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from runtime_core.types import Declarations, DeclaredModel, ModelInfo, StoredBackend

__all__ = ("Descriptions", "Desired", "desired", "rfc3339", "settled")


class Desired(NamedTuple):
    """A backend that there must be; ``stored`` is None for one from the settings."""

    config: BackendConfig
    groups: frozenset[str]
    wanted: tuple[str, ...]
    stored: StoredBackend | None = None


def desired(
    static: Iterable[BackendConfig],
    declarations: Declarations,
    type_of: Callable[[str], str],
) -> list[Desired]:
    """Return the backends that serve: those of the settings, and the stored ones in a group.

    A backend nobody asked for (``implicit``) makes way for a stored one of its type and address.
    Backends without a key of their own use the one that is stored for their type.

    :param type_of: returns the registered name of a provider.
    """
    keys = {type_of(one.type): one.api_key for one in declarations.providers}
    groups = _members(declarations.backend_groups)
    models = _models_of_groups(declarations)
    stored = [
        Desired(_config(one, type_of), groups[one.id], _wanted(models, groups[one.id]), one)
        for one in sorted(declarations.backends, key=lambda one: (one.created_at, one.id))
        if one.id in groups
    ]
    taken = {(one.config.type, _place(one.config.base_url)) for one in stored}
    builtin = frozenset(BUILTIN_GROUPS)
    found = [
        Desired(config, builtin, _wanted(models, builtin))
        for config in static
        if not (config.implicit and (config.type, _place(config.base_url)) in taken)
    ]
    return [_with_key(one, keys) for one in (*found, *stored)]


def _config(stored: StoredBackend, type_of: Callable[[str], str]) -> BackendConfig:
    return BackendConfig(
        id=stored.id, name=stored.name, type=type_of(stored.type), base_url=stored.base_url
    )


def _place(base_url: str) -> str:
    """Return what two addresses of the same place have in common."""
    return base_url.rstrip("/").lower().replace("://localhost", "://127.0.0.1")


def _with_key(one: Desired, keys: Mapping[str, str]) -> Desired:
    key = None if one.config.api_key else keys.get(one.config.type)
    return one._replace(config=replace(one.config, api_key=key)) if key else one


def _members(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return the groups of each member."""
    found: dict[str, set[str]] = {}
    for group, member in pairs:
        found.setdefault(member, set()).add(group)
    return {member: frozenset(groups) for member, groups in found.items()}


def _models_of_groups(declarations: Declarations) -> dict[str, set[str]]:
    names = {model.id: model.model for model in declarations.models}
    found: dict[str, set[str]] = {}
    for group, model_id in declarations.model_groups:
        if model_id in names:
            found.setdefault(group, set()).add(names[model_id])
    return found


def _wanted(models: Mapping[str, set[str]], groups: frozenset[str]) -> tuple[str, ...]:
    none: set[str] = set()
    return tuple(sorted(none.union(*(models.get(group, none) for group in groups))))


class Descriptions:
    """What is declared of models; it wins over what backends say of them.

    What the settings say of the models they name is only what they are used for, so there a
    listing may know more: capabilities are joined.  All else is as it was declared.

    :param settings: what the settings say, by name.
    """

    def __init__(self, settings: Mapping[str, ModelInfo]) -> None:
        self._settings = settings
        self._models: dict[str, DeclaredModel] = {}

    def learn(self, models: Iterable[DeclaredModel]) -> bool:
        """Take these as the models that are stored; say whether that is news."""
        before, self._models = self._models, {model.model: model for model in models}
        return before != self._models

    def of_all(
        self, listed: Sequence[ModelInfo], before: tuple[ModelInfo, ...]
    ) -> tuple[ModelInfo, ...]:
        """Return *listed* with what is declared; *before* itself where that says the same."""
        return settled(before, tuple(map(self.of, listed)))

    def follow(
        self,
        listed: Sequence[ModelInfo],
        before: Sequence[ModelInfo],
        described: Sequence[ModelInfo],
    ) -> tuple[ModelInfo, ...]:
        """Return *listed* with what is declared, worked out for new objects only.

        :param before: what was listed before.
        :param described: the same with what is declared, which has not changed since.
        """
        if len(listed) != len(before):
            return tuple(map(self.of, listed))
        places = zip(listed, before, described, strict=True)
        return tuple([said if one is old else self.of(one) for one, old, said in places])

    def of(self, model: ModelInfo) -> ModelInfo:
        """Return a listed model with what is declared of it."""
        short = model.name.removesuffix(LATEST)
        said = self._settings.get(model.name) or self._settings.get(short)
        declared = self._models.get(model.name) or self._models.get(short)
        if said is not None:
            model = _joined(model, said)
        elif declared is not None:
            model = replace(
                model,
                can_chat=declared.can_chat,
                can_embed=declared.can_embed,
                can_prompt=declared.can_prompt,
                can_stream=declared.can_stream,
            )
        if declared is not None and declared.context_length > 0:
            model = replace(model, context_length=declared.context_length)
        return model


def _joined(model: ModelInfo, said: ModelInfo) -> ModelInfo:
    return replace(
        model,
        context_length=said.context_length or model.context_length,
        can_chat=model.can_chat or said.can_chat,
        can_prompt=model.can_prompt or said.can_prompt,
        can_embed=model.can_embed or said.can_embed,
    )


def settled(before: tuple[ModelInfo, ...], found: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...]:
    """Return *found* made of the objects of *before* wherever those say the same.

    What says the same as a whole is *before* itself.  So a large fleet keeps the objects it has,
    where those of a listing die young, and nothing is worked out again for a model as it was.
    """
    if found == before:
        return before
    known = {model.name: model for model in before}
    return tuple([old if (old := known.get(one.name)) == one else one for one in found])


def rfc3339(moment: datetime) -> str:
    """Write a time in UTC, to the microsecond."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
