from __future__ import annotations

import pytest
from pydantic import SecretStr

from runtime_core.errors import SettingsError, Unauthenticated
from runtime_core.http.auth import authenticator, check_bind, given_keys, keys
from runtime_core.settings import Settings


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, []),
        ({b"x-api-key": b"k"}, ["k"]),
        ({b"x-api-key": b"Bearer k"}, ["k"]),
        ({b"x-api-key": b"bearer  k "}, ["k"]),
        ({b"authorization": b"Bearer k"}, ["k"]),
        ({b"authorization": b"BEARER k"}, ["k"]),
        ({b"authorization": b"Basic k"}, []),
        ({b"authorization": b"k"}, []),
        ({b"authorization": b"Bearer "}, []),
        ({b"x-api-key": b""}, []),
        ({b"x-api-key": b"a", b"authorization": b"Bearer b"}, ["a", "b"]),
        ({b"x-api-key": b"\xe9"}, ["\xe9"]),
    ],
)
def test_where_a_key_may_be(headers: dict[bytes, bytes], found: list[str]) -> None:
    assert given_keys(headers) == found


async def test_the_root_key_is_the_default_tenants() -> None:
    known = authenticator(Settings(token=SecretStr("secret")))
    assert (await known.authenticate(["secret"])).tenant_id == "default"
    assert (await known.authenticate(["other", "secret"])).tenant_id == "default"


@pytest.mark.parametrize("given", [[], ["Secret"], ["secre"], ["secret2"], ["\udcff"], [""]])
async def test_other_keys_are_refused(given: list[str]) -> None:
    known = authenticator(Settings(token=SecretStr("secret")))
    with pytest.raises(Unauthenticated):
        await known.authenticate(given)


async def test_the_key_is_not_kept() -> None:
    known = authenticator(Settings(token=SecretStr("secret-token")))
    assert "secret-token" not in repr(vars(known))


async def test_without_a_token_everybody_is_welcome() -> None:
    anyone = authenticator(Settings())
    assert (await anyone.authenticate([])).tenant_id == "default"
    assert (await anyone.authenticate(["any-key"])).tenant_id == "default"


def test_the_driver_for_keys_needs_one() -> None:
    with pytest.raises(SettingsError, match="TOKEN"):
        keys(Settings())


@pytest.mark.parametrize("addr", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "::ffff:127.0.0.1"])
def test_this_machine_alone_needs_no_key(addr: str) -> None:
    check_bind(Settings(addr=addr))


@pytest.mark.parametrize("addr", ["0.0.0.0", "::", "192.168.1.5", "example.org", "8.8.8.8"])
def test_a_network_needs_a_key_or_a_word(addr: str) -> None:
    with pytest.raises(SettingsError, match="TOKEN") as caught:
        check_bind(Settings(addr=addr))
    assert "RUNTIME_ALLOW_ANONYMOUS" in str(caught.value)
    check_bind(Settings(addr=addr, token=SecretStr("k")))
    check_bind(Settings(addr=addr, allow_anonymous=True))
