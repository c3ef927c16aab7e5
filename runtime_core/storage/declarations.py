"""Everything a tenant declared, read in one statement: a picture of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, false, literal_column, null, select, union_all

from runtime_core.storage.tables import (
    BackendRow,
    GroupBackendRow,
    GroupModelRow,
    GroupRow,
    ModelRow,
    ProviderConfigRow,
)
from runtime_core.tables import table_of
from runtime_core.types import Declarations, DeclaredModel, Group, StoredBackend

if TYPE_CHECKING:
    import builtins

    from sqlalchemy import ColumnElement, CompoundSelect, Select

    from runtime_core.storage.database import Database
    from runtime_core.storage.provider_configs import ProviderConfigs
    from runtime_core.storage.tables import Row
    from runtime_core.tables.pagination import AnyRow

__all__ = ("DeclarationReader",)

_BACKEND, _MODEL, _GROUP, _PROVIDER, _GROUP_BACKEND, _GROUP_MODEL = range(6)

_FLAGS = ("can_chat", "can_embed", "can_prompt", "can_stream")


class DeclarationReader:
    """Implements `runtime_core.protocols.DeclarationReader`.

    Keys that cannot be read are left out, and logged.
    """

    def __init__(self, database: Database, configs: ProviderConfigs) -> None:
        self._database = database
        self._configs = configs
        self._everything = _everything()

    async def read(self, tenant_id: str) -> Declarations:
        """Return a consistent picture, each kind oldest first."""
        rows = await self._database.read(self._everything, {"tenant": tenant_id})
        kinds: tuple[list[AnyRow], ...] = ([], [], [], [], [], [])
        for row in rows:
            kinds[row.kind].append(row)
        for found in kinds[:_GROUP_BACKEND]:
            found.sort(key=lambda row: (row.created_at, row.id))
        configs = (self._configs.readable(tenant_id, row) for row in kinds[_PROVIDER])
        return Declarations(
            backends=tuple(map(_backend, kinds[_BACKEND])),
            models=tuple(map(_model, kinds[_MODEL])),
            groups=tuple(map(_group, kinds[_GROUP])),
            providers=tuple(config for config in configs if config is not None),
            backend_groups=frozenset((row.id, row.name) for row in kinds[_GROUP_BACKEND]),
            model_groups=frozenset((row.id, row.name) for row in kinds[_GROUP_MODEL]),
        )


def _everything() -> CompoundSelect[Any]:
    """Select the rows of every kind in columns that fit them all."""
    # the first one gives the columns their types
    return union_all(
        _part(_MODEL, ModelRow, name="model", context_length="context_length", flags=True),
        _part(_BACKEND, BackendRow, name="name", base_url="base_url", type="type"),
        _part(_GROUP, GroupRow, name="name", type="purpose_type"),
        _part(_PROVIDER, ProviderConfigRow, api_key="api_key"),
        _part(_GROUP_BACKEND, GroupBackendRow, id="group_id", name="backend_id", times=False),
        _part(_GROUP_MODEL, GroupModelRow, id="group_id", name="model_id", times=False),
    )


def _part(
    kind: int,
    row: builtins.type[Row],
    *,
    id: str = "id",
    name: str = "",
    base_url: str = "",
    type: str = "",
    api_key: str = "",
    context_length: str = "",
    flags: bool = False,
    times: bool = True,
) -> Select[Any]:
    """Select one kind of rows; the arguments are columns, "" for none."""
    table = table_of(row)

    def text(column: str) -> ColumnElement[Any]:
        return table.c[column] if column else literal_column("''")

    shown = {
        "kind": literal_column(str(kind)),
        "id": text(id),
        "name": text(name),
        "base_url": text(base_url),
        "type": text(type),
        "api_key": text(api_key),
        "context_length": table.c[context_length] if context_length else literal_column("0"),
        **{flag: table.c[flag] if flags else false() for flag in _FLAGS},
        "created_at": table.c.created_at if times else null(),
        "updated_at": table.c.updated_at if times else null(),
    }
    columns = (column.label(label) for label, column in shown.items())
    return select(*columns).where(table.c.tenant_id == bindparam("tenant"))


def _backend(row: AnyRow) -> StoredBackend:
    return StoredBackend(
        id=row.id,
        name=row.name,
        base_url=row.base_url,
        type=row.type,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _model(row: AnyRow) -> DeclaredModel:
    return DeclaredModel(
        id=row.id,
        model=row.name,
        context_length=row.context_length,
        can_chat=row.can_chat,
        can_embed=row.can_embed,
        can_prompt=row.can_prompt,
        can_stream=row.can_stream,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _group(row: AnyRow) -> Group:
    return Group(
        id=row.id,
        name=row.name,
        purpose_type=row.type,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
