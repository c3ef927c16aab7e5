"""The tokenizer ``tiktoken``: the library of that name, of the extra ``runtime-core[tokens]``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runtime_core.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("Tiktoken", "is_installed")

_LIBRARY = "tiktoken"
#: The vocabulary of every model that the library does not know.
_COMMON = "o200k_base"


def is_installed() -> bool:
    """Say whether the library is there; does not import it."""
    return find_spec(_LIBRARY) is not None


class Tiktoken:
    """Counts with the vocabularies of `tiktoken`: exact for the models it knows, close for others.

    :raises StartupError: the library is not installed.
    """

    def __init__(self) -> None:
        if not is_installed():
            raise StartupError(
                'RUNTIME_TOKENIZER=tiktoken needs a library that is not installed: pip install "'
                'runtime-core[tokens]", or set it to auto or estimate'
            )
        self._encodings: dict[str, Any] = {}
        self._common: Any = None
        self._name_of: Any = None

    def load(self, environ: Mapping[str, str], models: Sequence[str]) -> None:
        """Read the vocabularies, from the cache or else the network.

        :raises StartupError: that failed; says where they are looked for.
        """
        library = import_module(_LIBRARY)
        self._name_of = library.encoding_name_for_model
        names = {_COMMON, *filter(None, map(self._encoding_name, models))}
        try:
            self._encodings = {name: library.get_encoding(name) for name in sorted(names)}
        except (OSError, ValueError) as exc:
            cache = environ.get("TIKTOKEN_CACHE_DIR")
            where = f"in {cache}" if cache else "cached"
            raise StartupError(
                f"its vocabulary is not {where} and cannot be fetched; set TIKTOKEN_CACHE_DIR to a "
                f"folder that a machine with access has filled, or give this one access "
                f"({type(exc).__name__}: {exc})"
            ) from exc
        self._common = self._encodings[_COMMON]

    def count(self, text: str, model: str) -> int:
        """Count the tokens of *text*, special tokens being text."""
        encoding = self._common
        if len(self._encodings) > 1:
            encoding = self._encodings.get(self._encoding_name(model) or _COMMON, encoding)
        return len(encoding.encode_ordinary(text))

    def _encoding_name(self, model: str) -> str | None:
        """Return the vocabulary of a model, None where the library does not know it."""
        try:
            name: str = self._name_of(model)
        except KeyError:
            return None
        return name
