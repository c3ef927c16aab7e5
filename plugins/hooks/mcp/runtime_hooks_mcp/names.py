"""Names of tools that fit: 1 to 64 of the characters ``A-Z a-z 0-9 _ -``, each only once."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("MAX_NAME", "fitted", "name_of")

MAX_NAME = 64
_FITS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def name_of(name: str) -> str:
    """Return *name* if it fits, else one that nothing else becomes."""
    return name if _FITS.fullmatch(name) else _distinct(name)


def fitted(names: Iterable[str]) -> dict[str, str]:
    """Return, by names that fit, the names they stand for; a name given twice counts once.

    A name that fits stays as it is; other characters become ``_``, and where that is too long, or
    taken, its end is made of a digest, so that it is the same at every listing.
    """
    given = list(dict.fromkeys(names))
    found = {name: name for name in given if _FITS.fullmatch(name)}
    for name in given:
        if name in found:
            continue
        plain = _OTHER.sub("_", name)
        fits = 0 < len(plain) <= MAX_NAME and plain not in found
        found[plain if fits else _distinct(name)] = name
    return found


def _distinct(name: str) -> str:
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{_OTHER.sub('_', name)[: MAX_NAME - 11]}_{digest}"
