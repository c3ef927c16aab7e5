"""Backends that do as they are told, and stores that hold what they are given."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from runtime_core.errors import DatabaseUnavailable
from runtime_core.fleet.backend import Backend
from runtime_core.types import (
    BackendConfig,
    Declarations,
    DeclaredModel,
    ModelInfo,
    ProviderConfig,
    StoredBackend,
)

T0 = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


class FakeProvider:
    """Lists *models*, or does what *listing* says: an error, or an event to wait for."""

    def __init__(self, *models, listing=None):
        self.listed = [m if isinstance(m, ModelInfo) else ModelInfo(m) for m in models]
        self.listing = listing
        self.listings = 0
        self.begun = asyncio.Event()
        self.closed = 0
        self.config = None

    async def models(self):
        self.listings += 1
        self.begun.set()
        listing = self.listing
        if isinstance(listing, asyncio.Event):
            await listing.wait()
        elif listing is not None:
            raise listing
        return list(self.listed)

    async def aclose(self):
        self.closed += 1


class FakePuller(FakeProvider):
    """A provider that also fetches models, and knows which are in memory."""

    def __init__(self, *models, listing=None, memory=()):
        super().__init__(*models, listing=listing)
        self.memory = memory

    async def pull(self, model):
        yield None

    async def delete_model(self, model):
        pass

    async def loaded(self):
        if isinstance(self.memory, Exception):
            raise self.memory
        return list(self.memory)


class FakeReader:
    """What a tenant declared; *error* instead when there is one."""

    def __init__(self):
        self.declared = Declarations()
        self.error = None
        self.reads = 0
        self.gate = None

    async def read(self, tenant_id):
        assert tenant_id == "default"
        self.reads += 1
        declared = self.declared
        if self.gate is not None:
            await self.gate.wait()
        if self.error:
            raise DatabaseUnavailable(self.error)
        return declared

    def declare(self, *backends, models=(), keys=(), group="g", wanted=None):
        """Put every backend, and the wanted models (all by default), into one group."""
        wanted = [m.model for m in models] if wanted is None else wanted
        self.declared = Declarations(
            backends=tuple(backends),
            models=tuple(models),
            providers=tuple(
                ProviderConfig(type=type, api_key=key, created_at=T0, updated_at=T0)
                for type, key in keys
            ),
            backend_groups=frozenset((group, one.id) for one in backends if group),
            model_groups=frozenset((group, m.id) for m in models if m.model in wanted),
        )


def make_stored(name, type="fake", base_url=None):
    return StoredBackend(
        id=f"id-{name}",
        name=name,
        type=type,
        base_url=base_url or f"http://{name}",
        created_at=T0,
        updated_at=T0,
    )


def make_declared(name, **facts):
    fields = {"context_length": 100, "can_chat": True, "created_at": T0, "updated_at": T0} | facts
    return DeclaredModel(id=f"id-{name}", model=name, **fields)


def make_backend(name, provider, **options):
    config = BackendConfig(name=name, type="fake", base_url=f"http://{name}", **options)
    return Backend(config, provider)


async def settle(condition):
    """Wait until *condition* holds, by letting everybody else run."""
    async with asyncio.timeout(5):
        # what is waited for are plain values, which have no events
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture(name="FakeProvider")
def fake_provider():
    return FakeProvider


@pytest.fixture(name="FakePuller")
def fake_puller():
    return FakePuller


@pytest.fixture
def reader():
    return FakeReader()


@pytest.fixture
def stored():
    return make_stored


@pytest.fixture
def declared():
    return make_declared


@pytest.fixture
def backend():
    return make_backend


@pytest.fixture
def until():
    return settle


@pytest.fixture(autouse=True)
async def _no_task_is_left():
    yield
    left = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
    assert [name for name in left if name.startswith(("fleet-", "list-", "watch-"))] == []
