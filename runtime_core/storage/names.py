"""Names that clients choose, checked before they reach a database."""

from __future__ import annotations

from runtime_core.errors import Unprocessable

__all__ = ("can_be_stored", "require_name")

MAX_LENGTH = 255


def can_be_stored(name: str) -> bool:
    """Tell whether every database can hold *name*: no NUL, no half of a surrogate pair."""
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)


def require_name(name: str, what: str, *, param: str) -> None:
    """Raise `Unprocessable` unless *name* can name *what* is stored."""
    if not name:
        raise Unprocessable(f"the {what} needs a non-empty {param}", param=param)
    if len(name) > MAX_LENGTH:
        raise Unprocessable(
            f"{param} of the {what} has {len(name)} characters, at most {MAX_LENGTH} are allowed",
            param=param,
        )
    if not can_be_stored(name):
        raise Unprocessable(
            f"{param} of the {what} holds a character that cannot be stored "
            "(NUL, or half of a surrogate pair)",
            param=param,
        )
