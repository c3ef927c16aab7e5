"""What a server declares by itself when it starts: the built-in groups, the settings' models."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from runtime_core.errors import Conflict, NotFound
from runtime_core.fleet.backend import ROLE_GROUPS
from runtime_core.types import DeclaredModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime_core.protocols import GroupStore, ModelStore
    from runtime_core.types import ModelRole

__all__ = ("StartupModel", "declare", "model_id")

_log = logging.getLogger("runtime.fleet")

_CAPABILITIES: dict[ModelRole, str] = {
    "chat": "can_chat",
    "task": "can_prompt",
    "embed": "can_embed",
}


class StartupModel(NamedTuple):
    """The model that the settings name for a role; ``context_length`` in tokens."""

    role: ModelRole
    model: str
    context_length: int | None


def model_id(tenancy: uuid.UUID, name: str) -> str:
    """Return the id of a model that the settings name: the same in every server."""
    return str(uuid.uuid5(tenancy, name))


async def declare(
    tenant_id: str,
    wanted: Iterable[StartupModel],
    *,
    models: ModelStore,
    groups: GroupStore,
    tenancy: uuid.UUID,
) -> None:
    """Create the groups and models that are missing; may run in several servers at once.

    A model is in the group of each role it is named for, and has the capability of each.  Where
    the stored context length differs, the settings win.  A model whose context length the settings
    do not say is not stored: nobody knows it yet, and a guess would be taken at its word.
    """
    await groups.ensure_builtin(tenant_id)
    for name, rows in _by_name(wanted).items():
        lengths = {row.context_length for row in rows if row.context_length}
        if not lengths:
            continue
        if len(lengths) > 1:
            _log.warning(
                "the settings give model %r several context lengths: %s; the shortest counts",
                name,
                ", ".join(map(str, sorted(lengths))),
            )
        capabilities = {_CAPABILITIES[row.role]: True for row in rows}
        now = datetime.now(UTC)
        model = DeclaredModel(
            id=model_id(tenancy, name),
            model=name,
            context_length=min(lengths),
            created_at=now,
            updated_at=now,
        )
        stored = await _ensure(tenant_id, replace(model, **capabilities), models, capabilities)
        for row in rows:
            # it is there already, or somebody deletes it at this very moment
            with suppress(Conflict):
                await groups.assign_model(tenant_id, ROLE_GROUPS[row.role], stored.id)


def _by_name(wanted: Iterable[StartupModel]) -> dict[str, list[StartupModel]]:
    found: dict[str, list[StartupModel]] = {}
    for row in wanted:
        if row.model:
            found.setdefault(row.model, []).append(row)
    return found


async def _ensure(
    tenant_id: str, model: DeclaredModel, models: ModelStore, capabilities: dict[str, bool]
) -> DeclaredModel:
    try:
        stored = await models.get_by_name(tenant_id, model.model)
    except NotFound:
        try:
            return await models.create(tenant_id, model)
        except Conflict:
            # another server was faster
            stored = await models.get_by_name(tenant_id, model.model)
    if stored.context_length != model.context_length:
        _log.warning(
            "model %r is stored with a context length of %d tokens, the settings say %d; "
            "the settings win",
            stored.model,
            stored.context_length,
            model.context_length,
        )
    meant = replace(stored, context_length=model.context_length, **capabilities)
    return stored if meant == stored else await models.update(tenant_id, meant)
