"""Named secrets: stored, and put into the texts of outgoing calls."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, select

from runtime_core.errors import NotFound, RuntimeCoreError, TaskFailed, Unprocessable
from runtime_core.storage.tables import SecretRow
from runtime_core.tables import (
    SharedCache,
    can_be_stored,
    newest_first,
    page_of,
    page_parameters,
    table_of,
)
from runtime_core.tables.names import shortened
from runtime_core.types import SecretInfo

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from runtime_core.protocols import Bus
    from runtime_core.storage.cipher import Cipher
    from runtime_core.storage.database import Database
    from runtime_core.tables.pagination import AnyRow
    from runtime_core.types import Page

__all__ = ("SecretVault", "Secrets")

#: Bytes of a value.
MAX_VALUE = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_NAME_RULE = "1 to 128 of the characters A-Z a-z 0-9 _ . -"
_REFERENCE = re.compile(r"\{\{\s*secret\s*:([^{}]*)\}\}")


class Secrets:
    """The rows of secrets; values are sealed by *cipher*."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._prepare()

    async def put(self, tenant_id: str, name: str, value: str) -> SecretInfo:
        """Create or replace; the creation time of a replaced secret is kept.

        :raises Unprocessable: the name or the value cannot be a secret's.
        """
        _require_name(name)
        _require_value(value)
        parameters = {
            "tenant": tenant_id,
            "name": name,
            "sealed": self._cipher.seal(value, *_place(tenant_id, name)),
            "now": datetime.now(UTC),
        }
        rows = await self._database.write(self._upsert, parameters)
        return _info(rows[0])

    async def get(self, tenant_id: str, name: str) -> SecretInfo:
        """Return what can be told of a secret, or raise `NotFound`."""
        return _info(await self._row(tenant_id, name))

    async def value(self, tenant_id: str, name: str) -> str:
        """Return a secret's value, or raise `NotFound`.

        :raises RuntimeCoreError: it cannot be read; says what to do.
        """
        row = await self._row(tenant_id, name)
        try:
            return self._cipher.open(row.value, *_place(tenant_id, name))
        except RuntimeCoreError as error:
            raise RuntimeCoreError(
                f"the secret {name!r} cannot be read: {error}; or store it again"
            ) from error

    async def delete(self, tenant_id: str, name: str) -> None:
        """Delete, or raise `NotFound`."""
        if not await self._database.write(self._delete, _key(tenant_id, name)):
            raise _not_found(name)

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretInfo]:
        """List newest first."""
        parameters = page_parameters(tenant_id, limit, cursor)
        return page_of(await self._database.read(self._list, parameters), limit, _info)

    async def _row(self, tenant_id: str, name: str) -> AnyRow:
        rows = await self._database.read(self._select, _key(tenant_id, name))
        if not rows:
            raise _not_found(name)
        return rows[0]

    def _prepare(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        table = table_of(SecretRow)
        secrets = table.c
        now = bindparam("now", type_=secrets.created_at.type)
        key = (secrets.tenant_id == bindparam("tenant"), secrets.id == bindparam("name"))
        shown = (secrets.id, secrets.created_at, secrets.updated_at)
        insert = self._database.insert(table).values(
            tenant_id=bindparam("tenant"),
            id=bindparam("name"),
            value=bindparam("sealed"),
            created_at=now,
            updated_at=now,
        )
        self._upsert = insert.on_conflict_do_update(
            index_elements=[secrets.tenant_id, secrets.id],
            set_={
                "value": insert.excluded.value,
                # a clock that was set back must not make a row older than its creation
                "updated_at": case((now > secrets.created_at, now), else_=secrets.created_at),
            },
        ).returning(*shown)
        self._select = select(*shown, secrets.value).where(*key)
        self._delete = delete(table).where(*key).returning(secrets.id)
        self._list = newest_first(table, *shown)


class SecretVault:
    """Implements `runtime_core.protocols.SecretStore`; use as a context manager.

    Keeps in clear what calls needed lately.
    """

    def __init__(self, secrets: Secrets, bus: Bus, **options: Any) -> None:
        self._secrets = secrets
        self._values = SharedCache(secrets.value, bus, "secrets.changed", what="secret", **options)

    async def __aenter__(self) -> Self:
        await self._values.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._values.__aexit__(kind, error, trace)

    async def put(self, tenant_id: str, name: str, value: str) -> SecretInfo:
        """Create or replace; the creation time of a replaced secret is kept."""
        work = self._secrets.put(tenant_id, name, value)
        return await self._values.write(tenant_id, name, work)

    async def get(self, tenant_id: str, name: str) -> SecretInfo:
        """Return what can be told of a secret, or raise `NotFound`."""
        return await self._secrets.get(tenant_id, name)

    async def delete(self, tenant_id: str, name: str) -> None:
        """Delete, or raise `NotFound`."""
        await self._values.write(tenant_id, name, self._secrets.delete(tenant_id, name))

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretInfo]:
        """List newest first, straight from the store."""
        return await self._secrets.list(tenant_id, limit=limit, cursor=cursor)

    async def reveal(self, tenant_id: str, text: str) -> str:
        """Return *text* with every ``{{secret:NAME}}`` replaced by the secret's value.

        A value is never looked at for further references.

        :raises TaskFailed: there is no secret of that name; the message names it.
        """
        if "{{" not in text:
            return text
        values: dict[str, str] = {}
        for reference in _REFERENCE.findall(text):
            if reference not in values:
                values[reference] = await self._value(tenant_id, reference.strip())
        return _REFERENCE.sub(lambda match: values[match[1]], text) if values else text

    async def _value(self, tenant_id: str, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise TaskFailed(
                f"{{{{secret:{shortened(name)}}}}} names no secret: names are {_NAME_RULE}"
            )
        try:
            return await self._values.get(tenant_id, name)
        except NotFound as error:
            raise TaskFailed(
                f"there is no secret {name!r}: create it with `runtime secret set {name}`, or "
                f"PUT /secrets/{name}"
            ) from error


def _info(row: AnyRow) -> SecretInfo:
    return SecretInfo(name=row.id, created_at=row.created_at, updated_at=row.updated_at)


def _place(tenant_id: str, name: str) -> tuple[str, ...]:
    return "secrets", tenant_id, name


def _key(tenant_id: str, name: str) -> dict[str, object]:
    if not _NAME.fullmatch(name):
        raise _not_found(name)
    return {"tenant": tenant_id, "name": name}


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Unprocessable(
            f"name: {shortened(name)!r} cannot name a secret; names are {_NAME_RULE}", param="name"
        )


def _require_value(value: str) -> None:
    """Raise, without the value, unless it can be stored."""
    if not value:
        raise Unprocessable("value: a secret needs a non-empty value", param="value")
    if not can_be_stored(value):
        raise Unprocessable(
            "value: holds a character that cannot be stored (NUL, or half of a surrogate pair)",
            param="value",
        )
    if (size := len(value.encode())) > MAX_VALUE:
        raise Unprocessable(
            f"value: has {size} bytes, at most {MAX_VALUE} are allowed", param="value"
        )


def _not_found(name: str) -> NotFound:
    return NotFound(f"secret {shortened(name)!r} not found")
