"""The composition root: objects are made here and nowhere else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runtime_core import http
from runtime_core.drivers import load_driver
from runtime_core.engine import tiktoken
from runtime_core.engine.handlers import ToolLimits, builtin_handlers
from runtime_core.engine.machine import Machine
from runtime_core.engine.standard import chat_chain
from runtime_core.engine.tokens import Counter
from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.errors import NoBackendAvailable, NotFound, UpstreamUnavailable
from runtime_core.fleet import configured
from runtime_core.fleet.breaker import BreakerLimits
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.connecting import Connector, connect
from runtime_core.fleet.downloads import Downloads
from runtime_core.fleet.gateway import FleetGateway
from runtime_core.fleet.pruning import Pruner
from runtime_core.fleet.reconciler import REREAD_AFTER, Reconciler
from runtime_core.fleet.search import Budget
from runtime_core.fleet.startup import declare
from runtime_core.fleet.state import LiveState
from runtime_core.fleet.worker import DownloadWorker
from runtime_core.plugins import Plugins
from runtime_core.protocols import Services
from runtime_core.settings import Settings, scheme_of
from runtime_core.storage.cache import ChainCache
from runtime_core.storage.cipher import Cipher
from runtime_core.storage.schema import KERNEL_TABLES
from runtime_core.storage.secrets import SecretVault
from runtime_core.upstream import create_client, create_egress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx
    from litestar import Litestar

    from runtime_core.protocols import Bus, HealthCheck
    from runtime_core.storage.database import Database
    from runtime_core.upstream import Egress

__all__ = ("DEFAULT_TENANT", "Kernel", "compose", "create_app", "serving")

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Kernel:
    """Every room of one server, wired together; nothing is open before `running`."""

    settings: Settings
    plugins: Plugins
    database: Database
    bus: Bus
    client: httpx.AsyncClient
    egress: Egress
    chains: ChainCache
    secrets: SecretVault
    catalog: Catalog
    reconciler: Reconciler
    fleet: LiveState
    downloads: Downloads
    worker: DownloadWorker
    models: FleetGateway
    toolbox: SourceToolbox
    tokens: Counter
    runner: Machine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kernel]:
        """Migrate the database, open what has to be open, and close all of it at the end.

        :raises StartupError: the surroundings are not what the settings say.
        """
        try:
            await self.database.migrate(self.plugins.tables)
            await self._declare_models()
            async with (
                self.tokens,
                self.chains,
                self.secrets,
                self.reconciler,
                self.catalog,
                self.worker,
            ):
                await self._ensure_chat_chain()
                async with self.toolbox.running(self.services()):
                    yield self
        finally:
            await self.egress.aclose()
            await self.client.aclose()
            await self.bus.aclose()
            await self.database.aclose()

    def services(self) -> Services:
        """What the kernel offers to what plugins keep running."""
        return Services(
            database=self.database,
            bus=self.bus,
            egress=self.egress,
            secrets=self.secrets,
            sealer=self.database.cipher,
            chains=self.chains,
            runner=self.runner,
            toolbox=self.toolbox,
        )

    def health_checks(self) -> Mapping[str, HealthCheck]:
        """What ``/readyz`` asks."""
        return {
            "database": self.database.ping,
            "bus": self._check_bus,
            "backends": self._check_backends,
        }

    async def _check_bus(self) -> str | None:
        """Warn at most: a replica goes on serving alone, and reads later what it was not told."""
        try:
            await self.bus.ping()
        except UpstreamUnavailable as exc:
            return exc.message
        return None

    async def _check_backends(self) -> None:
        backends = self.catalog.backends
        if any(backend.models for backend in backends) or self.catalog.pending:
            return
        reasons = [f"{b.config.name}: {b.error or 'lists no models'}" for b in backends]
        raise NoBackendAvailable("; ".join(reasons) or "no backend is configured")

    async def _declare_models(self) -> None:
        """Store the built-in groups, and the models that the settings name."""
        await declare(
            DEFAULT_TENANT,
            configured.startup_models(self.settings),
            models=self.database.models,
            groups=self.database.groups,
            tenancy=http.TENANCY,
        )

    async def _ensure_chat_chain(self) -> None:
        """Store the default chain of ``POST /chat``, unless an operator already did."""
        chain_id = self.settings.chat_chain
        try:
            await self.chains.get(DEFAULT_TENANT, chain_id)
        except NotFound:
            await self.chains.put(DEFAULT_TENANT, chat_chain(chain_id))


def compose(settings: Settings, plugins: Plugins | None = None) -> Kernel:
    """Wire the rooms together; opens nothing.

    :param plugins: the loaded plugins; those installed by default.
    :raises StartupError: a setting asks for a driver or a provider that is not installed.
    """
    if plugins is None:
        plugins = load_plugins(settings)
    database = load_driver("database", scheme_of(settings.database_url))(
        settings.database_url, Cipher.of(settings.secret_key)
    )
    bus = load_driver("bus", scheme_of(settings.bus_url))(
        settings.bus_url, environ=settings.environ
    )
    client = create_client(
        connect_timeout=settings.upstream_connect_timeout, read_timeout=settings.upstream_timeout
    )
    fleet = _fleet(settings, plugins, client, database, bus)
    tokens = _counter(settings)
    models = _gateway(settings, fleet.catalog, tokens)
    toolbox = SourceToolbox(plugins.hook_sources)
    return Kernel(
        settings=settings,
        plugins=plugins,
        database=database,
        bus=bus,
        client=client,
        egress=create_egress(
            operator_private=settings.egress_operator_private,
            untrusted_private=settings.egress_untrusted_private,
            connect_timeout=settings.upstream_connect_timeout,
        ),
        chains=ChainCache(database.chains, bus),
        secrets=SecretVault(database.secrets, bus),
        catalog=fleet.catalog,
        reconciler=fleet.reconciler,
        fleet=fleet.state,
        downloads=fleet.downloads,
        worker=fleet.worker,
        models=models,
        toolbox=toolbox,
        tokens=tokens,
        runner=Machine(
            plugins.task_handlers, models, toolbox, tokens=tokens, max_steps=settings.max_steps
        ),
    )


def load_plugins(settings: Settings) -> Plugins:
    """Load the installed plugins beside the kernel's own task handlers and routes."""
    return Plugins.load(
        settings,
        task_handlers=builtin_handlers(
            ToolLimits(settings.tool_timeout, settings.tool_result_limit)
        ),
        routes=http.kernel_routes(),
        table_names=KERNEL_TABLES,
        check_routes=http.check_routes,
    )


def create_app(settings: Settings | None = None, plugins: Plugins | None = None) -> Litestar:
    """Return the server as an ASGI application.

    :param settings: read from the environment and ``runtime.toml`` by default.
    :param plugins: the loaded plugins; those installed by default.
    :raises StartupError: the server, as configured, must not start.
    """
    return serving(compose(settings or Settings.load(), plugins))


def serving(kernel: Kernel) -> Litestar:
    """Return the server around *kernel*, which runs as long as the server does.

    :raises StartupError: the server, as configured, must not start.
    """

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with kernel.running():
            yield

    return http.build(
        kernel.settings,
        rooms={
            "settings": kernel.settings,
            "runner": kernel.runner,
            "chains": kernel.chains,
            "sessions": kernel.database.sessions,
            "models": kernel.models,
            "toolbox": kernel.toolbox,
            "hook_sources": kernel.toolbox.sources,
            "secrets": kernel.secrets,
            "tokens": kernel.tokens,
            "plugins": kernel.plugins.reports,
            "backends": kernel.database.backends,
            "model_store": kernel.database.models,
            "groups": kernel.database.groups,
            "provider_configs": kernel.database.provider_configs,
            "downloads": kernel.downloads,
            "fleet": kernel.fleet,
            "provider_types": tuple(sorted(kernel.plugins.providers)),
            "provider_urls": configured.default_urls(kernel.plugins.providers),
        },
        health_checks=kernel.health_checks(),
        routes=kernel.plugins.routes,
        lifespan=lifespan,
    )


class _Fleet(NamedTuple):
    """The rooms of the fleet that know each other."""

    catalog: Catalog
    reconciler: Reconciler
    state: LiveState
    downloads: Downloads
    worker: DownloadWorker


def _fleet(
    settings: Settings, plugins: Plugins, client: httpx.AsyncClient, database: Database, bus: Bus
) -> _Fleet:
    """Wire what keeps the backends as they are declared; opens nothing.

    :raises SettingsError: a backend of the settings cannot be.
    """
    static = configured.backends(settings, plugins.backends)
    excused = [report.name for report in plugins.quarantined]
    catalog = Catalog(
        connect(static, plugins.providers, client, excused=excused),
        declared=configured.models(settings),
        period=settings.catalog_refresh,
    )
    connector = Connector(plugins.providers, client, excused=excused)
    reconciler = Reconciler(
        DEFAULT_TENANT,
        catalog,
        connector,
        database.declarations,
        bus,
        static=static,
        reread=min(REREAD_AFTER, settings.catalog_refresh),
    )
    state = LiveState(catalog, reconciler)
    downloads = Downloads(database.downloads, bus, state, state.using, state.place_of)
    reconciler.want = downloads.want
    if settings.prune_models:
        reconciler.prune = Pruner(
            DEFAULT_TENANT,
            database.declarations,
            database.downloads,
            named=(settings.chat_model, settings.task_model, settings.embed_model),
            look=reconciler.look,
        )
    worker = DownloadWorker(
        database.downloads,
        bus,
        state,
        state.using,
        parallelism=settings.download_parallelism,
        per_backend=settings.download_parallelism_per_backend,
    )
    return _Fleet(catalog, reconciler, state, downloads, worker)


def _counter(settings: Settings) -> Counter:
    """Choose what counts tokens; loads nothing.

    :raises StartupError: there is no such tokenizer, or it lacks what it needs.
    """
    name = settings.tokenizer
    if name == "auto":
        name = "tiktoken" if tiktoken.is_installed() else "estimate"
    named = dict.fromkeys([settings.chat_model, settings.task_model])
    return Counter(
        load_driver("tokenizer", name)(),
        name,
        environ=settings.environ,
        models=tuple(filter(None, named)),
        wanted=settings.tokenizer != "auto",
    )


def _gateway(settings: Settings, catalog: Catalog, tokens: Counter) -> FleetGateway:
    """Put routing, as the settings want it, in front of the catalog.

    :raises DriverNotFound: there is no such policy.
    """
    return FleetGateway(
        catalog,
        configured.defaults(settings),
        router=load_driver("router", settings.router)(),
        policy=settings.router,
        tokens=tokens,
        budget=Budget(
            attempts=settings.route_attempts,
            seconds=settings.route_timeout,
            silence=settings.upstream_timeout,
            breaker=BreakerLimits(settings.breaker_failures, settings.breaker_cooldown),
        ),
    )
