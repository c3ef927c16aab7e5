"""Secrets that nobody may see."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from runtime_core.errors import NotFound, TaskFailed
from runtime_core.types import Page, SecretInfo, spellings

__all__ = ("SECRET", "SuiteSecrets")

#: The value of ``{{secret:suite}}``; not of a shape that betrays a key.
SECRET = 'conformance "7d1f/+0c4e'

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_REFERENCE = re.compile(r"\{\{\s*secret\s*:([^{}]*)\}\}")


class SuiteSecrets:
    """A `SecretStore` of one tenant, which keeps what it was asked to reveal."""

    def __init__(self) -> None:
        self.values = {"suite": SECRET, "of-others": SECRET[::-1]}
        self.asked: list[str] = []

    async def put(self, tenant_id: str, name: str, value: str) -> SecretInfo:
        """Create or replace."""
        self.values[name] = value
        return await self.get(tenant_id, name)

    async def get(self, tenant_id: str, name: str) -> SecretInfo:
        """Return what can be told of a secret, or raise `NotFound`."""
        if name not in self.values:
            raise NotFound(f"secret {name!r} not found")
        return SecretInfo(name=name, created_at=_LONG_AGO, updated_at=_LONG_AGO)

    async def delete(self, tenant_id: str, name: str) -> None:
        """Delete, or raise `NotFound`."""
        await self.get(tenant_id, name)
        del self.values[name]

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretInfo]:
        """List them all."""
        return Page([await self.get(tenant_id, name) for name in self.values], None)

    async def reveal(self, tenant_id: str, text: str) -> str:
        """Return *text* with every ``{{secret:NAME}}`` replaced."""
        return _REFERENCE.sub(lambda found: self._value(found[1].strip()), text)

    def hides(self, text: str) -> bool:
        """Whether none of the values is in *text*, however it is written."""
        return not any(form in text for form in spellings(self.values.values()))

    def _value(self, name: str) -> str:
        self.asked.append(name)
        if name not in self.values:
            raise TaskFailed(f"there is no secret {name!r}")
        return self.values[name]
