"""Validation errors of decoded data, in the API's own words."""

from __future__ import annotations

import re
from typing import get_args

import msgspec

from runtime_core.errors import Unprocessable
from runtime_core.types.chat import Role

__all__ = ("validation_error",)

_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LOCATION = re.compile(r"^(.*?)(?: - at `(?:key in )?\$\.?([^`]*)`)?$", re.DOTALL)
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`$")
_REQUIRED = re.compile(r"Object missing required field `([^`]+)`$")
_CHOICE = re.compile(r"Invalid enum value (.+)$", re.DOTALL)


def validation_error(error: msgspec.ValidationError, *, prefix: str = "") -> Unprocessable:
    """Say what msgspec found wrong in the API's own words, with the path as ``param``."""
    found = _LOCATION.match(str(error))
    text, path = (found[1], found[2] or "") if found else (str(error), "")
    path = prefix + re.sub(r"\[(\d+)\]", r".\1", path).replace("[...]", "").lstrip(".")
    if required := _REQUIRED.match(text):
        path = f"{path}.{required[1]}".lstrip(".").replace("..", ".")
        text = "this field is required"
    elif mismatch := _MISMATCH.match(text):
        wanted = [word for word in mismatch[1].split(" | ") if word != "null"]
        # a whole number that came as `1.0` is a float to the decoder
        wanted = [word for word in wanted if word != "float" or "int" not in wanted]
        expected = " or ".join(_WORDS.get(word, word) for word in wanted)
        text = f"expected {expected}, got {_WORDS.get(mismatch[2], mismatch[2])}"
    elif choice := _CHOICE.match(text):
        text = f"unknown value {choice[1]}"
        if path.endswith("role"):
            text += f": use one of {', '.join(get_args(Role))}"
    path = path.rstrip(".")
    return Unprocessable(f"{path or 'the body'}: {text}", param=path or None)
