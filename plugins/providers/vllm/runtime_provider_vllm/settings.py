"""The table ``[plugins.vllm]`` and its environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import SecretStr  # noqa: TC002 - pydantic evaluates annotations

from runtime_provider_vllm.provider import VLLMOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("VLLMSettings",)

_VARIABLES = {"api_key": "VLLM_API_KEY", "base_url": "VLLM_BASE_URL"}


class VLLMSettings(VLLMOptions):
    """Where the backend ``vllm`` is, and its options; without an address there is none."""

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
