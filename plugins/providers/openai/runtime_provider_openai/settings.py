"""The table ``[plugins.openai]`` and the variables of OpenAI's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import SecretStr  # noqa: TC002 - pydantic evaluates annotations

from runtime_provider_openai.dialect import OpenAIOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("OpenAISettings",)

_VARIABLES = {
    "api_key": "OPENAI_API_KEY",
    "base_url": "OPENAI_BASE_URL",
    "organization": "OPENAI_ORG_ID",
    "project": "OPENAI_PROJECT_ID",
}


class OpenAISettings(OpenAIOptions):
    """Where the backend ``openai`` is, and its options.

    With neither key nor address there is no such backend; an address alone is a server that asks
    for no key.
    """

    api_key: SecretStr | None = None
    base_url: str = ""
    priority: int = 0

    def with_environment(self, environ: Mapping[str, str]) -> Self:
        """Return the settings with what *environ* says, which wins."""
        said = {
            name: environ[variable].strip()
            for name, variable in _VARIABLES.items()
            if environ.get(variable, "").strip()
        }
        own = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**own, **said})
