"""What the settings say of backends and models."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtime_core.fleet.gateway import Defaults
from runtime_core.fleet.startup import StartupModel
from runtime_core.types import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime_core.protocols import ProviderFactory
    from runtime_core.settings import Settings
    from runtime_core.types import BackendConfig, ModelRole

__all__ = ("backends", "default_urls", "defaults", "models", "startup_models")


def backends(settings: Settings, found: Sequence[BackendConfig]) -> list[BackendConfig]:
    """Return the configured backends, and those plugins *found* that are not configured already."""
    configured = [backend.config() for backend in settings.backends]
    names = {backend.name for backend in configured}
    types = {backend.type for backend in configured}
    return configured + [
        backend
        for backend in found
        if backend.name not in names and not (backend.implicit and backend.type in types)
    ]


def default_urls(providers: Mapping[str, ProviderFactory]) -> Mapping[str, str]:
    """Return the address of each provider that is made for one service."""
    urls = {name: getattr(factory, "default_url", "") for name, factory in providers.items()}
    return MappingProxyType({name: url for name, url in urls.items() if url})


def startup_models(settings: Settings) -> list[StartupModel]:
    """Return the models to declare at each start, with what each is for."""
    return [
        StartupModel("embed", settings.embed_model, settings.embed_model_context_length),
        StartupModel("task", settings.task_model, settings.task_model_context_length),
        StartupModel("chat", settings.chat_model, settings.chat_model_context_length),
    ]


def defaults(settings: Settings) -> Mapping[ModelRole, Defaults]:
    """Return the model and provider of each role, where a request names none."""
    return MappingProxyType(
        {
            "chat": Defaults(settings.chat_model, settings.chat_provider),
            "task": Defaults(settings.task_model, settings.task_provider),
            "embed": Defaults(settings.embed_model, settings.embed_provider),
        }
    )


def models(settings: Settings) -> Mapping[str, ModelInfo]:
    """Return what is said of the models named; one name may serve several roles."""
    roles: list[tuple[str, str, int | None]] = [
        ("can_chat", settings.chat_model, settings.chat_model_context_length),
        ("can_prompt", settings.task_model, settings.task_model_context_length),
        ("can_embed", settings.embed_model, settings.embed_model_context_length),
    ]
    facts: dict[str, dict[str, Any]] = {}
    for capability, name, context_length in roles:
        if name:
            fact = facts.setdefault(name, {"can_chat": False, "can_prompt": False})
            fact[capability] = True
            fact["context_length"] = context_length or fact.get("context_length")
    return {name: ModelInfo(name, **fact) for name, fact in facts.items()}
