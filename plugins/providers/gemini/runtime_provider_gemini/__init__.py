"""Google's Gemini models, through their own API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_core.types import BackendConfig
from runtime_provider_gemini.options import GeminiOptions
from runtime_provider_gemini.provider import GEMINI_URL, GeminiProvider
from runtime_provider_gemini.settings import GeminiSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import PluginContext

__all__ = (
    "GEMINI_URL",
    "GeminiOptions",
    "GeminiProvider",
    "GeminiSettings",
    "register_backends",
    "register_providers",
    "settings_model",
)


@hookimpl
def settings_model() -> type[GeminiSettings]:
    """Return the model of ``[plugins.gemini]``."""
    return GeminiSettings


@hookimpl
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:
    """Return the provider of backends of type ``gemini``."""
    return {"gemini": GeminiProvider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the backend ``gemini``, when a key or an address is set."""
    settings = (context.settings or GeminiSettings()).with_environment(context.environ)
    key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
    if not key and not settings.base_url:
        return ()
    return (
        BackendConfig(
            name="gemini",
            type="gemini",
            base_url=settings.base_url or GEMINI_URL,
            api_key=key or None,
            priority=settings.priority,
            options=settings.model_dump(
                exclude_unset=True, exclude={"api_key", "base_url", "priority"}
            ),
        ),
    )
