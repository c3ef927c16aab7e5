from __future__ import annotations

import asyncio
import socket
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy import text

from runtime_core.errors import DatabaseUnavailable, SettingsError
from runtime_core.storage import postgres
from runtime_core.types import Chain


def changed(url: str, **parts: str) -> str:
    return urlunsplit(urlsplit(url)._replace(**parts))


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=disable",
        "sslmode=prefer&channel_binding=prefer&gssencmode=disable",
        "connect_timeout=5&keepalives=1&keepalives_idle=30",
        "application_name=runtime%20test&client_encoding=UTF8",
        "options=-c%20statement_timeout%3D5000",
        "target_session_attrs=read-write",
    ],
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_the_parameters_of_libpq_work(postgresql_url, open_database, scheme, query):
    host = urlsplit(postgresql_url).query
    database = open_database(changed(postgresql_url, scheme=scheme, query=f"{host}&{query}"))
    await database.migrate()
    await database.ping()

    wanted = parse_qs(query)
    for name, shown in (("application_name", None), ("statement_timeout", "5s")):
        if name in query:
            value = (await database.read(text(f"SHOW {name}")))[0][0]
            assert value == (shown or wanted[name][0])


async def test_credentials_may_hold_any_character(postgresql_url, postgresql_server, open_database):
    connection = await asyncpg.connect(postgresql_server)
    await connection.execute('DROP ROLE IF EXISTS "o\'dd u@er"')
    await connection.execute('CREATE ROLE "o\'dd u@er" SUPERUSER LOGIN')
    await connection.close()
    for credentials in ("o'dd%20u%40er:p%2F%3A%23%25@", "o'dd u%40er:p@q:%@"):
        database = open_database(changed(postgresql_url, netloc=credentials))
        await database.migrate()
        assert await database.read(text("SELECT user")) == [("o'dd u@er",)]


async def test_a_server_that_is_not_there(open_database, unused_port):
    url = f"postgresql://user:s3cret@127.0.0.1:{unused_port}/database"
    database = open_database(url)

    for call in (database.migrate, database.schema):
        with pytest.raises(SettingsError) as caught:
            await call()
        message = str(caught.value)
        assert message.startswith(
            f"DATABASE_URL=postgresql://user:***@127.0.0.1:{unused_port}/database: "
            "no PostgreSQL server answers there"
        )
        assert "s3cret" not in message
    with pytest.raises(DatabaseUnavailable) as hidden:
        await database.chains.get("default", "a")
    assert "127.0.0.1" not in str(hidden.value)


@pytest.fixture
def unused_port() -> int:
    """Return a port that nothing answers on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def test_a_server_that_never_answers_is_given_up(open_database):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = open_database(
            f"postgresql://user:s3cret@127.0.0.1:{port}/database?connect_timeout=0.1"
        )
        async with asyncio.timeout(5):
            with pytest.raises(SettingsError, match="no PostgreSQL server answers there"):
                await database.migrate()


async def test_a_name_that_does_not_resolve(open_database):
    database = open_database("postgresql://user:s3cret@no-such-host.invalid/database")

    with pytest.raises(SettingsError, match="no PostgreSQL server answers there"):
        await database.migrate()


async def test_a_directory_without_a_socket(open_database, tmp_path):
    database = open_database(f"postgresql:///database?host={tmp_path}")

    with pytest.raises(SettingsError, match=r"socket's directory goes into \?host="):
        await database.migrate()


async def test_a_database_that_does_not_exist(postgresql_url, open_database):
    database = open_database(changed(postgresql_url, path="/ghost"))

    with pytest.raises(SettingsError, match=r'database "ghost" does not exist; create it'):
        await database.migrate()


async def test_a_user_that_is_refused(postgresql_url, open_database):
    database = open_database(changed(postgresql_url, netloc="ghost:s3cret@"))

    with pytest.raises(SettingsError, match="refuses this user or password") as caught:
        await database.migrate()
    assert "s3cret" not in str(caught.value)


async def test_a_user_that_may_not_create_tables(postgresql_url, postgresql_server, open_database):
    connection = await asyncpg.connect(postgresql_server)
    await connection.execute("DROP ROLE IF EXISTS reader")
    await connection.execute("CREATE ROLE reader LOGIN")
    await connection.close()
    database = open_database(changed(postgresql_url, netloc="reader@"))

    with pytest.raises(SettingsError, match="grant the user CREATE"):
        await database.migrate()


@pytest.mark.parametrize("query", ["sslmode=sometimes", "no_such_setting=1"])
async def test_a_parameter_that_cannot_work(postgresql_url, open_database, query):
    host = urlsplit(postgresql_url).query
    database = open_database(changed(postgresql_url, query=f"{host}&{query}"))

    with pytest.raises(SettingsError, match=r"^DATABASE_URL=postgres"):
        await database.migrate()


async def test_a_migration_that_is_locked_out_says_so(postgresql_url, open_database, monkeypatch):
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute(f"SELECT pg_advisory_lock({postgres._MIGRATION_LOCK})")
    monkeypatch.setattr(postgres, "MIGRATION_PATIENCE", "50ms")
    database = open_database(postgresql_url)

    with pytest.raises(SettingsError, match="another process has been migrating"):
        await database.migrate()
    await connection.close()
    await database.migrate()


async def test_connections_that_the_server_ended_are_replaced(
    postgresql_url, postgresql_server, open_database
):
    database = open_database(postgresql_url)
    await database.migrate()
    await database.chains.put("default", Chain(id="a"))
    connection = await asyncpg.connect(postgresql_server)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
        urlsplit(postgresql_url).path[1:],
    )
    await connection.close()

    assert (await database.chains.get("default", "a")).chain.id == "a"
    await database.chains.put("default", Chain(id="b"))


async def test_a_connection_that_ends_in_mid_statement_is_unavailable(
    postgresql_url, open_database, caplog
):
    database = open_database(postgresql_url)
    await database.migrate()

    with pytest.raises(DatabaseUnavailable, match="cannot be used now"):
        await database.write(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert "DATABASE_URL=" in caplog.text
    await database.ping()


async def test_more_callers_than_connections_wait_for_their_turn(postgresql_url, open_database):
    database = open_database(postgresql_url)
    await database.migrate()
    async with asyncio.TaskGroup() as group:
        for number in range(10 * postgres.POOL_SIZE):
            group.create_task(database.chains.put("default", Chain(id=str(number))))

    rows = await database.read(
        text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    )
    assert rows[0][0] <= postgres.POOL_SIZE
