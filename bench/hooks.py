"""What a tool call adds to the call of the service itself, and what many hooks cost.

Client, toolbox and egress are in one process and one event loop; the service is in another.
Calls of all kinds are made one after the other, in turn, so that what disturbs one disturbs all.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import uvloop
from runtime_hooks_remote.hook import Draft
from runtime_hooks_remote.injection import Injection
from runtime_hooks_remote.openapi import read
from runtime_hooks_remote.source import RemoteHooks

from bench import machine
from bench.processes import BenchError, ServiceProcess, ask
from bench.report import Check, at_most, run_in_process
from bench.service import ITEM, document
from bench.targets import Target, ours
from runtime_core.app import DEFAULT_TENANT, compose
from runtime_core.settings import Settings
from runtime_core.types import ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from runtime_core.app import Kernel

    Call = Callable[[], Awaitable[object]]

__all__ = ("checks_of", "figures_of", "main", "run")

CALLS, WARM_UP = 400, 50
HOOKS, DEAD = 200, 20
OPERATIONS = 500
#: Microseconds.
_OVERHEAD, _COLD, _WARM, _DOCUMENT = 500.0, 3_000_000.0, 50_000.0, 250_000.0

_GET, _POST, _CHAIN = "GET with a query", "POST of JSON", "chain of one hook task over HTTP"
_COLD_LISTING = f"listing of {HOOKS} hooks, {DEAD} dead, cold"
_WARM_LISTING = f"listing of {HOOKS} hooks, {DEAD} dead, warm"
_READING = f"reading a document of {OPERATIONS} operations, CPU"

_HEADERS = {"X-API-Key": "not-a-real-key"}
_QUERY = {"q": "kettle", "limit": "5"}
_TASK = {
    "id": "call",
    "handler": "hook",
    "hook": {
        "name": "bench",
        "tool_name": "list_items",
        "args": {"q": "{{.input}}", "limit": "5"},
    },
    "transition": {"branches": [{"operator": "default", "goto": "end"}]},
}


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON; 0 when every limit holds."""
    return run_in_process("hooks", run, argv, __doc__)


def run(rounds: int = 5, *, calls: int = CALLS) -> dict[str, Any]:
    """Return the figures, in microseconds: medians over *rounds* interleaved rounds."""
    samples: dict[str, list[float]] = {}
    cores = machine.place()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        service = stack.enter_context(ServiceProcess(directory, cores.load))
        server = ours(service.port, directory, cores.target)
        stack.callback(server.stop)
        _prepare(server, service.port)
        for number in range(rounds):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                place = directory / str(number)
                place.mkdir()
                found = runner.run(_round(place, service.port, server, calls))
            for name, figure in found.items():
                samples.setdefault(name, []).append(figure)
    figures = {name: median(values) for name, values in samples.items()}
    return {
        "machine": machine.describe("runtime-core", "aiohttp", "httpx", "uvloop"),
        "rounds": rounds,
        "runs": samples,
        "figures": figures,
        "checks": checks_of(figures),
    }


def figures_of(what: str, times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the quantiles of each way to make the same call, and what ``tool`` adds to each.

    :param times: microseconds by the way; ``tool`` is ours, the others are direct.
    """
    figures: dict[str, float] = {}
    quantile = {way: _quantiles(values) for way, values in times.items()}
    for way, values in quantile.items():
        figures |= {f"{what}, {way}, {name}": value for name, value in values.items()}
    for way in quantile.keys() - {"tool"}:
        for name, value in quantile[way].items():
            figures[f"{what}, added to {way}, {name}"] = quantile["tool"][name] - value
    return dict(sorted(figures.items()))


def checks_of(figures: Mapping[str, float]) -> list[Check]:
    """Return which limits hold."""
    added = [f"{what}, added to aiohttp, p50" for what in (_GET, _POST)]
    return [
        *(at_most(name, figures[name], _OVERHEAD, " µs") for name in added),
        at_most(_COLD_LISTING, figures[_COLD_LISTING], _COLD, " µs"),
        at_most(_WARM_LISTING, figures[_WARM_LISTING], _WARM, " µs"),
        at_most(_READING, figures[_READING], _DOCUMENT, " µs"),
    ]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


def _prepare(server: Target, port: int) -> None:
    """Register the service, and store a chain that calls it, on a server as it is shipped."""
    hook = {
        "name": "bench",
        "endpointUrl": _address(port),
        "timeoutMs": 10_000,
        "headers": _HEADERS,
    }
    for path, body in (("/hooks/remote", hook), ("/taskchains", {"id": "tool", "tasks": [_TASK]})):
        sent = {"content-type": "application/json", **server.endpoint.headers}
        encoded = json.dumps(body).encode()
        status, text = ask(server.endpoint.port, "POST", path, encoded, sent)
        if status != 201:
            raise BenchError(f"POST {path} answered {status}: {text[:500]!r}")


async def _round(directory: Path, port: int, server: Target, calls: int) -> dict[str, float]:
    settings = Settings.load(
        {
            "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
            "RUNTIME_DISABLE_PLUGINS": "ollama",
            "RUNTIME_TOKENIZER": "estimate",
        },
        directory,
    )
    figures: dict[str, float] = {}
    kernel = compose(settings)
    async with kernel.running(), AsyncExitStack() as stack:
        await kernel.secrets.put(DEFAULT_TENANT, "bench", _HEADERS["X-API-Key"])
        await _register(kernel, "bench", _address(port))
        direct = await stack.enter_async_context(aiohttp.ClientSession())
        plain = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        for what, ways in _ways(kernel, direct, plain, port).items():
            await _compare(ways)
            figures |= figures_of(what, await _times(ways, calls))
        chained = _chained(direct, port, server)
        figures |= figures_of(_CHAIN, await _times(chained, calls))
        figures |= await _listings(kernel, port)
    figures[_READING] = _reading_time()
    return figures


def _ways(
    kernel: Kernel, direct: aiohttp.ClientSession, plain: httpx.AsyncClient, port: int
) -> dict[str, dict[str, Call]]:
    """Return what is called, and each way to call it; every one reads the answer's JSON."""
    url = f"{_address(port)}/items"
    egress = kernel.egress.operator

    async def guarded(method: str, address: str, body: bytes | None) -> object:
        headers = {**_HEADERS, "content-type": "application/json"} if body else _HEADERS
        answer = await egress.request(method, address, headers=headers, body=body)
        return json.loads(answer.body)

    async def httpx_call(method: str, **what: Any) -> object:
        return (await plain.request(method, url, headers=_HEADERS, **what)).json()

    def tool(name: str, arguments: dict[str, Any]) -> Awaitable[object]:
        request = ToolRequest(hook="bench", tool=name, arguments=arguments)
        return kernel.toolbox.call(request)

    return {
        _GET: {
            "aiohttp": lambda: _read(direct, "GET", url, params=_QUERY),
            "httpx": lambda: httpx_call("GET", params=_QUERY),
            "egress": lambda: guarded("GET", f"{url}?q=kettle&limit=5", None),
            "tool": lambda: tool("list_items", {"q": "kettle", "limit": 5}),
        },
        _POST: {
            "aiohttp": lambda: _read(direct, "POST", url, json=ITEM),
            "httpx": lambda: httpx_call("POST", json=ITEM),
            "egress": lambda: guarded("POST", url, json.dumps(ITEM).encode()),
            "tool": lambda: tool("add_item", ITEM),
        },
    }


async def _compare(ways: Mapping[str, Call]) -> None:
    """See that every way comes to the same, which also warms all of them up."""
    expected = await ways["aiohttp"]()
    for way, call in ways.items():
        found = await call()
        if (found.data if isinstance(found, Value) else found) != expected:
            raise BenchError(f"by {way} the answer was {found!r} and not {expected!r}")


async def _read(
    client: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str] = _HEADERS,
    **what: Any,
) -> object:
    async with client.request(method, url, headers=headers, **what) as response:
        response.raise_for_status()
        return await response.json()


def _chained(client: aiohttp.ClientSession, port: int, server: Target) -> dict[str, Call]:
    tasks = f"{_address(server.endpoint.port)}/tasks"
    body = {"chainId": "tool", "input": "kettle"}
    return {
        "aiohttp": lambda: _read(client, "GET", f"{_address(port)}/items", params=_QUERY),
        "tool": lambda: _read(client, "POST", tasks, server.endpoint.headers, json=body),
    }


async def _times(ways: Mapping[str, Call], calls: int) -> dict[str, list[float]]:
    """Return the microseconds of each call; every way is taken in turn."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(WARM_UP + calls):
        for way, call in ways.items():
            began = time.perf_counter()
            await call()
            if number >= WARM_UP:
                times[way].append((time.perf_counter() - began) * 1e6)
    return times


async def _listings(kernel: Kernel, port: int) -> dict[str, float]:
    """Return the times of listings of many hooks, some of which take calls and say nothing."""
    async with _silent() as silent:
        for number in range(1, HOOKS):
            dead = number % (HOOKS // DEAD) == 0 or number == HOOKS - 1
            await _register(kernel, f"hook-{number}", _address(silent if dead else port))
        cold = await _listing_time(kernel)
        warm = [await _listing_time(kernel) for _ in range(5)]
        rows = await kernel.toolbox.hooks(DEFAULT_TENANT)
    remote = [row for row in rows if row.type == "remote"]
    if len(remote) != HOOKS or sum(bool(row.error) for row in remote) != DEAD:
        raise BenchError(f"{HOOKS - DEAD} of {HOOKS} hooks must be listed with their tools")
    return {_COLD_LISTING: cold, _WARM_LISTING: median(warm)}


async def _listing_time(kernel: Kernel) -> float:
    began = time.perf_counter()
    await kernel.toolbox.hooks(DEFAULT_TENANT)
    return (time.perf_counter() - began) * 1e6


async def _register(kernel: Kernel, name: str, url: str) -> None:
    source = kernel.toolbox.sources["remote"]
    assert isinstance(source, RemoteHooks)  # nothing else is called so
    injection = Injection(headers={"X-API-Key": "{{secret:bench}}"})
    draft = Draft(id=name, name=name, endpoint_url=url, timeout_ms=10_000, injection=injection)
    await source.rooms.store.create(DEFAULT_TENANT, draft)


@asynccontextmanager
async def _silent() -> AsyncIterator[int]:
    """Listen on a port, take connections, and never answer; returns the port."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _reading_time() -> float:
    content = document(OPERATIONS)
    began = time.process_time()
    found = read(content, url="http://127.0.0.1/openapi.json")
    spent = time.process_time() - began
    if len(found.operations) != OPERATIONS:
        raise BenchError(f"the document has {len(found.operations)} operations")
    return spent * 1e6


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
