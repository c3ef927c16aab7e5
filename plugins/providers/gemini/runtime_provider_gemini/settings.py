"""The table ``[plugins.gemini]`` and the variables of Google's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import SecretStr  # noqa: TC002 - pydantic evaluates annotations

from runtime_provider_gemini.options import GeminiOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("GeminiSettings",)

#: Where each setting may come from; the first variable that is set counts.
_VARIABLES = {
    "api_key": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "base_url": ("GEMINI_BASE_URL",),
}


class GeminiSettings(GeminiOptions):
    """Where the backend ``gemini`` is, and its options.

    With neither key nor address there is no such backend; an address alone is a gateway that has
    the key itself.
    """

    api_key: SecretStr | None = None
    base_url: str = ""
    priority: int = 0

    def with_environment(self, environ: Mapping[str, str]) -> Self:
        """Return the settings with what *environ* says, which wins."""
        said = {name: _first(environ, variables) for name, variables in _VARIABLES.items()}
        own = {name: getattr(self, name) for name in self.model_fields_set}
        given = {name: value for name, value in said.items() if value}
        return type(self).model_validate({**own, **given})


def _first(environ: Mapping[str, str], variables: tuple[str, ...]) -> str:
    values = (environ.get(variable, "").strip() for variable in variables)
    return next((value for value in values if value), "")
