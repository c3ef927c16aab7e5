"""Thought signatures: what newer models want back with each tool call they have made."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

__all__ = ("Signatures", "wants_signatures")

_KEPT: Final = 1024
_LONGEST: Final = 64 * 1024

#: What Google documents for calls whose signature is not known: made by another model, or before
#: a restart.
_UNKNOWN: Final = "skip_thought_signature_validator"

_OLDER: Final = re.compile(r"gemini-(?:pro|[12])(?:$|[.-])")


def wants_signatures(model: str) -> bool:
    """Tell whether *model* refuses tool calls without a signature: Gemini 3 and later."""
    return model.startswith("gemini-") and not _OLDER.match(model)


class Signatures:
    """The signatures of the latest tool calls, by the calls' ids.

    Conversations come back through clients that know of no signatures, so they are kept here.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def keep(self, call_id: str, signature: str) -> None:
        """Remember the signature of a call."""
        if len(signature) > _LONGEST:
            return
        self._known[call_id] = signature
        self._known.move_to_end(call_id)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def of(self, call_id: str, *, needed: bool) -> str | None:
        """Return the signature of a call, or the substitute where one is *needed* and not known."""
        return self._known.get(call_id) or (_UNKNOWN if needed else None)
