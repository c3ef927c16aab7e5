"""Reading JSON that a model wrote."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("decode_json",)


def decode_json(text: str) -> Any:
    """Decode *text*.

    :raises ValueError: it is not JSON, or nested deeper than anybody could use.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
