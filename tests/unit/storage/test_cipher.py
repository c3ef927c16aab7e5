from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from runtime_core.errors import RuntimeCoreError
from runtime_core.storage.cipher import Cipher

ONE = Cipher(("0123456789abcdef",))
PLAIN = Cipher()


@pytest.mark.parametrize("cipher", [PLAIN, ONE])
@given(content=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=50, deadline=None)
def test_what_is_sealed_can_be_opened(cipher, content):
    assert cipher.open(cipher.seal(content, "a", "b"), "a", "b") == content


def test_a_text_that_looks_sealed_is_a_text():
    sealed = ONE.seal("x", "place")
    assert PLAIN.open(PLAIN.seal(sealed, "place"), "place") == sealed
    assert ONE.open(ONE.seal("plain:y", "place"), "place") == "plain:y"


def test_a_sealed_text_opens_in_its_place_only():
    sealed = ONE.seal("x", "a", "b")
    for place in ((), ("a",), ("a", "c"), ("a", "b", ""), ("ab",)):
        with pytest.raises(RuntimeCoreError, match="RUNTIME_SECRET_KEY"):
            ONE.open(sealed, *place)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-4], lambda s: s[:8] + s[9:] + "=", lambda s: s[:20] + s[21:]]
)
def test_what_was_tampered_with_is_refused(change):
    with pytest.raises(RuntimeCoreError, match="tampered with") as caught:
        ONE.open(change(ONE.seal("x", "place")), "place")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("stored", ["", "x", "fernet2:abc", "\N{OCTOPUS}"])
def test_an_unknown_form_is_said_to_be_one(stored):
    with pytest.raises(RuntimeCoreError, match="this release does not know"):
        ONE.open(stored, "place")
    with pytest.raises(RuntimeCoreError, match="tampered with"):
        ONE.open("fernet1:\N{OCTOPUS}", "place")


def test_the_setting_names_secrets_newest_first():
    old, new = Cipher.of(SecretStr("old-old-old-old-")), Cipher.of(SecretStr("new-new-new-new-"))
    both = Cipher.of(SecretStr("new-new-new-new-,old-old-old-old-"))
    assert both.open(old.seal("x")) == "x"
    assert new.open(both.seal("x")) == "x"
    with pytest.raises(RuntimeCoreError):
        old.open(both.seal("x"))
    for none in (None, SecretStr("")):
        assert Cipher.of(none).seal("x").endswith(":x")


def test_secrets_are_not_shown():
    assert "0123" not in repr(ONE)
    assert "0123" not in str(ONE)


def test_a_server_without_a_secret_does_not_load_the_library():
    code = """
import sys
from runtime_core.storage import cipher, sqlite
assert cipher.Cipher().open(cipher.Cipher().seal("x")) == "x"
sqlite.connect("sqlite://")
assert "cryptography" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
