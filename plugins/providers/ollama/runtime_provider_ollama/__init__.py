"""Models on an Ollama server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_core.types import BackendConfig
from runtime_provider_ollama.address import DEFAULT_ADDRESS, address_of
from runtime_provider_ollama.provider import OllamaProvider
from runtime_provider_ollama.settings import OllamaSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import PluginContext

__all__ = ("OllamaProvider", "OllamaSettings")


@hookimpl
def settings_model() -> type[BaseModel]:
    """Return the model of ``[plugins.ollama]``."""
    return OllamaSettings


@hookimpl
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:
    """Return the provider behind backends of type ``ollama``."""
    return {"ollama": OllamaProvider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the server that ``OLLAMA_HOST`` or the settings name, else the default address."""
    settings = context.settings or OllamaSettings()
    host = context.environ.get("OLLAMA_HOST", "").strip() or settings.host
    return [
        BackendConfig(
            name="ollama",
            type="ollama",
            base_url=address_of(host) if host else DEFAULT_ADDRESS,
            api_key=context.environ.get("OLLAMA_API_KEY", "").strip() or None,
            implicit=not host,
            priority=0 if host else 100,
            options=settings.backend_options(),
        )
    ]
