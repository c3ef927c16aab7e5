"""Vectors from hashes: the same text has the same vector everywhere, and shared words show."""

from __future__ import annotations

import math
from hashlib import blake2b

__all__ = ("unit_vector",)

#: How much of the vector tells apart texts of the same words in another order.
_WHOLE = 0.1


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 for *text*, by feature hashing of its lower-cased words.

    Texts that share words have a higher cosine; different texts have different vectors (with more
    than one dimension).
    """
    vector = [0.0] * dimensions
    for word in text.lower().split():
        _add(vector, word, 1.0)
    for salt in range(4):
        _add(vector, f"{salt}\0{text}", _WHOLE * (1 + salt / 7))
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0.0:  # all parts fell on one place with opposite signs
        vector[0], length = 1.0, 1.0
    return [x / length for x in vector]


def _add(vector: list[float], feature: str, weight: float) -> None:
    number = int.from_bytes(blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest())
    sign = 1.0 if number & 1 else -1.0
    vector[(number >> 1) % len(vector)] += sign * weight
