"""Documents of hooks: loaded once, kept, renewed behind the scenes, and never waited for twice."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_remote.documents import Documents
from runtime_hooks_remote.hook import Options, RemoteHook
from runtime_hooks_remote.injection import Injection
from runtime_hooks_remote.loading import Loader
from runtime_hooks_remote.revealing import Revealer
from runtime_hooks_remote.settings import RemoteHooksSettings

from runtime_core.errors import (
    AddressRefused,
    TimedOut,
    UpstreamError,
    UpstreamUnavailable,
)
from runtime_core.types import HookInfo
from runtime_core.upstream import create_egress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 30

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class NoSecrets:
    async def reveal(self, tenant_id: str, text: str) -> str:
        return text


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def egress() -> AsyncIterator[Any]:
    egress = create_egress()
    yield egress
    await egress.aclose()


@pytest.fixture
async def documents(clock: Clock, egress: Any) -> AsyncIterator[Documents]:
    loader = Loader(egress, RemoteHooksSettings(max_references=3, max_document=100_000))
    documents = Documents(loader, Revealer(NoSecrets()), clock=clock)
    async with documents.running():
        yield documents


def hook(url: str, **more: Any) -> RemoteHook:
    fields = {
        "id": "1",
        "name": "pets",
        "endpoint_url": url,
        "timeout_ms": 5000,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return RemoteHook(**(fields | more))


async def settled(documents: Documents) -> None:
    """Wait until nothing is being loaded."""
    async with asyncio.timeout(PATIENCE):
        while documents._tasks:
            await asyncio.wait(tuple(documents._tasks))


def names(loaded: Any) -> list[str]:
    return [tool.name for tool in loaded.info.tools]


async def hang(request: Any, connection: Any) -> None:
    await asyncio.Event().wait()


# -------------------------------------------------------------------------
# Loading
# -------------------------------------------------------------------------


async def test_it_is_loaded_once_for_everybody_who_asks(documents: Any, service: Any) -> None:
    pets = hook(service.url)
    found = await asyncio.gather(*(documents.get("default", pets) for _ in range(20)))
    assert all(each is found[0] for each in found)
    assert names(found[0]) == ["listPets", "addPet", "getPet", "deletePet"]
    assert found[0].info.description == "Pets"
    assert service.loads() == 1


async def test_one_who_gives_up_leaves_the_others_theirs(documents: Any, service: Any) -> None:
    first = asyncio.create_task(documents.get("default", pets := hook(service.url)))
    second = asyncio.create_task(documents.get("default", pets))
    await asyncio.sleep(0)
    first.cancel()
    assert names(await second)
    assert service.loads() == 1


async def test_tenants_have_documents_of_their_own(documents: Any, service: Any) -> None:
    pets = hook(service.url)
    await documents.get("one", pets)
    await documents.get("two", pets)
    assert service.loads() == 2


async def test_a_hook_that_was_changed_is_asked_anew(documents: Any, service: Any) -> None:
    await documents.get("default", hook(service.url))
    await documents.get("default", hook(service.url))
    assert service.loads() == 1
    await documents.get("default", hook(service.url, timeout_ms=100))
    assert service.loads() == 2


async def test_it_may_be_elsewhere_and_then_gets_no_credentials(
    documents: Any, service: Any, other_service: Any
) -> None:
    other_service.handlers["/api.json"] = other_service.handlers.get("/openapi.json") or (
        b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s"
        % (len(json.dumps(other_service.document)), json.dumps(other_service.document).encode())
    )
    pets = hook(
        service.url,
        injection=Injection(headers={"Authorization": "Bearer x"}),
        options=Options(document_url=f"{other_service.url}/api.json"),
    )
    assert names(await documents.get("default", pets))
    assert not service.requests
    [request] = other_service.requests
    assert "authorization" not in request.headers


async def test_the_service_itself_gets_the_hooks_headers(documents: Any, service: Any) -> None:
    injection = Injection(
        headers={"Authorization": "Bearer x", "Accept": "text/csv"},
        name="X-Key",
        value="k",
        place="header",
    )
    await documents.get("default", hook(service.url, injection=injection))
    [request] = service.requests
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["x-key"] == "k"
    assert request.headers["accept"].startswith("application/json")


async def test_yaml_is_read(documents: Any, service: Any, reply: Any) -> None:
    text = b"openapi: 3.1.0\ninfo: {title: Y}\npaths: {/a: {get: {operationId: a}}}\n"
    service.handlers["/openapi.json"] = reply(200, text, content_type="application/yaml")
    loaded = await documents.get("default", hook(service.url))
    assert names(loaded) == ["a"]
    assert json.loads(loaded.json())["openapi"] == "3.1.0"


async def test_large_ones_are_read_beside_the_loop(
    documents: Any, service: Any, PETS: Any, monkeypatch: Any
) -> None:
    PETS["info"]["description"] = "x" * 40_000
    service.document = PETS
    threads: list[Any] = []
    original = asyncio.to_thread

    async def to_thread(work: Any, *arguments: Any, **named: Any) -> Any:
        threads.append(work)
        return await original(work, *arguments, **named)

    # the only sign of a thread that a test can see for certain
    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await documents.get("default", hook(service.url))
    assert len(threads) == 3  # the import, the reading, and the packing


# -------------------------------------------------------------------------
# Renewal
# -------------------------------------------------------------------------


async def test_it_is_kept_while_it_is_fresh(documents: Any, service: Any, clock: Clock) -> None:
    pets = hook(service.url)
    loaded = await documents.get("default", pets)
    clock.now += 59
    assert documents.get_nowait("default", pets) is loaded
    assert await documents.get("default", pets) is loaded
    assert service.loads() == 1


async def test_a_stale_one_is_used_while_it_is_renewed(
    documents: Any, service: Any, clock: Clock, PETS: Any
) -> None:
    pets = hook(service.url)
    old = await documents.get("default", pets)
    clock.now += 61
    del PETS["paths"]["/pets"]
    service.document = PETS
    assert documents.get_nowait("default", pets) is None
    assert await documents.get("default", pets) is old
    await settled(documents)
    new = await documents.get("default", pets)
    assert names(new) == ["getPet", "deletePet"]
    assert service.loads() == 2


@pytest.mark.parametrize(
    ("cache_control", "fresh", "stale"),
    [
        ("max-age=600", 599, 601),
        ("public, MAX-AGE=600", 599, 601),
        ("no-store", 4, 6),
        ("no-cache", 4, 6),
        ("max-age=0", 4, 6),
        ("max-age=999999999999999999999", 86_399, 86_401),
        ("max-age=soon", 59, 61),
        ("", 59, 61),
    ],
)
async def test_services_say_how_long_it_is_fresh_within_bounds(
    documents: Any,
    service: Any,
    clock: Clock,
    reply: Any,
    cache_control: str,
    fresh: float,
    stale: float,
) -> None:
    service.handlers["/openapi.json"] = reply(200, service.document, cache_control=cache_control)
    pets = hook(service.url)
    await documents.get("default", pets)
    begin = clock.now
    clock.now = begin + fresh
    assert documents.get_nowait("default", pets) is not None
    clock.now = begin + stale
    assert documents.get_nowait("default", pets) is None


async def test_one_that_has_not_changed_is_not_sent_again(
    documents: Any, service: Any, clock: Clock, reply: Any
) -> None:
    async def answer(request: Any, connection: Any) -> bytes:
        if request.headers.get("if-none-match") == '"v1"':
            assert request.headers["if-modified-since"] == "Thu, 01 Jan 2026 00:00:00 GMT"
            return b"HTTP/1.1 304 X\r\ncache-control: max-age=600\r\n\r\n"
        return bytes(
            reply(200, service.document, etag='"v1"', last_modified="Thu, 01 Jan 2026 00:00:00 GMT")
        )

    service.handlers["/openapi.json"] = answer
    pets = hook(service.url)
    first = await documents.get("default", pets)
    clock.now += 61
    await documents.get("default", pets)
    await settled(documents)
    assert service.loads() == 2
    clock.now += 599
    assert documents.get_nowait("default", pets) is first


async def test_the_last_good_one_outlives_a_broken_service(
    documents: Any, service: Any, clock: Clock, reply: Any
) -> None:
    pets = hook(service.url)
    good = await documents.get("default", pets)
    for broken in (b"{", b"", b"<html>"):
        service.handlers["/openapi.json"] = reply(200, broken, content_type="text/html")
        clock.now += 100
        assert await documents.get("default", pets) is good
        await settled(documents)
        assert "the OpenAPI document cannot be used" in documents.error_of("default", pets)
        assert await documents.list("default", [pets], seconds=1) == [good]
        await settled(documents)
    del service.handlers["/openapi.json"]
    clock.now += 100
    await documents.get("default", pets)
    await settled(documents)
    assert documents.error_of("default", pets) == ""


# -------------------------------------------------------------------------
# Services that are down
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, b"", UpstreamError, "answered 404; an OpenAPI document must be there"),
        (200, b"[]", UpstreamError, "it is not an object"),
        (200, b'{"swagger": "2.0"}', UpstreamError, "convert the document to OpenAPI"),
        (200, b"[" * 90_000, UpstreamError, "the OpenAPI document cannot be used"),
        (200, b"x" * 200_000, UpstreamError, "more than 100000 bytes"),
        (302, b"", UpstreamError, "answered 302"),
    ],
)
async def test_why_there_is_none_is_told(
    documents: Any, service: Any, reply: Any, status: int, body: bytes, kind: Any, words: str
) -> None:
    service.handlers["/openapi.json"] = reply(status, body)
    pets = hook(service.url)
    with pytest.raises(kind, match=words):
        await documents.get("default", pets)
    [row] = await documents.list("default", [pets], seconds=5)
    assert isinstance(row, HookInfo)
    assert words in row.error
    assert words in documents.error_of("default", pets)


async def test_a_service_that_is_away_is_asked_by_calls_again_and_again(
    documents: Any, service: Any, clock: Clock, reply: Any
) -> None:
    service.handlers["/openapi.json"] = reply(503, b"")
    pets = hook(service.url)
    for _ in range(3):
        with pytest.raises(UpstreamError, match="503"):
            await documents.get("default", pets)
    assert service.loads() == 1
    clock.now += 1.1
    del service.handlers["/openapi.json"]
    assert names(await documents.get("default", pets))


async def test_listings_try_less_and_less_often(
    documents: Any, service: Any, clock: Clock, reply: Any
) -> None:
    service.handlers["/openapi.json"] = reply(503, b"")
    pets = hook(service.url)
    asked = []
    for second in range(200):
        clock.now = 1000.0 + second
        before = service.loads()
        [row] = await documents.list("default", [pets], seconds=5)
        assert "503" in row.error
        await settled(documents)
        if service.loads() > before:
            asked.append(second)
    assert asked == [0, 5, 15, 35, 75, 135, 195]


async def test_a_hook_that_hangs_costs_a_listing_its_patience_once(
    documents: Any, service: Any, other_service: Any
) -> None:
    service.handlers["/openapi.json"] = hang
    dead = hook(service.url, id="dead", timeout_ms=60_000)
    good = hook(other_service.url, id="good")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    bad_row, good_row = await documents.list("default", [dead, good], seconds=0.3)
    assert loop.time() - begin < 5
    assert "still being loaded" in bad_row.error
    assert names(good_row)
    async with asyncio.timeout(PATIENCE):
        bad_row, good_row = await documents.list("default", [dead, good], seconds=10_000)
    assert "still being loaded" in bad_row.error
    assert names(good_row)


async def test_a_hook_that_hung_once_delays_no_listing(documents: Any, service: Any) -> None:
    service.handlers["/openapi.json"] = hang
    dead = hook(service.url, timeout_ms=50)
    with pytest.raises(TimedOut, match=r"longer than 50 ms \(its timeoutMs\)"):
        await documents.get("default", dead)
    async with asyncio.timeout(PATIENCE):
        [row] = await documents.list("default", [dead], seconds=10_000)
    assert "50 ms" in row.error


async def test_addresses_that_must_not_be_reached_are_refused(documents: Any) -> None:
    with pytest.raises(AddressRefused, match=r"document cannot be used: 169\.254"):
        await documents.get("default", hook("http://169.254.169.254"))


async def test_nobody_listening_is_told(documents: Any) -> None:
    with pytest.raises(UpstreamUnavailable, match="Connection refused"):
        await documents.get("default", hook("http://127.0.0.1:1"))


async def test_credentials_are_in_no_error(
    documents: Any, service: Any, reply: Any, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    options = Options(document_url=f"{service.url}/openapi.json?key=document-secret")
    injection = Injection(headers={"X-Key": "header-secret"})
    service.handlers["/openapi.json"] = reply(200, b"header-secret: [", content_type="text/yaml")
    pets = hook(service.url, options=options, injection=injection)
    with pytest.raises(UpstreamError) as caught:
        await documents.get("default", pets)
    service.handlers["/openapi.json"] = reply(404, b"")
    with pytest.raises(UpstreamError) as again:
        await documents.get("default", hook(service.url, id="2", options=options))
    for text in (caught.value.message, again.value.message, caplog.text):
        assert "header-secret" not in text
        assert "document-secret" not in text


@pytest.mark.parametrize("path", ["/openapi.json", "/header-secret.json"])
async def test_credentials_that_come_back_are_masked(
    documents: Any, service: Any, reply: Any, path: str
) -> None:
    service.handlers["/openapi.json"] = reply(200, {"openapi": "header-secret"})
    service.handlers["/header-secret.json"] = reply(404, b"")
    pets = hook(
        service.url,
        options=Options(document_url=service.url + path),
        injection=Injection(headers={"X-Key": "header-secret"}),
    )
    with pytest.raises(UpstreamError, match=r"\*\*\*") as caught:
        await documents.get("default", pets)
    assert "header-secret" not in caught.value.message


async def test_what_is_being_loaded_is_ended_with_the_source(
    egress: Any, service: Any, clock: Clock
) -> None:
    service.handlers["/openapi.json"] = hang
    documents = Documents(Loader(egress, RemoteHooksSettings()), Revealer(NoSecrets()), clock=clock)
    async with asyncio.timeout(PATIENCE), documents.running():
        await documents.list("default", [hook(service.url, timeout_ms=60_000)], seconds=0.01)
        assert documents._tasks
    assert not documents._tasks


async def test_many_hooks_are_kept_and_no_more(documents: Any, service: Any) -> None:
    for number in range(1100):
        documents._entry("default", hook(service.url, id=str(number)))
    assert len(documents._entries) == 1024


# -------------------------------------------------------------------------
# References
# -------------------------------------------------------------------------


def referring(*addresses: str) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "R", "version": "1"},
        "paths": {
            f"/{number}": {
                "get": {
                    "operationId": f"op{number}",
                    "parameters": [{"$ref": f"{address}#/limit"}],
                }
            }
            for number, address in enumerate(addresses)
        },
    }


LIMIT = {"limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}}


async def test_documents_of_the_same_service_are_fetched_with_credentials(
    documents: Any, service: Any, reply: Any
) -> None:
    service.document = referring("common.json")
    service.handlers["/common.json"] = reply(200, LIMIT)
    pets = hook(service.url, injection=Injection(headers={"X-Key": "k"}))
    loaded = await documents.get("default", pets)
    [tool] = loaded.info.tools
    assert list(tool.parameters["properties"]) == ["limit"]
    assert service.requests[-1].path == "/common.json"
    assert service.requests[-1].headers["x-key"] == "k"


async def test_documents_of_others_are_only_fetched_from_public_addresses(
    documents: Any, service: Any, other_service: Any
) -> None:
    service.document = referring(f"{other_service.url}/common.json")
    loaded = await documents.get("default", hook(service.url))
    assert not other_service.requests
    assert any("loopback" in problem.what for problem in loaded.document.problems)


async def test_documents_of_others_get_no_credentials(
    service: Any, other_service: Any, reply: Any, clock: Clock
) -> None:
    egress = create_egress(untrusted_private=True)
    other_service.handlers["/common.json"] = reply(200, LIMIT)
    service.document = referring(f"{other_service.url}/common.json")
    documents = Documents(Loader(egress, RemoteHooksSettings()), Revealer(NoSecrets()), clock=clock)
    async with documents.running():
        pets = hook(service.url, injection=Injection(headers={"X-Key": "secret-key"}))
        loaded = await documents.get("default", pets)
    await egress.aclose()
    assert names(loaded) == ["op0"]
    [request] = other_service.requests
    assert "secret-key" not in str(request)


async def test_no_more_documents_are_fetched_than_is_set(
    documents: Any, service: Any, reply: Any
) -> None:
    addresses = [f"part{number}.json" for number in range(6)]
    service.document = referring(*addresses)
    for address in addresses:
        service.handlers[f"/{address}"] = reply(200, LIMIT)
    loaded = await documents.get("default", hook(service.url))
    assert len(service.calls()) == 3
    assert sum("one document too many" in each.what for each in loaded.document.problems) == 3


async def test_documents_that_lead_on_for_ever_come_to_an_end(
    clock: Clock, egress: Any, service: Any, reply: Any
) -> None:
    async def further(request: Any, connection: Any) -> bytes:
        number = int(request.path[5:-5])
        return bytes(reply(200, {"limit": {"$ref": f"part{number + 1}.json#/limit"}}))

    service.document = referring("part0.json")
    service.handlers = {f"/part{number}.json": further for number in range(50)}
    documents = Documents(
        Loader(egress, RemoteHooksSettings(max_references=1000)), Revealer(NoSecrets()), clock=clock
    )
    async with asyncio.timeout(PATIENCE), documents.running():
        await documents.get("default", hook(service.url))
    assert len(service.calls()) <= 8


async def test_a_reference_that_is_not_there_costs_only_what_needs_it(
    documents: Any, service: Any, reply: Any
) -> None:
    service.document = referring("there.json", "gone.json")
    service.handlers["/there.json"] = reply(200, LIMIT)
    service.handlers["/gone.json"] = reply(404, b"")
    loaded = await documents.get("default", hook(service.url))
    assert "op0" in names(loaded)
    assert any("gone.json" in problem.what for problem in loaded.document.problems)


async def test_all_of_them_together_are_no_larger_than_is_set(
    documents: Any, service: Any, reply: Any
) -> None:
    large = LIMIT | {"padding": "x" * 60_000}
    service.document = referring("one.json", "two.json")
    service.handlers["/one.json"] = service.handlers["/two.json"] = reply(200, large)
    loaded = await documents.get("default", hook(service.url))
    assert any("more than" in problem.what for problem in loaded.document.problems)


# -------------------------------------------------------------------------
# Operations that would be called elsewhere
# -------------------------------------------------------------------------


async def test_operations_of_another_service_are_left_out(
    documents: Any, service: Any, other_service: Any, PETS: Any
) -> None:
    PETS["paths"]["/pets"]["get"]["servers"] = [{"url": other_service.url}]
    PETS["paths"]["/pets/{id}"]["servers"] = [{"url": "/v2"}]
    service.document = PETS
    loaded = await documents.get("default", hook(service.url))
    assert names(loaded) == ["addPet", "getPet", "deletePet"]
    [problem] = loaded.document.problems
    assert problem.where == "/paths/~1pets/get"
    assert "register a hook with that endpointUrl" in problem.what
    assert loaded.document.operations["getPet"].server == f"{service.url}/v2"


@pytest.mark.parametrize("port", ["99999", "x", "0"])
async def test_ports_that_are_none_cost_only_what_needs_them(
    documents: Any, service: Any, PETS: Any, port: str
) -> None:
    PETS["paths"]["/pets"]["get"]["servers"] = [{"url": f"http://127.0.0.1:{port}"}]
    PETS["paths"]["/more"] = {"$ref": f"http://127.0.0.1:{port}/more.json#/path"}
    service.document = PETS
    loaded = await documents.get("default", hook(service.url))
    assert names(loaded) == ["addPet", "getPet", "deletePet"]
    places = {problem.where for problem in loaded.document.problems}
    assert places >= {"/paths/~1pets/get", "/paths/~1more"}


async def test_references_that_hang_cost_only_what_needs_them(
    documents: Any, service: Any, PETS: Any
) -> None:
    for name in ("a", "b"):
        service.handlers[f"/{name}.json"] = hang
        PETS["paths"][f"/{name}"] = {"$ref": f"{name}.json#/path"}
    service.document = PETS
    loaded = await documents.get("default", hook(service.url, timeout_ms=1000))
    assert names(loaded) == ["listPets", "addPet", "getPet", "deletePet"]
    said = {problem.what for problem in loaded.document.problems if not problem.where}
    assert any("a.json cannot be loaded" in what and "took longer" in what for what in said)
    assert f"{service.url}/b.json was not loaded: the others took all the time there was" in said
