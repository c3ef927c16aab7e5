"""Ids of requests and of runs: unlike a key, they need not be hard to guess."""

from __future__ import annotations

import random

__all__ = ("new_id",)


def new_id() -> str:
    """Return a version 4 UUID, without asking the operating system for randomness."""
    bits = random.getrandbits(128)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[bits & 3]}{text[17:20]}-{text[20:]}"
