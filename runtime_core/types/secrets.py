"""Named secrets, without their values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote, quote_plus

from msgspec import Struct

__all__ = ("SecretInfo", "redacted", "spellings")


class SecretInfo(Struct, frozen=True, kw_only=True):
    """What can be told of a secret; its value is only ever put into outgoing calls."""

    name: str
    created_at: datetime
    updated_at: datetime


def redacted(text: str, values: Iterable[str]) -> str:
    """Return *text* with each of *values* masked, also as JSON and URLs write them.

    For what a service says of a call that was made with secrets: it may repeat them.
    """
    for form in spellings(values):
        text = text.replace(form, "***")
    return text


def spellings(values: Iterable[str]) -> tuple[str, ...]:
    """Return each of *values* also as JSON and URLs write it, the longest first."""
    return tuple(
        sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
    )


def _forms(value: str) -> Iterable[str]:
    if not value:
        return ()
    plain, escaped = (json.dumps(value, ensure_ascii=ascii)[1:-1] for ascii in (False, True))
    encoded = value.encode("utf-8", "replace")
    return value, plain, escaped, quote(encoded, safe=""), quote(encoded), quote_plus(encoded)
