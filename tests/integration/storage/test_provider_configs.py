from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from runtime_core.errors import Conflict, InvalidRequest, NotFound, RuntimeCoreError, Unprocessable
from runtime_core.storage import postgres, sqlite
from runtime_core.storage.cipher import Cipher

OLD, NEW = "0123456789abcdef", "fedcba9876543210"
KEY = "sk-hunter2-ü"


@pytest.fixture
async def with_secrets(database_url):
    """Return what opens the database with secrets; all are closed afterwards."""
    opened = []

    async def open_one(*secrets: str):
        driver = sqlite if database_url.startswith("sqlite:") else postgres
        opened.append(driver.connect(database_url, Cipher(secrets)))
        await opened[-1].migrate()
        return opened[-1]

    yield open_one
    for database in opened:
        await database.aclose()


async def put(database, name: str = "openai", key: str = KEY, *, tenant="default", replace=False):
    return await database.provider_configs.put(tenant, name, key, replace=replace)


async def stored_text(database) -> str:
    rows = await database.read(text("SELECT api_key FROM provider_configs"))
    return " ".join(row.api_key for row in rows)


async def test_what_is_put_is_read_back_everywhere_the_same(database):
    before = datetime.now(UTC)
    stored = await put(database)
    assert (stored.type, stored.api_key) == ("openai", KEY)
    assert before <= stored.created_at == stored.updated_at
    assert await database.provider_configs.get("default", "openai") == stored
    assert (await database.provider_configs.list("default")).items == [stored]
    assert KEY not in repr(stored)


async def test_a_key_is_replaced_only_on_request(database):
    first = await put(database)
    with pytest.raises(Conflict, match="provider 'openai' is configured already") as caught:
        await put(database, key="other")
    assert KEY not in str(caught.value)
    assert await database.provider_configs.get("default", "openai") == first

    replaced = await put(database, key="other", replace=True)
    assert replaced.api_key == "other"
    assert replaced.created_at == first.created_at
    assert replaced.updated_at > first.updated_at
    assert await database.provider_configs.get("default", "openai") == replaced
    assert (await put(database, "gemini", replace=True)).type == "gemini"


async def test_of_configurations_at_once_one_succeeds(database):
    results = await asyncio.gather(
        *(put(database, key=str(n)) for n in range(8)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Conflict) == 7


async def test_types_are_the_same_in_any_letter_case(database):
    assert (await put(database, "OpenAI")).type == "openai"
    with pytest.raises(Conflict):
        await put(database, "OPENAI")
    assert (await database.provider_configs.get("default", "openAI")).api_key == KEY
    await database.provider_configs.delete("default", "OPENai")
    assert (await database.provider_configs.list("default")).items == []


@pytest.mark.parametrize("name", ["ghost", "\0", "x" * 513])
async def test_an_unknown_type_is_named(database, name):
    for call in (
        database.provider_configs.get("default", name),
        database.provider_configs.delete("default", name),
    ):
        with pytest.raises(NotFound, match="is not configured"):
            await call


@pytest.mark.parametrize(
    ("name", "key", "error", "param"),
    [
        ("x" * 513, "k", InvalidRequest, "type"),
        ("", "k", Unprocessable, "type"),
        ("openai", "", Unprocessable, "apiKey"),
        ("openai", "k" * 8193, InvalidRequest, "apiKey"),
        ("openai", "hunter2\ud800", Unprocessable, "apiKey"),
    ],
)
async def test_values_that_cannot_be_stored(database, name, key, error, param):
    with pytest.raises(error, match=param) as caught:
        await put(database, name, key)
    assert caught.value.param == param
    assert "hunter2" not in str(caught.value)


async def test_tenants_do_not_see_each_other(database):
    for tenant in ("a", "b"):
        await put(database, key=tenant, tenant=tenant)
    await put(database, key="new", tenant="a", replace=True)
    assert (await database.provider_configs.get("b", "openai")).api_key == "b"
    await database.provider_configs.delete("a", "openai")
    assert len((await database.provider_configs.list("b")).items) == 1
    with pytest.raises(NotFound):
        await database.provider_configs.get("a", "openai")


async def test_pages_are_newest_first_and_end(database):
    for name in "abc":
        await put(database, name)
    first = await database.provider_configs.list("default", limit=2)
    second = await database.provider_configs.list("default", limit=2, cursor=first.next_cursor)
    assert [one.type for one in (*first.items, *second.items)] == ["c", "b", "a"]
    assert second.next_cursor is None


async def test_keys_are_in_clear_without_a_secret_and_not_with_one(with_secrets):
    plain = await with_secrets()
    await put(plain)
    assert KEY in await stored_text(plain)

    secret = await with_secrets(OLD)
    assert (await secret.provider_configs.get("default", "openai")).api_key == KEY
    await put(secret, replace=True)
    assert "hunter2" not in await stored_text(secret)
    assert (await secret.provider_configs.get("default", "openai")).api_key == KEY
    # the same key is not stored as the same text
    before = await stored_text(secret)
    await put(secret, replace=True)
    assert await stored_text(secret) != before


async def test_a_secret_is_replaced_step_by_step(with_secrets):
    await put(await with_secrets(OLD))
    both = await with_secrets(NEW, OLD)
    assert (await both.provider_configs.get("default", "openai")).api_key == KEY
    await put(both, replace=True)

    new = await with_secrets(NEW)
    assert (await new.provider_configs.get("default", "openai")).api_key == KEY


@pytest.mark.parametrize("secrets", [(), (NEW,)])
async def test_a_key_that_cannot_be_read_says_what_to_set(with_secrets, secrets, caplog):
    await put(await with_secrets(OLD))
    database = await with_secrets(*secrets)
    cipher_text = await stored_text(database)
    await put(database, "gemini", "readable")

    with pytest.raises(RuntimeCoreError, match="'openai' cannot be read") as e:
        await database.provider_configs.get("default", "openai")
    assert "RUNTIME_SECRET_KEY" in str(e.value)
    assert "configure the provider again" in str(e.value)
    listed = (await database.provider_configs.list("default")).items
    declared = (await database.declarations.read("default")).providers
    assert [one.type for one in listed] == [one.type for one in declared] == ["gemini"]
    assert caplog.text.count("'openai' cannot be read") == 2
    for shown in (str(e.value), caplog.text):
        assert cipher_text.removeprefix("fernet1:")[:20] not in shown

    # the way out
    await put(database, replace=True)
    assert (await database.provider_configs.get("default", "openai")).api_key == KEY


@pytest.mark.parametrize("place", ["id = 'gemini'", "tenant_id = 'other'"])
async def test_a_sealed_key_is_worth_nothing_elsewhere(with_secrets, place):
    database = await with_secrets(OLD)
    await put(database)
    await database.write(text(f"UPDATE provider_configs SET {place}"))
    (row,) = await database.read(text("SELECT tenant_id, id FROM provider_configs"))
    with pytest.raises(RuntimeCoreError, match="tampered with"):
        await database.provider_configs.get(row.tenant_id, row.id)
