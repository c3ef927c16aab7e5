"""Names that clients choose, checked before they reach a database."""

from __future__ import annotations

from runtime_core.errors import InvalidRequest, Unprocessable

__all__ = ("MAX_VALUE_LENGTH", "can_be_stored", "require_name", "require_value", "shortened")

MAX_LENGTH = 255

#: Characters of a value that operators declare.
MAX_VALUE_LENGTH = 512


def can_be_stored(name: str) -> bool:
    """Tell whether every database can hold *name*: no NUL, no half of a surrogate pair."""
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)


def require_name(name: str, what: str, *, param: str) -> None:
    """Raise `Unprocessable` unless *name* can name *what* is stored."""
    if len(name) > MAX_LENGTH:
        raise Unprocessable(
            f"{param} of the {what} has {len(name)} characters, at most {MAX_LENGTH} are allowed",
            param=param,
        )
    _require_storable(name, what, param)


def require_value(
    value: str, what: str, *, param: str, limit: int = MAX_VALUE_LENGTH, empty: bool = False
) -> None:
    """Raise unless *value* can be the field *param* of *what*.

    :param empty: whether it may be empty.
    :raises InvalidRequest: it is longer than *limit* characters.
    :raises Unprocessable: it is empty, or holds what cannot be stored.
    """
    if len(value) > limit:
        raise InvalidRequest(
            f"{param} of the {what} has {len(value)} characters, at most {limit} are allowed",
            param=param,
        )
    if value or not empty:
        _require_storable(value, what, param)


def shortened(value: str) -> str:
    """Return *value* fit for a message, however long it is."""
    return value if len(value) <= MAX_VALUE_LENGTH else f"{value[:MAX_VALUE_LENGTH]}…"


def _require_storable(value: str, what: str, param: str) -> None:
    if not value:
        raise Unprocessable(f"the {what} needs a non-empty {param}", param=param)
    if not can_be_stored(value):
        raise Unprocessable(
            f"{param} of the {what} holds a character that cannot be stored "
            "(NUL, or half of a surrogate pair)",
            param=param,
        )
