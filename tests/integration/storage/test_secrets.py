"""Secrets: stored, put into texts, forgotten, and never told."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import text

from runtime_core.bus import MemoryBus
from runtime_core.errors import NotFound, RuntimeCoreError, TaskFailed, Unprocessable
from runtime_core.storage import postgres, sqlite
from runtime_core.storage.cipher import Cipher
from runtime_core.storage.secrets import MAX_VALUE, Secrets, SecretVault

KEY = "a-secret-of-at-least-16"
VALUE = "s3cr3t-value-of-a-service"


@pytest.fixture
def secrets(database) -> Secrets:
    return Secrets(database, Cipher((KEY,)))


@pytest.fixture
async def vault(secrets):
    async with SecretVault(secrets, MemoryBus()) as vault:
        yield vault


class Counted:
    """Counts what is read from another store."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self.reads = 0

    def __getattr__(self, name: str):
        return getattr(self._secrets, name)

    async def value(self, tenant_id: str, name: str) -> str:
        self.reads += 1
        return await self._secrets.value(tenant_id, name)


async def test_the_life_of_a_secret(vault):
    created = await vault.put("default", "key", VALUE)
    assert (created.name, created.created_at) == ("key", created.updated_at)
    assert await vault.get("default", "key") == created

    replaced = await vault.put("default", "key", "other")
    assert replaced.created_at == created.created_at
    assert replaced.updated_at > created.updated_at
    assert (await vault.list("default")).items == [replaced]
    assert await vault.reveal("default", "{{secret:key}}") == "other"

    await vault.delete("default", "key")
    for gone in (vault.get("default", "key"), vault.delete("default", "key")):
        with pytest.raises(NotFound, match="secret 'key' not found"):
            await gone
    assert (await vault.list("default")).items == []


async def test_tenants_do_not_see_each_others(vault):
    await vault.put("a", "key", "of a")
    await vault.put("b", "key", "of b")
    assert await vault.reveal("a", "{{secret:key}}") == "of a"
    assert await vault.reveal("b", "{{secret:key}}") == "of b"
    await vault.delete("a", "key")
    assert [one.name for one in (await vault.list("b")).items] == ["key"]
    with pytest.raises(TaskFailed):
        await vault.reveal("a", "{{secret:key}}")


async def test_secrets_are_listed_newest_first_in_pages(vault):
    for name in "abcde":
        await vault.put("default", name, name)
    first = await vault.list("default", limit=3)
    rest = await vault.list("default", limit=3, cursor=first.next_cursor)
    assert [one.name for one in (*first.items, *rest.items)] == list("edcba")
    assert rest.next_cursor is None


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("nothing", "nothing"),
        ("{{secret:a}}", "A"),
        ("Bearer {{ secret:a }}!", "Bearer A!"),
        ("{{secret: a}}{{  secret  :\ta  }}", "AA"),
        ("{{secret:a}}:{{secret:b.c-d_e}}", "A:{{secret:a}}"),
        ("{{secret}} {secret:a} {{ other }}", "{{secret}} {secret:a} {{ other }}"),
        (r"\1 {{secret:back}}", r"\1 \g<0>"),
    ],
)
async def test_references_are_replaced_once(vault, text, result):
    for name, value in {"a": "A", "b.c-d_e": "{{secret:a}}", "back": r"\g<0>"}.items():
        await vault.put("default", name, value)
    assert await vault.reveal("default", text) == result


async def test_a_missing_secret_is_named_with_the_way_to_make_it(vault):
    with pytest.raises(TaskFailed) as caught:
        await vault.reveal("default", "{{secret:weather}}")
    assert "there is no secret 'weather'" in caught.value.message
    assert "runtime secret set weather" in caught.value.message
    assert "PUT /secrets/weather" in caught.value.message
    await vault.put("default", "weather", "w")
    assert await vault.reveal("default", "{{secret:weather}}") == "w"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 129, "a\n"])
async def test_what_cannot_name_a_secret(vault, name):
    with pytest.raises(Unprocessable, match="1 to 128 of the characters") as caught:
        await vault.put("default", name, "v")
    assert caught.value.param == "name"
    with pytest.raises(NotFound):
        await vault.get("default", name)
    with pytest.raises(NotFound):
        await vault.delete("default", name)
    if name.strip() == name:
        with pytest.raises(TaskFailed, match="names no secret"):
            await vault.reveal("default", f"{{{{secret:{name}}}}}")


async def test_names_of_every_allowed_kind(vault):
    for name in ("A-z_0.9", "..", "x" * 128):
        await vault.put("default", name, name)
        assert await vault.reveal("default", f"{{{{secret:{name}}}}}") == name


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "non-empty"),
        (f"{VALUE}\0", "NUL"),
        (f"{VALUE}\ud800", "surrogate"),
        (VALUE + "ä" * (MAX_VALUE // 2), "at most 65536"),
    ],
)
async def test_values_that_cannot_be_stored_are_not_repeated(vault, value, said):
    with pytest.raises(Unprocessable, match=said) as caught:
        await vault.put("default", "key", value)
    assert caught.value.param == "value"
    assert VALUE not in str(caught.value)
    with pytest.raises(NotFound):
        await vault.get("default", "key")


async def test_the_longest_value_and_every_character(vault):
    value = "line\nbreak\t\x7f ä 🗝 " + "x" * (MAX_VALUE - 40)
    await vault.put("default", "key", value)
    assert await vault.reveal("default", "{{secret:key}}") == value


async def test_values_are_sealed_at_their_place(database, secrets):
    await secrets.put("default", "key", VALUE)
    await secrets.put("default", "other", "o")
    [(stored,)] = await database.read(text("SELECT value FROM secrets WHERE id = 'key'"))
    assert VALUE not in stored
    await database.write(text("UPDATE secrets SET value = :v WHERE id = 'other'"), {"v": stored})
    with pytest.raises(RuntimeCoreError, match="the secret 'other' cannot be read") as caught:
        await secrets.value("default", "other")
    assert VALUE not in str(caught.value)


async def test_another_key_can_list_and_replace_but_not_read(database, secrets):
    await secrets.put("default", "key", VALUE)
    async with SecretVault(Secrets(database, Cipher()), MemoryBus()) as vault:
        assert [one.name for one in (await vault.list("default")).items] == ["key"]
        with pytest.raises(RuntimeCoreError, match=r"RUNTIME_SECRET_KEY.*or store it again"):
            await vault.reveal("default", "{{secret:key}}")
        await vault.put("default", "key", "new")
        assert await vault.reveal("default", "{{secret:key}}") == "new"


async def test_a_database_seals_with_the_cipher_it_was_given(database_url):
    driver = sqlite if database_url.startswith("sqlite:") else postgres
    database = driver.connect(database_url, Cipher((KEY,)))
    await database.migrate()
    await database.secrets.put("default", "key", VALUE)
    [(stored,)] = await database.read(text("SELECT value FROM secrets"))
    assert stored.startswith("fernet1:")
    assert database.cipher.open(stored, "secrets", "default", "key") == VALUE
    await database.aclose()


async def test_a_call_costs_no_read_of_the_database(secrets):
    counted = Counted(secrets)
    async with SecretVault(counted, MemoryBus()) as vault:
        await vault.put("default", "key", "1")
        for _ in range(50):
            assert await vault.reveal("default", "{{secret:key}}{{secret:key}}") == "11"
        assert await vault.reveal("default", "no reference {{ here }}")
        assert counted.reads == 1
        await vault.put("default", "key", "2")
        assert await vault.reveal("default", "{{secret:key}}") == "2"
        assert counted.reads == 2


async def test_other_replicas_hear_of_changes(secrets):
    bus = MemoryBus()
    # ages are never reached: what is seen was heard
    async with (
        SecretVault(secrets, bus, max_age=3600) as here,
        SecretVault(secrets, bus, max_age=3600) as there,
        bus.subscribe("secrets.changed.>") as rings,
        asyncio.timeout(10),
    ):
        await here.put("default", "key", "1")
        assert await there.reveal("default", "{{secret:key}}") == "1"
        await here.put("default", "key", "2")
        await heard(rings, 2)
        assert await there.reveal("default", "{{secret:key}}") == "2"
        await here.delete("default", "key")
        await heard(rings, 1)
        with pytest.raises(TaskFailed):
            await there.reveal("default", "{{secret:key}}")


async def heard(rings, times: int) -> None:
    """Wait for rings, which subscribers that were there before have heard by then."""
    bells = aiter(rings)
    for _ in range(times):
        assert VALUE.encode() not in await anext(bells)
    # a listener wakes up in the round of the loop in which this one does
    await asyncio.sleep(0)


async def test_a_lost_doorbell_costs_seconds(secrets):
    now = 0.0
    async with SecretVault(secrets, MemoryBus(), max_age=5, clock=lambda: now) as vault:
        await vault.put("default", "key", "1")
        assert await vault.reveal("default", "{{secret:key}}") == "1"
        await secrets.put("default", "key", "2")
        assert await vault.reveal("default", "{{secret:key}}") == "1"
        now = 5.0
        assert await vault.reveal("default", "{{secret:key}}") == "2"


async def test_values_are_in_no_log_and_no_repr(secrets, caplog):
    caplog.set_level(logging.DEBUG)
    async with SecretVault(secrets, MemoryBus()) as vault:
        await vault.put("default", "key", VALUE)
        await vault.reveal("default", "{{secret:key}}")
        shown = [vault, secrets, await vault.get("default", "key"), await vault.list("default")]
        assert VALUE not in repr(shown)
    assert VALUE not in caplog.text
