"""The backends there are, and the models each of them holds now."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.errors import RuntimeCoreError, SettingsError, UpstreamUnavailable
from runtime_core.fleet.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    import httpx

    from runtime_core.protocols import Provider, ProviderFactory
    from runtime_core.types import BackendConfig, ModelInfo

__all__ = ("Backend", "Catalog", "connect")

_log = logging.getLogger("runtime.fleet")

#: A listing that was asked for because a model was missing is not repeated within this time.
_MINIMUM_AGE_S = 1.0


class Catalog:
    """Keeps every backend's listing fresh; one slow backend never delays another.

    An async context manager: inside it a background task lists all backends again and again.

    :param declared: models that settings describe; what they say wins over a listing.
    :param period: seconds between listings of one backend.
    :param timeout: seconds a listing may take.
    """

    def __init__(
        self,
        backends: Iterable[Backend],
        *,
        declared: Mapping[str, ModelInfo] | None = None,
        period: float = 30.0,
        timeout: float = 5.0,
    ) -> None:
        self.backends = tuple(sorted(backends, key=lambda backend: backend.config.priority))
        #: Grows with every change of a listing, so that what was derived from it can be dropped.
        self.version = 0
        self._declared = declared or {}
        self._period = period
        self._timeout = timeout
        self._news = asyncio.Event()
        self._listing: dict[Backend, asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Catalog:
        self._keeper = asyncio.create_task(self._keep_fresh(), name="fleet-catalog")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = [task for task in (self._keeper, *self._listing.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for backend in self.backends:
            with suppress(RuntimeCoreError):
                await backend.provider.aclose()

    @property
    def pending(self) -> list[Backend]:
        """The backends that nobody has heard of yet."""
        return [backend for backend in self.backends if backend.listed_at is None]

    async def refresh(self) -> None:
        """List every backend whose listing is not brand-new, and wait for all of them."""
        oldest = time.monotonic() - _MINIMUM_AGE_S
        stale = [b for b in self.backends if b.listed_at is None or b.listed_at < oldest]
        if stale:
            await asyncio.wait([self._start_listing(backend) for backend in stale])

    async def next_listing(self) -> None:
        """Wait until one more backend was listed, well or not."""
        await self._news.wait()

    async def _keep_fresh(self) -> None:
        while True:
            for backend in self.backends:
                self._start_listing(backend)
            await asyncio.sleep(self._period)

    def _start_listing(self, backend: Backend) -> asyncio.Task[None]:
        task = self._listing.get(backend)
        if task is None or task.done():
            task = asyncio.create_task(self._list(backend), name=f"list-{backend.config.name}")
            self._listing[backend] = task
        return task

    async def _list(self, backend: Backend) -> None:
        models: tuple[ModelInfo, ...] = ()
        error = "its provider broke while listing models; the server's log has the details"
        try:
            async with asyncio.timeout(self._timeout):
                models = tuple(self._described(m) for m in await backend.provider.models())
            error = ""
        except TimeoutError:
            error = f"listing its models took more than {self._timeout:g} s"
        except RuntimeCoreError as exc:
            error = exc.message
        finally:
            self._record(backend, models, error)

    def _record(self, backend: Backend, models: tuple[ModelInfo, ...], error: str) -> None:
        self._report(backend, error)
        if (models, error) != (backend.models, backend.error):
            self.version += 1
        backend.models, backend.error = models, error
        backend.listed_at = time.monotonic()
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _described(self, model: ModelInfo) -> ModelInfo:
        declared = self._declared.get(model.name)
        if declared is None:
            return model
        return replace(
            model,
            context_length=declared.context_length or model.context_length,
            can_chat=model.can_chat or declared.can_chat,
            can_prompt=model.can_prompt or declared.can_prompt,
            can_embed=model.can_embed or declared.can_embed,
        )

    def _report(self, backend: Backend, error: str) -> None:
        if error == backend.error or backend.config.implicit:
            return
        if error:
            _log.warning("backend %s cannot be used now: %s", backend.config.name, error)
        else:
            _log.info("backend %s is back", backend.config.name)


def connect(
    configs: Iterable[BackendConfig],
    factories: Mapping[str, ProviderFactory],
    client: httpx.AsyncClient,
    *,
    excused: Collection[str] = (),
) -> list[Backend]:
    """Build the provider of every configured backend.

    :param excused: plugins that cannot be used now.  While there are any, a backend whose type
        nobody provides is out, instead of stopping the start: one of them may be its plugin.
    :raises SettingsError: a backend's type has no provider, or two backends share a name.
    """
    backends: dict[str, Backend] = {}
    for config in configs:
        if config.name in backends:
            raise SettingsError(
                f"two backends are named {config.name!r} ({backends[config.name].config.base_url} "
                f"and {config.base_url}); give one of them another name in runtime.toml"
            )
        factory = factories.get(config.type) or _without_provider(config, factories, excused)
        backends[config.name] = Backend(config, _built(factory, config, client))
    return list(backends.values())


def _without_provider(
    config: BackendConfig, factories: Mapping[str, ProviderFactory], excused: Collection[str]
) -> ProviderFactory:
    known = ", ".join(sorted(factories)) or "none"
    reason = (
        f"backend {config.name!r} has type {config.type!r}, but no installed plugin "
        f"provides it; installed types: {known}"
    )
    if not excused:
        raise SettingsError(reason)
    out = ", ".join(sorted(excused))
    return lambda config, client: _NoProvider(f"{reason}; plugins that cannot be used: {out}")


def _built(factory: ProviderFactory, config: BackendConfig, client: httpx.AsyncClient) -> Provider:
    try:
        return factory(config, client)
    except SettingsError:
        raise
    # Loading a plugin: a factory that breaks takes its own backend out, never the server.
    except Exception as exc:  # noqa: BLE001
        _log.exception("backend %s: its provider cannot be built", config.name)
        return _NoProvider(f"its provider of type {config.type!r} cannot be built: {exc}")


class _NoProvider:
    """Stands where a backend's provider should be, and says why it is not there."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def models(self) -> Sequence[ModelInfo]:
        raise UpstreamUnavailable(self._reason)

    async def aclose(self) -> None:
        """Nothing is held."""
