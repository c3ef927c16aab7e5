"""Vectors from hashes: the same text has the same vector everywhere, and shared words show."""

from __future__ import annotations

import math
from hashlib import blake2b

__all__ = ("unit_vector",)

#: Places a feature goes to; with one, two words that meet there could cancel each other.
_PLACES = 4

#: How much of the vector tells apart texts of the same words in another order.
_WHOLE = 0.1


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 for *text*, by feature hashing of its lower-cased words.

    Texts that share words have a higher cosine; different texts have different vectors (but for
    accidents in few dimensions).
    """
    vector = [0.0] * dimensions
    for word in text.lower().split():
        _add(vector, word, 1.0)
    _add(vector, f"\0{text}", _WHOLE)
    length = math.hypot(*vector)
    if length == 0.0:  # everything met on one place and cancelled out
        vector[0] = length = 1.0
    return [x / length for x in vector]


def _add(vector: list[float], feature: str, weight: float) -> None:
    digest = blake2b(feature.encode("utf-8", "replace"), digest_size=4 * _PLACES).digest()
    for place in range(_PLACES):
        number = int.from_bytes(digest[4 * place : 4 * place + 4])
        sign = 1.0 if number & 1 else -1.0
        vector[(number >> 1) % len(vector)] += sign * weight * (1 + place / 8)
