"""When a name that a task wants means a model that a backend has."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ("normalised", "same_model")

_DROPPED = re.compile(r"[ \-_.]")
_QUANTISATION = re.compile(r"awq|gptq|4bit|fp16")


@lru_cache(maxsize=4096)
def normalised(name: str) -> str:
    """Reduce a model's name to what people mean by it: ``PHI3:latest`` and ``phi3:3.8b`` agree.

    Lower case, without the owner before the first ``/``, the tag after the last ``:``,
    separators, and the words for a quantisation.
    """
    name = name.lower()
    if "/" in name:
        name = name.split("/", 1)[1]
    if ":" in name:
        name = name.rsplit(":", 1)[0]
    return _QUANTISATION.sub("", _DROPPED.sub("", name))


def same_model(wanted: str, name: str) -> bool:
    """Say whether *wanted* stands for the model *name*, exactly or after normalisation."""
    return wanted == name or (bool(normalised(wanted)) and normalised(wanted) == normalised(name))
