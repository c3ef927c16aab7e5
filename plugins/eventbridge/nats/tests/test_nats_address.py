from __future__ import annotations

import pytest
from runtime_eventbridge_nats import NatsBus
from runtime_eventbridge_nats.address import parse

from runtime_core.errors import SettingsError


def told(url: str, **environ: str) -> list[tuple[str, str, str, str]]:
    """Return where the servers are and who we are there."""
    return [
        (one.where, one.credentials.user, one.credentials.password, one.credentials.token)
        for one in parse(url, environ).servers
    ]


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://h", [("nats://h:4222", "", "", "")]),
        ("NATS://h:1/", [("nats://h:1", "", "", "")]),
        ("nats://[::1]:9", [("nats://[::1]:9", "", "", "")]),
        ("tls://h", [("tls://h:4222", "", "", "")]),
        ("nats://u:p@h", [("nats://h:4222", "u", "p", "")]),
        ("nats://u:@h", [("nats://h:4222", "u", "", "")]),
        ("nats://u%40x:p%2C%2F%3F%23@h", [("nats://h:4222", "u@x", "p,/?#", "")]),
        ("nats://t%3Aoken@h", [("nats://h:4222", "", "", "t:oken")]),
        (
            "nats://u:p@a,b:1, v:q@c",
            [
                ("nats://a:4222", "u", "p", ""),
                ("nats://b:1", "u", "p", ""),
                ("nats://c:4222", "v", "q", ""),
            ],
        ),
        (
            "nats://t@a,tls://b,c/x",
            [
                ("nats://a:4222", "", "", "t"),
                ("tls://b:4222", "", "", "t"),
                ("tls://c:4222", "", "", "t"),
            ],
        ),
        ("nats://h?tls_ca=/ca.pem", [("tls://h:4222", "", "", "")]),
    ],
)
def test_servers(url, servers):
    assert told(url) == servers


def test_credentials_of_the_environment_count_where_the_url_has_none():
    environ = {"NATS_USER": "u", "NATS_PASSWORD": "p"}
    assert told("nats://a", **environ)[0][1:] == ("u", "p", "")
    assert told("nats://a", nats_user="u", nats_password="p")[0][1:] == ("u", "p", "")
    assert told("nats://v:q@a", **environ)[0][1:] == ("v", "q", "")
    assert told("nats://t@a", **environ)[0][1:] == ("", "", "t")
    assert told("nats://a", NATS_USER="", NATS_PASSWORD="p")[0][1:] == ("", "", "")


def test_the_prefix_and_the_certificates():
    assert parse("nats://a", {}).prefix == "runtime"
    assert parse("nats://a,b/eu.staging/", {}).prefix == "eu.staging"
    found = parse("tls://a/x?tls_ca=/a,b.pem&tls_cert=c%20d&tls_key=k", {})
    assert found.prefix == "x"
    assert (found.certificates.authority, found.certificates.certificate) == ("/a,b.pem", "c d")
    assert found.certificates.key == "k"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nats://", "malformed"),
        ("nats://a,", "malformed"),
        ("nats://a,,b", "malformed"),
        ("nats://none", "malformed"),
        ("nats://a:0", "malformed"),
        ("nats://a:port", "malformed"),
        ("nats://a:99999", "malformed"),
        ("nats://[::1", "malformed"),
        ("nats://a b", "malformed"),
        ("nats://a,http://b", "its servers begin with nats:// or tls://"),
        ("nats://u:secret,/x@a", "not letters and digits"),
        ("nats://u:sec/ret@a", "not letters and digits"),
        ("nats://a/b/c", "not letters and digits"),
        ("nats://a/>", "not letters and digits"),
        ("nats://a?tls=1&prefix=x", "knows no option prefix, tls, only tls_ca, tls_cert, tls_key"),
        ("nats://a?tls_key=k", "tls_key needs tls_cert"),
    ],
)
def test_what_makes_no_sense_is_refused_without_telling_secrets(url, problem):
    with pytest.raises(SettingsError, match=problem) as caught:
        NatsBus(url)
    assert caught.value.message.startswith("RUNTIME_BUS_URL (NATS_URL): ")
    assert "allowed: a URL as nats://user:password@host:4222" in caught.value.message
    for secret in ("secret", "sec", "ret@"):
        assert secret not in caught.value.message


def test_secrets_are_in_no_representation():
    address = parse("nats://user:hush@a,hushtoken@b", {})
    assert "hush" not in repr(address)
    assert "user" not in repr(address)
