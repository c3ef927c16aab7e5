"""Models behind any OpenAI-compatible API: OpenAI's own, a gateway, or a server next door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_provider_openai.dialect import OPENAI_URL, OpenAIOptions, openai_provider
from runtime_provider_openai.settings import OpenAISettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import BackendConfig, PluginContext

__all__ = (
    "OPENAI_URL",
    "OpenAIOptions",
    "OpenAISettings",
    "openai_provider",
    "register_backends",
    "register_providers",
    "settings_model",
)


@hookimpl
def settings_model() -> type[OpenAISettings]:
    """Return the model of ``[plugins.openai]``."""
    return OpenAISettings


@hookimpl
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:
    """Return the provider of backends of type ``openai``."""
    return {"openai": openai_provider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the backend ``openai``, when a key or an address is set."""
    settings = (context.settings or OpenAISettings()).with_environment(context.environ)
    if not settings.key and not settings.base_url:
        return ()
    return (settings.backend("openai", OPENAI_URL),)
