"""``/providers``: the keys of provider types."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.errors import Conflict, NotFound, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.fleet import (
    NEVER,
    ConfigureBody,
    ConfigureWire,
    ProviderWire,
    provider_wire,
)
from runtime_core.http.wire.times import rfc3339
from runtime_core.protocols import BackendStore, FleetState, ProviderConfigStore

__all__ = ("PROVIDERS",)

_TAGS = ["Providers"]


@post(
    "/providers/{provider_type:str}/configure",
    status_code=200,
    tags=_TAGS,
    summary="Configure a provider",
    opt={"example": {"apiKey": "a-key-of-yours", "upsert": True}, "refuses": ("409",)},
)
async def configure_provider(
    provider_type: FromPath[str],
    data: JSONBody[ConfigureBody],
    provider_configs: NamedDependency[ProviderConfigStore],
    backends: NamedDependency[BackendStore],
    fleet: NamedDependency[FleetState],
    provider_types: NamedDependency[Sequence[str]],
    provider_urls: NamedDependency[Mapping[str, str]],
    tenant_id: NamedDependency[str],
) -> Response[ConfigureWire]:
    """Store the key of a provider: its backends without a key of their own use it.

    A provider with an address of its own (a service there is one of) is registered as a backend.
    """
    kind = _installed(provider_type, provider_types)
    if not data.api_key:
        raise Unprocessable("apiKey: this field is required", param="apiKey")
    upsert = bool(data.upsert)
    if not upsert and await _is_configured(provider_configs, tenant_id, kind):
        raise Conflict(
            f"the provider {kind!r} is configured already; send upsert to replace its key",
            param="upsert",
        )
    # the backend comes first: should this end here, asking again does all of it
    if url := provider_urls.get(kind):
        await _ensure_backend(backends, tenant_id, kind, url, replace=upsert)
    config = await provider_configs.put(tenant_id, kind, data.api_key, replace=upsert)
    await fleet.changed(tenant_id)
    return answer(ConfigureWire(True, rfc3339(config.updated_at), kind))


@get("/providers/{provider_type:str}/status", tags=_TAGS, summary="Is a provider configured?")
async def provider_status(
    provider_type: FromPath[str],
    provider_configs: NamedDependency[ProviderConfigStore],
    provider_types: NamedDependency[Sequence[str]],
    tenant_id: NamedDependency[str],
) -> Response[ConfigureWire]:
    """Say whether a provider has a key."""
    kind = _installed(provider_type, provider_types)
    try:
        config = await provider_configs.get(tenant_id, kind)
    except NotFound:
        return answer(ConfigureWire(False, NEVER, kind))
    return answer(ConfigureWire(True, rfc3339(config.updated_at), kind))


@get("/providers/configs", tags=_TAGS, summary="List provider configurations")
async def list_provider_configs(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    provider_configs: NamedDependency[ProviderConfigStore],
    tenant_id: NamedDependency[str],
) -> Response[list[ProviderWire]]:
    """Return the configured providers, newest first; keys are masked."""
    found = await provider_configs.list(tenant_id, limit=page.limit, cursor=page.cursor)
    return listing(request, [provider_wire(one) for one in found.items], found.next_cursor)


@get("/providers/{provider_type:str}/config", tags=_TAGS, summary="Get a configuration")
async def get_provider_config(
    provider_type: FromPath[str],
    provider_configs: NamedDependency[ProviderConfigStore],
    provider_types: NamedDependency[Sequence[str]],
    tenant_id: NamedDependency[str],
) -> Response[ProviderWire]:
    """Return the configuration of a provider; its key is masked."""
    kind = _named(provider_type, provider_types)
    return answer(provider_wire(await provider_configs.get(tenant_id, kind)))


@delete(
    "/providers/{provider_type:str}/config",
    status_code=200,
    tags=_TAGS,
    summary="Delete a configuration",
)
async def delete_provider_config(
    provider_type: FromPath[str],
    provider_configs: NamedDependency[ProviderConfigStore],
    fleet: NamedDependency[FleetState],
    provider_types: NamedDependency[Sequence[str]],
    tenant_id: NamedDependency[str],
) -> Response[str]:
    """Forget a provider's key; its backends stay."""
    await provider_configs.delete(tenant_id, _named(provider_type, provider_types))
    await fleet.changed(tenant_id)
    return answer("Provider config deleted successfully")


PROVIDERS = (
    configure_provider,
    provider_status,
    list_provider_configs,
    get_provider_config,
    delete_provider_config,
)


def _named(given: str, provider_types: Sequence[str]) -> str:
    """Return the provider type that *given* names, in whatever case; itself when there is none."""
    return next((name for name in provider_types if name.lower() == given.lower()), given)


def _installed(given: str, provider_types: Sequence[str]) -> str:
    kind = _named(given, provider_types)
    if kind not in provider_types:
        raise NotFound(
            f"no installed plugin provides {given[:64]!r}; installed types: "
            f"{', '.join(sorted(provider_types)) or 'none'}"
        )
    return kind


async def _is_configured(configs: ProviderConfigStore, tenant_id: str, kind: str) -> bool:
    try:
        await configs.get(tenant_id, kind)
    except NotFound:
        return False
    return True


async def _ensure_backend(
    backends: BackendStore, tenant_id: str, kind: str, url: str, *, replace: bool
) -> None:
    """Register the provider's own service as a backend, unless one is there."""
    try:
        if replace:
            await backends.update(tenant_id, kind, name=kind, base_url=url, type=kind)
            return
        await backends.get(tenant_id, kind)
    except NotFound:
        await _register(backends, tenant_id, kind, url)
    except Conflict:
        return  # another backend has the name or the address: it gets the key


async def _register(backends: BackendStore, tenant_id: str, kind: str, url: str) -> None:
    try:
        await backends.create(tenant_id, id=kind, name=kind, base_url=url, type=kind)
    except Conflict:
        return  # as above, or a request of the same moment was first
