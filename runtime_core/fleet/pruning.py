"""Deleting models that nobody declared, for operators who ask for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runtime_core.errors import RuntimeCoreError, UpstreamModelNotFound
from runtime_core.fleet.backend import LATEST
from runtime_core.protocols import PullingProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtime_core.fleet.backend import Backend
    from runtime_core.protocols import DeclarationReader, DownloadStore
    from runtime_core.types import Declarations

__all__ = ("Pruner",)

_log = logging.getLogger("runtime.fleet")


class Pruner:
    """Deletes what a backend lists and nobody declared, one model after the other.

    A model stays that is declared, in whatever group, that *settings* name, or that a download is
    about.  As long as nothing at all is declared, everything stays: that is a database nobody has
    filled yet, or the wrong one.  Backends nobody asked for (``implicit``) are left alone.

    :param reader: asked again before each deletion, for another replica may know more.
    :param downloads: the queue, asked likewise.
    :param named: the models that the settings name.
    :param look: has a backend listed, given its id.
    """

    def __init__(
        self,
        tenant_id: str,
        reader: DeclarationReader,
        downloads: DownloadStore,
        *,
        named: Iterable[str] = (),
        look: Callable[[str], None],
    ) -> None:
        self._tenant_id = tenant_id
        self._reader = reader
        self._downloads = downloads
        self._named = tuple(named)
        self._look = look
        self._at_work: set[Backend] = set()

    async def __call__(self, backend: Backend, declared: Declarations) -> None:
        """Delete what *backend* was listed with and nobody declared.

        :param declared: what was declared when it was last read; enough to see that there is
            nothing to do.
        """
        if backend.config.implicit or backend.error or backend in self._at_work:
            return
        superfluous = self._superfluous(backend, declared)
        if not superfluous:
            return
        self._at_work.add(backend)
        try:
            gone = [model for model in superfluous if await self._delete_or_warn(backend, model)]
        finally:
            self._at_work.discard(backend)
        if gone:
            self._look(backend.id)

    def _superfluous(self, backend: Backend, declared: Declarations) -> Sequence[str]:
        wanted = _names(model.model for model in declared.models)
        if not wanted:
            return ()
        wanted |= _names(self._named)
        return [model.name for model in backend.listed if _plain(model.name) not in wanted]

    async def _delete_or_warn(self, backend: Backend, model: str) -> bool:
        try:
            return await self._delete(backend, model)
        except RuntimeCoreError as exc:
            name = backend.config.name
            _log.warning("%s stays on backend %s until next time: %s", model, name, exc.message)
            return False

    async def _delete(self, backend: Backend, model: str) -> bool:
        """Delete a model, unless it is wanted by now; say whether it is gone.

        :raises RuntimeCoreError: nobody knows whether it is wanted, or it cannot be deleted.
        """
        if model not in self._superfluous(backend, await self._reader.read(self._tenant_id)):
            return False
        jobs = await self._downloads.list(self._tenant_id)
        arriving = _names(job.model for job in jobs if job.backend_id == backend.id)
        provider = backend.provider
        if _plain(model) in arriving or not isinstance(provider, PullingProvider):
            return False
        try:
            await provider.delete_model(model)
        except UpstreamModelNotFound:
            return True  # somebody was faster
        _log.info("%s is deleted from backend %s: nobody declared it", model, backend.config.name)
        return True


def _names(models: Iterable[str]) -> set[str]:
    return {_plain(model) for model in models if model}


def _plain(model: str) -> str:
    """Return what names of the same model have in common, whatever a service makes of them."""
    return model.casefold().removesuffix(LATEST)
