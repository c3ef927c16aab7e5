"""What a large fleet costs, in processor time: keeping its state fresh, and finding a backend."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
from msgspec.structs import replace

from bench import machine
from bench.report import Check, at_most, run_in_process
from runtime_core.drivers import driver_names, load_driver
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.connecting import Connector
from runtime_core.fleet.gateway import FleetGateway
from runtime_core.fleet.reconciler import Reconciler
from runtime_core.fleet.state import LiveState
from runtime_core.types import (
    ChatChunk,
    ChatRequest,
    Declarations,
    DeclaredModel,
    ModelInfo,
    StoredBackend,
    Wanted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.fleet.backend import Backend
    from runtime_core.protocols import Bus
    from runtime_core.types import BackendConfig

__all__ = ("main", "run")

MODELS = 50
FLEETS = (20, 200)
_LISTING_LIMIT = 1500.0
_ROUTING_LIMIT = 50.0
#: How much dearer one may be in the largest fleet than in the smallest.  Neither looks at backends
#: that it is not about: what is left is that ten times as many models do not fit the processor's
#: caches, which makes a listing about a tenth dearer.  Anything that walks the fleet for each
#: listing, at 0.2 µs a backend, adds a quarter, and is seen.
_LISTING_FLAT, _ROUTING_FLAT = 1.2, 1.5
#: Listings that are under way at once.  A fleet spreads its listings over a period, the more so the
#: larger it is: all at once would measure what a burst costs the garbage collector.
_AT_ONCE = 20
#: Listings that are measured in a round.
_LISTINGS = 1000
_NOW = datetime.now(UTC)
_TENANT = "bench"
_CHUNK = ChatChunk("word", finish_reason="stop")


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON; 0 when every limit holds."""
    return run_in_process("fleet", run, argv, __doc__)


def run(rounds: int = 5) -> dict[str, Any]:
    """Return the figures, in microseconds: medians over *rounds* interleaved rounds."""
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        for count in FLEETS:
            for name, figure in asyncio.run(_round(count)).items():
                samples.setdefault(name, []).append(figure)
    figures = {name: median(values) for name, values in samples.items()}
    return {
        "machine": machine.describe("runtime-core"),
        "rounds": rounds,
        "runs": samples,
        "figures": figures,
        "checks": _checks(figures),
    }


_LISTING = "one listing, told to a second replica"


def _under(policy: str) -> str:
    return f"one call, choice and answer of one chunk, {policy}"


def _checks(figures: dict[str, float]) -> list[Check]:
    checks = []
    for what, limit, flat in (
        (_LISTING, _LISTING_LIMIT, _LISTING_FLAT),
        *((_under(policy), _ROUTING_LIMIT, _ROUTING_FLAT) for policy in driver_names("router")),
    ):
        small, large = (figures[_name(what, count)] for count in FLEETS)
        checks.append(at_most(_name(what, FLEETS[-1]), large, limit, " µs"))
        checks.append(at_most(f"{what}: {FLEETS[-1]} / {FLEETS[0]}", large / small, flat))
    return checks


def _name(what: str, count: int) -> str:
    return f"{what}, {count} x {MODELS}"


async def _round(count: int) -> dict[str, float]:
    async with httpx.AsyncClient() as client:
        bus = load_driver("bus", "memory")("memory://", queue_size=10 * count)
        reader = _Reader(count)
        fleets = [_Fleet(reader, bus, client) for _ in range(2)]
        one, two = fleets
        async with one.reconciler, one.catalog, two.reconciler, two.catalog:
            gateway = FleetGateway(one.catalog, {})
            for fleet in fleets:
                while fleet.catalog.pending:
                    await fleet.catalog.next_listing()
            figures = {
                _LISTING: await _listing_time(one, two),
                **await _policy_times(one),
                "the first choice after a change": await _first_choice_time(one, gateway),
                "reading the state, a backend": _state_time(one) / count,
                "applying a change of one backend, the whole fleet": await _change_time(one),
            }
    return {_name(what, count): figure for what, figure in figures.items()}


class _Fleet:
    """One replica."""

    def __init__(self, reader: _Reader, bus: Bus, client: httpx.AsyncClient) -> None:
        self.catalog = Catalog([], period=86_400)
        connector = Connector({"bench": _Provider}, client)
        self.reconciler = Reconciler(_TENANT, self.catalog, connector, reader, bus)
        self.state = LiveState(self.catalog, self.reconciler)


async def _listing_time(one: _Fleet, two: _Fleet) -> float:
    """Return the time of one listing in which a model changed, what others do with it included."""
    times = []
    for _ in range(_LISTINGS // len(one.catalog.backends)):
        for start in range(0, len(one.catalog.backends), _AT_ONCE):
            burst = one.catalog.backends[start : start + _AT_ONCE]
            times.append(await _burst_time(one, two, burst))
    return median(times)


async def _burst_time(one: _Fleet, two: _Fleet, burst: Sequence[Backend]) -> float:
    count, heard, done = len(burst), set[str](), asyncio.Event()

    def hear(backend_id: str, backend: Backend | None) -> None:
        heard.add(backend_id)
        if len(heard) == count:
            done.set()

    two.catalog.observers.append(hear)
    began = time.process_time()
    for backend in burst:
        one.reconciler.look(backend.id)
    await done.wait()
    spent = time.process_time() - began
    two.catalog.observers.remove(hear)
    return spent / count * 1e6


async def _routing_time(gateway: FleetGateway, repeats: int = 2000) -> float:
    """Return the time of a whole call of a model that all backends have, of one chunk."""
    wishes = [Wanted("chat", (f"model-{number}",)) for number in range(MODELS)]
    request = ChatRequest(model="", messages=())
    for wanted in wishes:
        await gateway.candidates(wanted)
    began = time.process_time()
    for number in range(repeats):
        async for _ in gateway.chat(wishes[number % MODELS], request):
            pass
    return (time.process_time() - began) / repeats * 1e6


async def _policy_times(fleet: _Fleet) -> dict[str, float]:
    """Return the time of a call under each policy."""
    times = {}
    for name in driver_names("router"):
        policy = load_driver("router", name)()
        gateway = FleetGateway(fleet.catalog, {}, router=policy, policy=name)
        times[_under(name)] = await _routing_time(gateway)
    return times


async def _first_choice_time(fleet: _Fleet, gateway: FleetGateway, repeats: int = 20) -> float:
    wanted, spent = Wanted("chat", ("model-7",)), 0.0
    for _ in range(repeats):
        fleet.catalog.apply(fleet.catalog.backends)
        began = time.process_time()
        await gateway.candidates(wanted)
        spent += time.process_time() - began
    return spent / repeats * 1e6


def _state_time(fleet: _Fleet, repeats: int = 20) -> float:
    began = time.process_time()
    for _ in range(repeats):
        fleet.state.states(_TENANT)
    return (time.process_time() - began) / repeats * 1e6


async def _change_time(fleet: _Fleet, repeats: int = 10) -> float:
    began = time.process_time()
    for _ in range(repeats):
        await fleet.reconciler.load()
    return (time.process_time() - began) / repeats * 1e6


class _Provider:
    """Lists models, of which the first is another one each time."""

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        self._models = [_model(number) for number in range(1, MODELS)]
        self._listings = 0

    async def models(self) -> Sequence[ModelInfo]:
        self._listings += 1
        return [_model(0, str(self._listings)), *self._models]

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield _CHUNK

    async def aclose(self) -> None:
        """Nothing is held."""


def _model(number: int, digest: str = "sha256:0123456789abcdef") -> ModelInfo:
    return ModelInfo(
        f"model-{number}:7b",
        context_length=8192,
        size=4_000_000_000 + number,
        digest=digest,
        modified_at="2025-05-01T10:00:00.5+02:00",
        details={"family": "llama", "families": ["llama"], "parameter_size": "7B"},
    )


class _Reader:
    """Declares every backend and model, all in one group."""

    def __init__(self, count: int) -> None:
        backends = [_stored(number) for number in range(count)]
        models = [_declared(number) for number in range(MODELS)]
        self._reads = 0
        self._declared = Declarations(
            backends=tuple(backends),
            models=tuple(models),
            backend_groups=frozenset(("all", backend.id) for backend in backends),
            model_groups=frozenset(("all", model.id) for model in models),
        )

    async def read(self, tenant_id: str) -> Declarations:
        """Rename one backend each time: the smallest change that needs another provider."""
        self._reads += 1
        *others, last = self._declared.backends
        renamed = replace(last, name=f"backend {last.id} {self._reads}")
        return replace(self._declared, backends=(*others, renamed))


def _stored(number: int) -> StoredBackend:
    return StoredBackend(
        id=f"backend-{number}",
        name=f"backend {number}",
        base_url=f"http://backend-{number}",
        type="bench",
        created_at=_NOW,
        updated_at=_NOW,
    )


def _declared(number: int) -> DeclaredModel:
    return DeclaredModel(
        id=f"model-{number}",
        model=f"model-{number}:7b",
        context_length=8192,
        can_chat=True,
        created_at=_NOW,
        updated_at=_NOW,
    )
