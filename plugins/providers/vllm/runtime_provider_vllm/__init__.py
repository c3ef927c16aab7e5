"""Models on a vLLM server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_provider_vllm.provider import VLLMOptions, VLLMProvider
from runtime_provider_vllm.settings import VLLMSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import BackendConfig, PluginContext

__all__ = (
    "VLLMOptions",
    "VLLMProvider",
    "VLLMSettings",
    "register_backends",
    "register_providers",
    "settings_model",
)


@hookimpl
def settings_model() -> type[VLLMSettings]:
    """Return the model of ``[plugins.vllm]``."""
    return VLLMSettings


@hookimpl
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:
    """Return the provider of backends of type ``vllm``."""
    return {"vllm": VLLMProvider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the backend ``vllm``, when an address is set."""
    settings = (context.settings or VLLMSettings()).with_environment(context.environ)
    if not settings.base_url:
        return ()
    return (settings.backend("vllm"),)
