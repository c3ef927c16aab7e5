"""What is wrong with a setting, in its user's words: name, what was given, what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

__all__ = ("Allowed", "explain", "masked_url", "suggest")

_SECRET_NAME = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"^([^:/@]+://)?+([^:/@]*:).*@")
_URL_TOKEN = re.compile(r"^([^:/@]+://)[^:/@]+@(?:.*@)?")
_QUERY_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Allowed:
    """Annotates a field with the words for what it takes."""

    text: str


def explain(
    error: ValidationError, model: type[BaseModel], name: Callable[[Sequence[str | int]], str]
) -> list[str]:
    """Return one line for each wrong value; secrets are masked.

    :param name: turns the way to a value into the name its user wrote.
    """
    return [_line(one, model, name(one["loc"])) for one in error.errors(include_url=False)]


def suggest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return ``; did you mean x?`` for the known word closest to *word*, "" without one."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.75)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def masked_url(url: str) -> str:
    """Return *url* with ``***`` in its password's place; a name without one may be a token."""
    masked = _URL_PASSWORD.sub(r"\1\2***@", _URL_TOKEN.sub(r"\1***@", url))
    return _QUERY_PASSWORD.sub(r"\1***", masked)


def _line(one: ErrorDetails, model: type[BaseModel], name: str) -> str:
    owner, field = _find(model, one["loc"])
    if one["type"] == "extra_forbidden":
        return f"{name}: is not a setting{suggest(str(one['loc'][-1]), owner.model_fields)}"
    if one["type"] == "missing":
        return f"{name}: is missing"
    given = _shown(one["input"], secret=_is_secret(one["loc"], field))
    return f"{name}: {given} was given; allowed: {_allowed(one, field)}"


def _find(
    model: type[BaseModel], loc: Sequence[str | int]
) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the innermost model on the way to a value, and the value's field."""
    field = None
    for part in loc:
        if isinstance(part, str):
            inner = _model_in(field.annotation) if field else model
            if inner is None:
                return model, None
            model, field = inner, inner.model_fields.get(part)
    return model, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field's type is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def _is_secret(loc: Sequence[str | int], field: FieldInfo | None) -> bool:
    typed = field is not None and SecretStr in (field.annotation, *get_args(field.annotation))
    return typed or any(isinstance(part, str) and _SECRET_NAME.search(part) for part in loc)


def _shown(value: object, *, secret: bool) -> str:
    if secret:
        return "a secret (***)"
    if isinstance(value, dict | list | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    text = repr(masked_url(value) if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _allowed(one: ErrorDetails, field: FieldInfo | None) -> str:
    for note in field.metadata if field else ():
        if isinstance(note, Allowed):
            return note.text
    text = one["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return text.partition(", unable to parse")[0]
