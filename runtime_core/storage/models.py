"""Declared models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from runtime_core.errors import InvalidRequest, Unprocessable
from runtime_core.storage.tables import ModelRow
from runtime_core.tables.names import require_value
from runtime_core.tables.rows import Rows
from runtime_core.types import DeclaredModel

if TYPE_CHECKING:
    from runtime_core.storage.database import Database
    from runtime_core.types import Page

__all__ = ("Models",)

MAX_CONTEXT_LENGTH = 2**31 - 1


class Models:
    """Implements `runtime_core.protocols.ModelStore`."""

    def __init__(self, database: Database) -> None:
        self.rows = Rows(database, ModelRow, DeclaredModel, what="model", once={"model": "model"})

    async def create(self, tenant_id: str, model: DeclaredModel) -> DeclaredModel:
        """Store a new model under ``model.id``; its times are replaced by now."""
        values = _values(model)
        require_value(model.id, "model", param="id")
        return await self.rows.create(tenant_id, {**values, "id": model.id})

    async def get(self, tenant_id: str, model_id: str) -> DeclaredModel:
        """Return the model of an id or raise `NotFound`."""
        return await self.rows.get(tenant_id, model_id)

    async def get_by_name(self, tenant_id: str, name: str) -> DeclaredModel:
        """Return the model of a name or raise `NotFound`."""
        return await self.rows.get(tenant_id, name, column="model")

    async def update(self, tenant_id: str, model: DeclaredModel) -> DeclaredModel:
        """Replace all but the creation time, or raise `NotFound`."""
        return await self.rows.update(tenant_id, model.id, _values(model))

    async def delete_by_name(self, tenant_id: str, name: str) -> None:
        """Delete with its assignments, or raise `NotFound`."""
        await self.rows.delete(tenant_id, name, column="model")

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[DeclaredModel]:
        """List newest first."""
        return await self.rows.list(tenant_id, limit=limit, cursor=cursor)


def _values(model: DeclaredModel) -> dict[str, object]:
    require_value(model.model, "model", param="model")
    if model.context_length > MAX_CONTEXT_LENGTH:
        raise InvalidRequest(
            f"contextLength is {model.context_length}, at most {MAX_CONTEXT_LENGTH} is allowed",
            param="contextLength",
        )
    if model.context_length < 0:
        raise Unprocessable(
            f"contextLength is a number of tokens, not {model.context_length}",
            param="contextLength",
        )
    values = msgspec.structs.asdict(model)
    return {name: values[name] for name in values.keys() - {"id", "created_at", "updated_at"}}
