"""Times on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ("rfc3339",)


def rfc3339(moment: datetime) -> str:
    """Return RFC 3339 in UTC, always with microseconds: as text, times compare as times do."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
