"""A deterministic, scriptable model that needs nothing.

It answers with the text it was sent, or with what a script or a directive in the prompt says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_core.types import BackendConfig
from runtime_provider_echo.options import Answer, EchoOptions, EchoSettings
from runtime_provider_echo.provider import EchoProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import PluginContext

__all__ = (
    "Answer",
    "EchoOptions",
    "EchoProvider",
    "EchoSettings",
    "register_backends",
    "register_providers",
    "settings_model",
)


@hookimpl
def settings_model() -> type[EchoSettings]:
    """Return the model of ``[plugins.echo]``."""
    return EchoSettings


@hookimpl
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:
    """Return the provider of backends of type ``echo``."""
    return {"echo": EchoProvider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the backend ``echo``, which answers only where nobody else can."""
    settings: EchoSettings = context.settings or EchoSettings()
    if not settings.backend:
        return ()
    options = settings.model_dump(exclude_unset=True, exclude={"backend", "priority"})
    return (
        BackendConfig(
            name="echo",
            type="echo",
            base_url="echo://local",
            implicit=True,
            priority=settings.priority,
            options=options,
        ),
    )
