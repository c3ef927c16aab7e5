"""Two servers, one PostgreSQL, one NATS: what one knows the other knows, sooner or later."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Well below what re-reading takes: 5 s for chains, 10 s for backends, 30 s for their listings.
AT_ONCE_S = 3
#: Well above all of that.
SOONER_OR_LATER_S = 45


@pytest.fixture
async def pair(start: Callable[..., Any], nats_server: Any) -> tuple[Any, Any]:
    """Two servers that share a database and a bus."""
    return await start(NATS_URL=nats_server.url), await start(NATS_URL=nats_server.url)


async def until(condition: Callable[[], Any], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.02)


async def follows(here: Any, there: Any, name: str, seconds: float) -> None:
    """Declare a backend here and see it there."""
    await here.add_backend(name, "echo", f"echo://{name}")

    async def listed() -> bool:
        return name in await there.backend_names()

    await until(listed, seconds)


async def says(replica: Any, text: str, seconds: float) -> None:
    async def said() -> bool:
        return bool(await replica.run_chain() == text)

    await until(said, seconds)


async def hears(replica: Any, status: str) -> None:
    async def heard() -> bool:
        return bool((await replica.bus())["status"] == status)

    await until(heard, SOONER_OR_LATER_S)


async def test_a_backend_declared_on_one_is_listed_by_the_other_at_once(
    pair: tuple[Any, Any], watch: Callable[..., Any]
) -> None:
    here, there = pair
    seen = await watch(there, "/state/stream")
    # so many that reading again every ten seconds cannot be what finds them all in time
    for number in range(3):
        await follows(here, there, f"of-here-{number}", AT_ONCE_S)
        await follows(there, here, f"of-there-{number}", AT_ONCE_S)
    assert {one["name"] for one in seen if "name" in one} >= {"of-here-0", "of-there-2"}


async def test_a_chain_updated_on_one_runs_new_on_the_other(pair: tuple[Any, Any]) -> None:
    here, there = pair
    await here.put_chain("first")
    for number in range(5):
        await there.run_chain()
        await here.put_chain(f"change {number}")
        await says(there, f"change {number}", AT_ONCE_S)


async def test_a_download_queued_on_one_is_watched_on_the_other(
    pair: tuple[Any, Any], watch: Callable[..., Any], model_shop: Any
) -> None:
    here, there = pair
    await here.add_backend("shop", "ollama", model_shop.url)
    watched = [await watch(one, "/queue/inProgress") for one in pair]
    states = [await watch(one, "/state/stream") for one in pair]
    model = {"model": "tiny", "contextLength": 9, "canChat": True}
    model_id = (await here.ask("POST", "/models", model))["id"]
    await here.ask("POST", f"/model-affinity/internal_chat_group/models/{model_id}")
    for seen in watched:
        await until(lambda seen=seen: {"pulling abc"} <= {one["status"] for one in seen}, AT_ONCE_S)
    assert "tiny" in str(await there.ask("GET", "/queue"))

    model_shop.go_on.set()
    for seen, changes in zip(watched, states, strict=True):
        await until(lambda seen=seen: "success" in {one["status"] for one in seen}, AT_ONCE_S)
        assert all(one["model"] == "tiny" for one in seen)
        await until(
            lambda changes=changes: any(
                one["name"] == "tiny" for change in changes for one in change["pulledModels"]
            ),
            AT_ONCE_S,
        )


async def test_without_nats_both_serve_and_follow_more_slowly(
    pair: tuple[Any, Any], nats_server: Any, watch: Callable[..., Any]
) -> None:
    here, there = pair
    await follows(here, there, "before", AT_ONCE_S)
    await here.put_chain("before")
    await says(there, "before", AT_ONCE_S)

    nats_server.kill()
    await here.put_chain("meanwhile")
    for replica in pair:
        await hears(replica, "warn")
        assert nats_server.url in (await replica.bus())["reason"]
        assert await replica.run_chain() in ("before", "meanwhile")
    await says(there, "meanwhile", SOONER_OR_LATER_S)
    await follows(here, there, "meanwhile", SOONER_OR_LATER_S)

    nats_server.start()
    for replica in pair:
        await hears(replica, "ok")
    for number in range(3):
        await follows(here, there, f"after-{number}", AT_ONCE_S)
        await there.put_chain(f"after {number}")
        await says(here, f"after {number}", AT_ONCE_S)
    assert "the bus cannot be used" in here.log
    assert "other replicas are heard" in here.log


async def test_servers_start_without_nats_and_find_it_later(
    start: Callable[..., Any], nats_server: Any
) -> None:
    nats_server.kill()
    here, there = [await start(NATS_URL=nats_server.url) for _ in range(2)]
    assert (await here.bus())["status"] == "warn"
    await here.put_chain("alone")
    assert await here.run_chain() == "alone"
    nats_server.start()
    for replica in (here, there):
        await hears(replica, "ok")
    for number in range(2):
        await follows(here, there, f"backend-{number}", AT_ONCE_S)


async def test_secrets_of_the_url_are_in_no_log(start: Callable[..., Any], start_nats: Any) -> None:
    server = start_nats("--user", "u", "--pass", "hush-hush")
    url = server.url.replace("://", "://u:hush-hush@")
    replica = await start(NATS_URL=url, RUNTIME_LOG_LEVEL="debug")
    assert await replica.bus() == {"status": "ok"}
    server.kill()
    await hears(replica, "warn")
    assert server.url in replica.log
    assert "hush" not in replica.log
    assert "hush" not in str(await replica.bus())


async def doctor(folder: Any, url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime_core", "doctor"),
        cwd=folder,
        env={"NATS_URL": url, "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_doctor_says_what_is_wrong_with_the_bus(tmp_path: Any, nats_server: Any) -> None:
    assert "ok    bus        takes messages\n" in await doctor(tmp_path, nats_server.url)
    nats_server.kill()
    said = await doctor(tmp_path, nats_server.url)
    assert f"fail  bus        {nats_server.url}: nobody listens there\n" in said
    assert "what to do: start it, or correct RUNTIME_BUS_URL" in said
    said = await doctor(tmp_path, "nats://a:port")
    assert "fail  start      RUNTIME_BUS_URL (NATS_URL): a server's address is malformed" in said
