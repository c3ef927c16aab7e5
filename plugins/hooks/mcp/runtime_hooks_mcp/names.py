"""Names of tools that fit: 1 to 64 of the characters ``A-Z a-z 0-9 _ -``, each only once."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("MAX_NAME", "fits", "fitted", "name_of")

MAX_NAME = 64
_FITS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def fits(name: str) -> bool:
    """Tell whether *name* can be the name of a tool."""
    return _FITS.fullmatch(name) is not None


def name_of(name: str) -> str:
    """Return *name* if it fits, else one that nothing else becomes."""
    return name if fits(name) else _distinct(name)


def fitted(names: Iterable[str]) -> dict[str, str]:
    """Return, by names that fit, the names they stand for; a name given twice counts once.

    A name that fits stays as it is.  In others ``_`` takes the place of what does not fit; where
    that is too long, or what another becomes too, the end is made of a digest.  The order of the
    names makes no difference.
    """
    given = list(dict.fromkeys(names))
    plain = {name: _OTHER.sub("_", name) for name in given}
    wanted = Counter(plain.values())
    found: dict[str, str] = {}
    for name in given:
        stays = fits(name)
        becomes = wanted[plain[name]] == 1 and 0 < len(name) <= MAX_NAME
        found[plain[name] if stays or becomes else _distinct(name)] = name
    return found


def _distinct(name: str) -> str:
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{_OTHER.sub('_', name)[: MAX_NAME - 11]}_{digest}"
