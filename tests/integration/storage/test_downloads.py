from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from runtime_core.errors import InvalidRequest, NotFound, Unprocessable

OWNER = "server 1"


@pytest.fixture
async def backends(database) -> None:
    for name in ("b1", "b2"):
        await database.backends.create(
            "default", name=name, base_url=f"http://{name}", type="ollama", id=name
        )


async def enqueue(database, model: str, backend: str = "b1", **more):
    return await database.downloads.enqueue("default", backend, model, **more)


async def claim(database, owner: str = OWNER, *, lease: float = 60, per_backend=99, busy=()):
    claimed = await database.downloads.claim(owner, lease=lease, per_backend=per_backend, busy=busy)
    if claimed is None:
        return None
    tenant, download = claimed
    assert tenant == "default"
    return download


async def pass_time(database, seconds: float) -> None:
    """Make all leases and pauses look *seconds* older."""
    await database.write(
        text("UPDATE downloads SET free_at = free_at - :seconds"), {"seconds": seconds}
    )


async def models_of(database) -> list[str]:
    return [one.model for one in await database.downloads.list("default")]


async def test_what_is_queued_is_read_back(database, backends):
    before = datetime.now(UTC)
    queued = await enqueue(database, "org/m:latest", priority=3)
    wanted = ("b1", "http://b1", "org/m:latest", 3, "queued", 0, 0, 0, "")
    assert (
        *(queued.backend_id, queued.base_url, queued.model, queued.priority, queued.status),
        *(queued.attempts, queued.completed, queued.total, queued.error),
    ) == wanted
    assert before <= queued.created_at == queued.updated_at
    assert await database.downloads.list("default") == [queued]
    assert await database.downloads.list("other") == []


async def test_one_model_is_pulled_once_to_one_backend(database, backends):
    results = await asyncio.gather(*(enqueue(database, "m") for _ in range(10)))
    assert len({result.id for result in results}) == 1
    await enqueue(database, "m", "b2")
    await enqueue(database, "n")
    assert len(await database.downloads.list("default")) == 3

    running = await claim(database)
    assert (await enqueue(database, "m")) == running
    assert await claim(database, busy=["b2"]) is not None
    assert await claim(database, busy=["b2"]) is None


async def test_a_higher_priority_raises_that_of_the_job_there_is(database, backends):
    first = await enqueue(database, "m", priority=1)
    assert (await enqueue(database, "m", priority=5)).priority == 5
    assert (await enqueue(database, "m", priority=2)).priority == 5
    (job,) = await database.downloads.list("default")
    assert (job.id, job.priority) == (first.id, 5)

    running = await claim(database)
    assert (await enqueue(database, "m", priority=9)).status == "running"
    assert await database.downloads.progress(OWNER, running, completed=1, total=2, lease=60)


async def test_jobs_go_by_priority_then_age(database, backends):
    for model, priority in (("old", 0), ("low", -1), ("young", 0), ("high", 7)):
        await enqueue(database, model, priority=priority)
    order = [(await claim(database)).model for _ in range(4)]
    assert order == ["high", "old", "young", "low"]
    assert await claim(database) is None


async def test_busy_backends_are_left_out(database, backends):
    await enqueue(database, "m", "b1", priority=1)
    await enqueue(database, "m", "b2")
    assert await claim(database, busy={"b1", "b2"}) is None
    assert (await claim(database, busy=("b1", "ghost"))).backend_id == "b2"
    assert (await claim(database)).backend_id == "b1"


async def test_a_backend_has_so_many_jobs_of_all_servers_at_once(database, backends):
    for model in ("a", "b", "c"):
        await enqueue(database, model, "b1", priority=1)
    await enqueue(database, "a", "b2")
    first = await claim(database, "server 1", per_backend=2)
    assert (await claim(database, "server 2", per_backend=2)).backend_id == "b1"
    assert (await claim(database, "server 3", per_backend=2)).backend_id == "b2"
    assert await claim(database, "server 3", per_backend=2) is None
    await database.downloads.finish("server 1", first)
    assert (await claim(database, "server 3", per_backend=2)).model == "c"


async def test_jobs_of_servers_that_are_gone_do_not_count(database, backends):
    await enqueue(database, "a", priority=1)
    await enqueue(database, "b")
    await claim(database, "gone", lease=30, per_backend=1)
    assert await claim(database, per_backend=1) is None
    await pass_time(database, 31)
    assert (await claim(database, per_backend=1)).model == "a"
    assert await claim(database, per_backend=1) is None


async def test_servers_that_claim_at_once_do_not_miscount(database, backends):
    for number in range(8):
        await enqueue(database, f"m{number}", "b1" if number % 2 else "b2")
    claimed = await asyncio.gather(
        *(claim(database, f"server {number}", per_backend=1) for number in range(8))
    )
    assert sorted(one.backend_id for one in claimed if one) == ["b1", "b2"]


async def test_servers_do_not_miscount_the_jobs_of_a_backend_that_is_not_stored(database):
    for number in range(8):
        await enqueue(database, f"m{number}", "static:gpu", base_url="http://gpu")
    claimed = await asyncio.gather(
        *(claim(database, f"server {number}", per_backend=1) for number in range(8))
    )
    assert len([one for one in claimed if one]) == 1


async def test_a_claim_counts_and_shows(database, backends):
    queued = await enqueue(database, "m")
    claimed = await claim(database)
    assert (claimed.id, claimed.status, claimed.attempts) == (queued.id, "running", 1)
    assert claimed.updated_at > claimed.created_at == queued.created_at
    assert await database.downloads.list("default") == [claimed]


async def test_a_lease_is_in_seconds_of_the_databases_clock(database, backends):
    await enqueue(database, "m")
    await claim(database, lease=500)
    ((free_at,),) = await database.read(text("SELECT free_at FROM downloads"))
    # both on one machine, however slow it is
    assert 300 < free_at - datetime.now(UTC).timestamp() < 501


async def test_a_lease_that_is_over_lets_others_take_the_job(database, backends):
    await enqueue(database, "m")
    first = await claim(database, "dead", lease=30)
    await pass_time(database, 29)
    assert await claim(database) is None
    await pass_time(database, 2)
    second = await claim(database)
    assert (second.id, second.attempts) == (first.id, 2)

    assert not await database.downloads.progress("dead", first, completed=9, total=9, lease=60)
    await database.downloads.fail("dead", first, "too late", retry_in=None)
    await database.downloads.finish("dead", first)
    assert await database.downloads.list("default") == [second]


async def test_an_owner_that_lost_a_job_to_itself_stops_as_well(database, backends):
    await enqueue(database, "m")
    first = await claim(database, lease=0)
    second = await claim(database, lease=60)
    assert first.id == second.id
    assert not await database.downloads.progress(OWNER, first, completed=1, total=1, lease=60)
    await database.downloads.finish(OWNER, first)
    assert await database.downloads.progress(OWNER, second, completed=1, total=1, lease=60)


async def test_progress_is_shown_and_renews_the_lease(database, backends):
    await enqueue(database, "m")
    job = await claim(database, lease=30)
    await pass_time(database, 29)
    huge = 5 * 2**40
    assert await database.downloads.progress(OWNER, job, completed=huge, total=huge + 1, lease=30)
    await pass_time(database, 29)
    assert await claim(database) is None
    (shown,) = await database.downloads.list("default")
    assert (shown.completed, shown.total, shown.status) == (huge, huge + 1, "running")
    assert await database.downloads.progress(OWNER, job, completed=-1, total=2**70, lease=30)
    (shown,) = await database.downloads.list("default")
    assert (shown.completed, shown.total) == (0, 2**63 - 1)


async def test_finished_jobs_are_gone(database, backends):
    await enqueue(database, "m")
    await database.downloads.finish(OWNER, await claim(database))
    assert await database.downloads.list("default") == []
    assert (await enqueue(database, "m")).status == "queued"


async def test_a_failed_attempt_is_repeated_after_its_pause(database, backends):
    await enqueue(database, "m")
    job = await claim(database)
    await database.downloads.progress(OWNER, job, completed=5, total=9, lease=60)
    await database.downloads.fail(OWNER, job, "disk full", retry_in=30)
    (shown,) = await database.downloads.list("default")
    assert (shown.status, shown.error, shown.completed) == ("queued", "disk full", 5)
    assert not await database.downloads.progress(OWNER, job, completed=6, total=9, lease=60)

    # wanting it again does not shorten the pause, nor does wanting it more
    await enqueue(database, "m")
    assert (await enqueue(database, "m", priority=1)).attempts == 1
    await pass_time(database, 29)
    assert await claim(database) is None
    await pass_time(database, 2)
    again = await claim(database)
    assert (again.id, again.attempts, again.error) == (job.id, 2, "disk full")


async def test_a_failed_job_stays_until_it_is_queued_again(database, backends):
    await enqueue(database, "m")
    await database.downloads.fail(OWNER, await claim(database), "no such model", retry_in=None)
    await pass_time(database, 10**6)
    assert await claim(database) is None
    (failed,) = await database.downloads.list("default")
    assert (failed.status, failed.error, failed.attempts) == ("failed", "no such model", 1)

    again = await enqueue(database, "m")
    assert (again.id, again.status, again.error, again.attempts) == (failed.id, "queued", "", 0)
    assert (await claim(database)).attempts == 1


@pytest.mark.parametrize("error", ["", "nul \0 and half \ud800", "x" * 10**6, "🐙"])
async def test_every_error_can_be_kept(database, backends, error):
    await enqueue(database, "m")
    await database.downloads.fail(OWNER, await claim(database), error, retry_in=None)
    (failed,) = await database.downloads.list("default")
    assert failed.status == "failed"
    assert failed.error[:4] == error[:4]
    assert len(failed.error) <= 2000


async def test_jobs_are_removed_by_model_or_backend(database, backends):
    for model in ("m", "n"):
        for backend in ("b1", "b2"):
            await enqueue(database, model, backend)
    running = await claim(database)
    assert (running.model, running.backend_id) == ("m", "b1")

    async def remove(**wanted):
        removed = await database.downloads.remove("default", **wanted)
        return [(one.model, one.base_url) for one in removed]

    for nothing in ({"model": "x"}, {"base_url": "http://b"}, {"model": "\0"}):
        assert await remove(**nothing) == []
    assert await database.downloads.remove("other", model="m") == []
    assert await remove(model="m") == [("m", "http://b1"), ("m", "http://b2")]
    assert not await database.downloads.progress(OWNER, running, completed=1, total=1, lease=60)
    assert await remove(model="n", base_url="http://b2") == [("n", "http://b2")]
    assert await remove(base_url="http://b1") == [("n", "http://b1")]
    assert await database.downloads.list("default") == []


async def test_a_long_queue_is_removed_whole(database, backends):
    for number in range(5):
        await enqueue(database, str(number))
    rows = "SELECT tenant_id, id || :s, backend_id, stored_backend_id, base_url, model || :s"
    rest = "priority, status, attempts, completed, total, error, owner, free_at"
    for power in range(9):
        await database.write(
            text(f"INSERT INTO downloads (tenant_id, id, backend_id, stored_backend_id, base_url,"
                 f" model, {rest}, created_at, updated_at)"
                 f" {rows}, {rest}, created_at, updated_at FROM downloads"),
            {"s": str(power)},
        )  # fmt: skip
    assert len(await database.downloads.remove("default")) == 5 * 2**9
    assert await database.downloads.list("default") == []


async def test_deleting_a_backend_removes_its_downloads(database, backends):
    for backend in ("b1", "b2"):
        await enqueue(database, "m", backend)
    running = await claim(database)
    await database.backends.delete("default", "b1")
    assert [one.backend_id for one in await database.downloads.list("default")] == ["b2"]
    assert not await database.downloads.progress(OWNER, running, completed=1, total=1, lease=60)


async def test_a_backend_that_moved_is_looked_for_where_it_is(database, backends):
    await enqueue(database, "m")
    await database.backends.update("default", "b1", name="b1", base_url="http://new", type="ollama")
    assert (await claim(database)).base_url == "http://new"
    assert await database.downloads.remove("default", base_url="http://b1") == []
    assert len(await database.downloads.remove("default", base_url="http://new")) == 1


async def test_a_backend_from_the_settings_brings_its_own_url(database, backends):
    queued = await enqueue(database, "m", "ollama", base_url="http://127.0.0.1:11434")
    assert (queued.backend_id, queued.base_url) == ("ollama", "http://127.0.0.1:11434")
    assert await claim(database) == (await database.downloads.list("default"))[0]
    # a stored one's own wins
    assert (await enqueue(database, "m", "b1", base_url="http://x")).base_url == "http://b1"
    assert len(await database.downloads.remove("default", base_url="http://127.0.0.1:11434")) == 1


@pytest.mark.parametrize("backend", ["ghost", "\0", "x" * 513])
async def test_an_unknown_backend_is_named(database, backend):
    with pytest.raises(NotFound, match=r"backend '.*' not found"):
        await enqueue(database, "m", backend)


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({"model": ""}, Unprocessable, "model"),
        ({"model": "x" * 513}, InvalidRequest, "model"),
        ({"model": "m", "priority": 2**31}, Unprocessable, "priority"),
        ({"model": "m", "base_url": "x" * 513}, InvalidRequest, "baseUrl"),
    ],
)
async def test_values_that_cannot_be_stored(database, backends, wrong, error, param):
    with pytest.raises(error, match=param) as caught:
        await enqueue(database, **wrong)
    assert caught.value.param == param


async def test_tenants_have_their_own_jobs(database):
    for tenant in ("a", "b"):
        await database.backends.create(tenant, name="b", base_url="u", type="t", id="b")
        await database.downloads.enqueue(tenant, "b", "m")
    claims = [await database.downloads.claim(OWNER, lease=60, per_backend=9) for _ in range(2)]
    assert {tenant for tenant, _ in claims} == {"a", "b"}
    assert len(await database.downloads.remove("a")) == 1
    assert len(await database.downloads.list("b")) == 1
    for tenant, job in claims:
        alive = await database.downloads.progress(OWNER, job, completed=0, total=0, lease=60)
        assert alive == (tenant == "b")


async def test_a_clock_that_was_set_back_makes_no_job_older_than_its_creation(database, backends):
    await enqueue(database, "m")
    await database.write(text("UPDATE downloads SET created_at = '2999-01-01 00:00:00.000000'"))
    job = await claim(database)
    assert job.updated_at == job.created_at


async def test_claimers_at_once_never_share_a_job(database, backends, database_url, open_database):
    databases = [database, *(open_database(database_url) for _ in range(2))]
    for number in range(24):
        await enqueue(database, str(number), ("b1", "b2")[number % 2])

    async def work(database, owner: str) -> list[str]:
        done = []
        while (job := await claim(database, owner)) is not None:
            done.append(job.model)
            await asyncio.sleep(0)
            await database.downloads.finish(owner, job)
        return done

    results = await asyncio.gather(
        *(work(one, f"{n}.{i}") for n, one in enumerate(databases) for i in range(4))
    )
    assert sorted(model for done in results for model in done) == sorted(map(str, range(24)))
    assert await database.downloads.list("default") == []


async def test_a_locked_job_is_passed_over(postgresql_url, open_database):
    """Only where several may write at once: the next job is taken without waiting."""
    database = open_database(postgresql_url)
    await database.migrate()
    await database.backends.create("default", name="b1", base_url="u", type="t", id="b1")
    for model in ("first", "second"):
        await enqueue(database, model)
    locked, release = asyncio.Event(), asyncio.Event()

    async def hold(connection) -> None:
        await connection.execute(text("SELECT id FROM downloads WHERE model = 'first' FOR UPDATE"))
        locked.set()
        await release.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(database.transaction(hold))
        await locked.wait()
        try:
            assert (await claim(database)).model == "second"
            assert await claim(database) is None
        finally:
            release.set()
    assert (await claim(database)).model == "first"


async def test_a_backend_that_is_being_deleted_gets_no_downloads(postgresql_url, open_database):
    """Only where several may write at once."""
    database = open_database(postgresql_url)
    await database.migrate()
    await database.backends.create("default", name="b1", base_url="u", type="t", id="b1")
    deleted, release = asyncio.Event(), asyncio.Event()

    async def delete(connection) -> None:
        await connection.execute(text("DELETE FROM backends"))
        deleted.set()
        await release.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(database.transaction(delete))
        await deleted.wait()
        queueing = asyncio.create_task(enqueue(database, "m"))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        # the database rings no bell when somebody waits
        while (await database.read(text(waiting)))[0][0] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        release.set()
        with pytest.raises(NotFound, match="backend 'b1' not found"):
            await queueing


async def test_asking_in_vain_does_not_wait_for_writers(database, backends):
    await enqueue(database, "m")
    await claim(database)
    locked, release = asyncio.Event(), asyncio.Event()

    async def hold(connection) -> None:
        await connection.execute(text("UPDATE backends SET type = 'x'"))
        locked.set()
        await release.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(database.transaction(hold))
        await locked.wait()
        try:
            async with asyncio.timeout(2):
                assert await claim(database) is None
                assert (await enqueue(database, "m")).status == "running"
        finally:
            release.set()


#: Takes jobs as fast as it can, reports progress, and never finishes one.
CLAIMER = """
import asyncio, sys
from runtime_core.storage import sqlite, postgres

async def main():
    driver = sqlite if sys.argv[1].startswith("sqlite:") else postgres
    database = driver.connect(sys.argv[1])
    while True:
        claimed = await database.downloads.claim("dead", lease=600, per_backend=99)
        if claimed is None:
            print("idle", flush=True)
            await asyncio.sleep(3600)
        _, job = claimed
        await database.downloads.progress("dead", job, completed=7, total=9, lease=600)
        print(job.model, flush=True)

asyncio.run(main())
"""


async def test_jobs_of_a_killed_process_are_taken_after_the_lease(database, backends, database_url):
    for number in range(8):
        await enqueue(database, str(number))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLAIMER, database_url, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        for _ in range(3):
            await process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest, _ = await process.communicate()
    reported = 3 + rest.count(b"\n")

    jobs = await database.downloads.list("default")
    taken = [job for job in jobs if job.status == "running"]
    assert len(jobs) == 8
    assert len(taken) >= reported - (b"idle" in rest)
    assert [job.completed for job in taken][: reported - 1] == [7] * min(reported - 1, len(taken))
    while (job := await claim(database)) is not None:
        assert job.attempts == 1
        await database.downloads.finish(OWNER, job)
    assert len(await database.downloads.list("default")) == len(taken)

    await pass_time(database, 600)
    again = [await claim(database) for _ in taken]
    assert {job.id for job in again} == {job.id for job in taken}
    assert {job.attempts for job in again} == {2}
    for job in again:
        await database.downloads.finish(OWNER, job)
    assert await database.downloads.list("default") == []


async def test_processes_share_the_work(database, backends, database_url):
    for number in range(30):
        await enqueue(database, str(number))
    code = CLAIMER.replace('print("idle", flush=True)\n            await asyncio.sleep(3600)',
                           "await database.aclose()\n            return")  # fmt: skip
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, database_url, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    async with asyncio.timeout(60):
        outputs = [(await process.communicate())[0].decode().split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert sorted(model for output in outputs for model in output) == sorted(map(str, range(30)))


async def test_cancelled_claims_leave_the_queue_usable(database, backends):
    for number in range(10):
        await enqueue(database, str(number))
    for turns in range(0, 60, 3):
        claiming = asyncio.ensure_future(claim(database, lease=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
    found = set()
    async with asyncio.timeout(10):
        # what a cancelled claim began may still be going on
        while len(found) < 10:
            job = await claim(database)
            found |= {job.id} if job else set()
