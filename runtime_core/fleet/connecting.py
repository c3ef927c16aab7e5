"""From the configuration of a backend to the provider that speaks to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.errors import SettingsError, UpstreamUnavailable
from runtime_core.fleet.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import httpx

    from runtime_core.protocols import Provider, ProviderFactory
    from runtime_core.types import BackendConfig, ModelInfo

__all__ = ("Connector", "connect")

_log = logging.getLogger("runtime.fleet")


class Connector:
    """Builds providers; their names are found in any letter case.

    :param excused: plugins that cannot be used now: one of them may be what a backend needs.
    """

    def __init__(
        self,
        factories: Mapping[str, ProviderFactory],
        client: httpx.AsyncClient,
        *,
        excused: Collection[str] = (),
    ) -> None:
        self._factories = factories
        self._client = client
        self._excused = excused
        self._names = {name.lower(): name for name in factories}

    def type_of(self, name: str) -> str:
        """Return the registered name of a provider, or *name* when there is no such provider."""
        return name if name in self._factories else self._names.get(name.lower(), name)

    def configured(self, config: BackendConfig) -> BackendConfig:
        """Return *config* with the name of its provider as it was registered."""
        found = self.type_of(config.type)
        return config if found == config.type else replace(config, type=found)

    def without_provider(self, config: BackendConfig) -> str:
        """Say why a backend has no provider; "" when it has one."""
        if self.type_of(config.type) in self._factories:
            return ""
        known = ", ".join(sorted(self._factories)) or "none"
        reason = (
            f"backend {config.name!r} has type {config.type!r}, but no installed plugin "
            f"provides it; installed types: {known}"
        )
        if not self._excused:
            return reason
        return f"{reason}; plugins that cannot be used: {', '.join(sorted(self._excused))}"

    def provider(self, config: BackendConfig) -> Provider:
        """Build the provider of *config*; one that says why, where there is none to be had.

        :raises SettingsError: the provider refuses the configuration.
        """
        if reason := self.without_provider(config):
            return _NoProvider(reason)
        try:
            return self._factories[self.type_of(config.type)](config, self._client)
        except SettingsError:
            raise
        # Loading a plugin: a factory that breaks takes its own backend out, never the server.
        except Exception as exc:  # noqa: BLE001
            _log.exception("backend %s: its provider cannot be built", config.name)
            return _NoProvider(f"its provider of type {config.type!r} cannot be built: {exc}")

    def provider_or_reason(self, config: BackendConfig) -> Provider:
        """Build the provider of *config*; one that says why also where it refuses *config*."""
        try:
            return self.provider(config)
        except SettingsError as exc:
            return _NoProvider(exc.message)


def connect(
    configs: Iterable[BackendConfig],
    factories: Mapping[str, ProviderFactory],
    client: httpx.AsyncClient,
    *,
    excused: Collection[str] = (),
) -> list[Backend]:
    """Build the provider of every backend that the settings name.

    :param excused: plugins that cannot be used now.  While there are any, a backend whose type
        nobody provides is out, instead of stopping the start: one of them may be its plugin.
    :raises SettingsError: a backend's type has no provider, or two backends share a name.
    """
    connector = Connector(factories, client, excused=excused)
    backends: dict[str, Backend] = {}
    for config in configs:
        if config.name in backends:
            raise SettingsError(
                f"two backends are named {config.name!r} ({backends[config.name].config.base_url} "
                f"and {config.base_url}); give one of them another name in runtime.toml"
            )
        reason = connector.without_provider(config)
        if reason and not excused:
            raise SettingsError(reason)
        config = connector.configured(config)
        backends[config.name] = Backend(config, connector.provider(config))
    return list(backends.values())


class _NoProvider:
    """Stands where a backend's provider should be, and says why it is not there."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def models(self) -> Sequence[ModelInfo]:
        raise UpstreamUnavailable(self._reason)

    async def aclose(self) -> None:
        """Nothing is held."""
