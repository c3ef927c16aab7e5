"""Which URLs lead to the hosts that an operator trusts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from runtime_hooks_local.hosts import TrustedHosts
from runtime_hooks_local.settings import LocalHooksSettings

TRUSTED = TrustedHosts(("Intranet.example:8080", "wiki.example", "[::1]:9", "10.0.0.7:80"))


@pytest.mark.parametrize(
    "url",
    [
        "http://intranet.example:8080",
        "https://INTRANET.example:8080/a?b=c#d",
        "http://intranet.example.:8080/",
        "http://wiki.example",
        "https://wiki.example:1234/",
        "http://[::1]:9/",
        "http://10.0.0.7/",
    ],
)
def test_trusts(url):
    assert url in TRUSTED


@pytest.mark.parametrize(
    "url",
    [
        "http://intranet.example",
        "http://intranet.example:80/",
        "http://evil.example/intranet.example:8080",
        "http://intranet.example:8080@evil.example/",
        "http://evil.example@intranet.example:8080/",
        "http://evil.example\\@wiki.example/",
        "http://wiki.example\\.evil.example/",
        "http://wiki.example%2eevil.example/",
        "http://wiki.example.evil.example/",
        "http://evilwiki.example/",
        "https://10.0.0.7/",
        "http://[::1",
        "http://intranet.example:99999/",
        "wiki.example",
        "",
    ],
)
def test_does_not_trust(url):
    assert url not in TRUSTED


def test_trusts_nobody_by_default():
    assert "http://wiki.example" not in TrustedHosts(())


@pytest.mark.parametrize("name", ["", "http://a.example", "a b", "a:0", "a:65536", "a:b", "a/b"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValidationError, match="is no host: write it like"):
        LocalHooksSettings(private_hosts=(name,))
