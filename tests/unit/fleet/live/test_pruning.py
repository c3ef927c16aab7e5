"""What is deleted from backends when an operator asks for it, and what never is."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from runtime_core.errors import DatabaseUnavailable, UpstreamModelNotFound, UpstreamRejected
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.pruning import Pruner
from runtime_core.types import Declarations


class Queue:
    """The downloads there are: pairs of backend id and model."""

    def __init__(self, *jobs):
        self.jobs = jobs

    async def list(self, tenant_id):
        assert tenant_id == "default"
        return [SimpleNamespace(backend_id=backend, model=model) for backend, model in self.jobs]


@pytest.fixture
def hub(FakePuller):
    class Hub(FakePuller):
        """Loses the models it is told to delete; *refusal* instead when there is one."""

        refusal = None
        deleted = ()
        gate = None

        async def delete_model(self, model):
            if self.gate is not None:
                await self.gate.wait()
            if self.refusal is not None:
                raise self.refusal
            self.deleted += (model,)

    return Hub


@pytest.fixture
def prune(reader, backend):
    """Prune a backend once, and return those that were looked at afterwards."""

    async def run(provider, *, queue=None, named=(), declared=None, **config):
        looked = []
        one = backend("b", provider, **config)
        async with Catalog([one], period=3600) as catalog:
            while catalog.pending:
                await catalog.next_listing()
            pruner = Pruner("default", reader, queue or Queue(), named=named, look=looked.append)
            await pruner(one, reader.declared if declared is None else declared)
        return looked

    return run


async def test_what_nobody_declared_goes_and_is_named_in_the_log(
    hub, prune, reader, declared, caplog
):
    caplog.set_level(logging.INFO, "runtime.fleet")
    reader.declare(models=[declared("Kept")])
    provider = hub("kept:latest", "old", "older:7b")
    assert await prune(provider) == ["static:b"]
    assert provider.deleted == ("old", "older:7b")
    lines = [m for m in caplog.messages if "deleted" in m]
    assert lines == [
        f"{model} is deleted from backend b: nobody declared it" for model in ("old", "older:7b")
    ]


async def test_a_declared_model_stays_in_whatever_group_it_is(hub, prune, reader, declared):
    reader.declare(models=[declared("a"), declared("b:7b")], wanted=[])
    provider = hub("a", "b:7b")
    assert await prune(provider) == []
    assert provider.deleted == ()


async def test_the_models_of_the_settings_stay(hub, prune, reader, declared):
    reader.declare(models=[declared("a")])
    provider = hub("a", "chat:latest", "x")
    await prune(provider, named=("chat", ""))
    assert provider.deleted == ("x",)


async def test_while_nothing_is_declared_everything_stays(hub, prune):
    provider = hub("a")
    assert await prune(provider, named=("chat",)) == []
    assert provider.deleted == ()


async def test_a_model_that_a_download_is_about_stays(hub, prune, reader, declared):
    reader.declare(models=[declared("a")])
    provider = hub("a", "mine:latest", "theirs")
    await prune(provider, queue=Queue(("static:b", "mine"), ("static:c", "theirs")))
    assert provider.deleted == ("theirs",)


async def test_what_another_replica_declared_meanwhile_stays(hub, prune, reader, declared):
    reader.declare(models=[declared("a")])
    before = reader.declared
    reader.declare(models=[declared("a"), declared("new")])
    provider = hub("a", "new")
    assert await prune(provider, declared=before) == []
    assert provider.deleted == ()


async def test_a_backend_nobody_configured_is_left_alone(hub, prune, reader, declared):
    reader.declare(models=[declared("a")])
    provider = hub("x")
    await prune(provider, implicit=True)
    assert provider.deleted == ()


async def test_when_nobody_knows_what_is_declared_nothing_goes(
    hub, prune, reader, declared, caplog
):
    reader.declare(models=[declared("a")])
    reader.error = "the disk is full"
    provider = hub("x")
    assert await prune(provider) == []
    assert provider.deleted == ()
    assert "x stays on backend b until next time: the disk is full" in caplog.messages


async def test_when_nobody_knows_what_is_downloaded_nothing_goes(hub, prune, reader, declared):
    class Broken(Queue):
        async def list(self, tenant_id):
            raise DatabaseUnavailable("locked")

    reader.declare(models=[declared("a")])
    provider = hub("x")
    assert await prune(provider, queue=Broken()) == []
    assert provider.deleted == ()


@pytest.mark.parametrize(
    ("refusal", "looked"),
    [(UpstreamModelNotFound("gone"), ["static:b"]), (UpstreamRejected("in use"), [])],
)
async def test_what_cannot_be_deleted(hub, prune, reader, declared, refusal, looked):
    reader.declare(models=[declared("a")])
    provider = hub("x")
    provider.refusal = refusal
    assert await prune(provider) == looked


async def test_a_backend_is_pruned_once_at_a_time(hub, reader, declared, backend):
    reader.declare(models=[declared("a")])
    provider = hub("x")
    provider.gate = asyncio.Event()
    one = backend("b", provider)
    one.listed = tuple(provider.listed)
    looked = []
    pruner = Pruner("default", reader, Queue(), look=looked.append)
    first = asyncio.create_task(pruner(one, reader.declared))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await pruner(one, reader.declared)
    provider.gate.set()
    await first
    assert (provider.deleted, looked) == (("x",), ["static:b"])


async def test_nothing_declared_and_nothing_listed(hub, prune):
    assert await prune(hub(), declared=Declarations()) == []
