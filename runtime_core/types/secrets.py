"""Named secrets, without their values."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

__all__ = ("SecretInfo",)


class SecretInfo(Struct, frozen=True, kw_only=True):
    """What can be told of a secret; its value is only ever put into outgoing calls."""

    name: str
    created_at: datetime
    updated_at: datetime
