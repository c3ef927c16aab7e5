"""Models behind any OpenAI-compatible API: OpenAI's own, a gateway, or a server next door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_core.types import BackendConfig
from runtime_provider_openai.dialect import OPENAI_URL, OpenAIOptions, openai_provider
from runtime_provider_openai.settings import OpenAISettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import PluginContext

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
    key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
    if not key and not settings.base_url:
        return ()
    return (
        BackendConfig(
            name="openai",
            type="openai",
            base_url=settings.base_url or OPENAI_URL,
            api_key=key or None,
            priority=settings.priority,
            options=settings.model_dump(
                exclude_unset=True, exclude={"api_key", "base_url", "priority"}
            ),
        ),
    )
