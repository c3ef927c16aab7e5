"""Addresses in all their spellings, and whether they may be called."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from runtime_core import errors
from runtime_core.upstream.addresses import Policy, Reach, judge
from runtime_core.upstream.locations import locate

#: URLs whose host is an address, and the address it has to be read as.
LITERALS = {
    "http://127.0.0.1/": "127.0.0.1",
    "http://127.0.0.1./": "127.0.0.1",
    "http://127.1/": "127.0.0.1",
    "http://127.0.1/": "127.0.0.1",
    "http://2130706433/": "127.0.0.1",
    "http://017700000001/": "127.0.0.1",
    "http://0x7f000001/": "127.0.0.1",
    "http://0X7F.0.0.1/": "127.0.0.1",
    "http://0177.0.0.1/": "127.0.0.1",
    "http://0x7f.0.0x0.01/": "127.0.0.1",
    "http://00000177.1/": "127.0.0.1",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "127.0.0.1",
    "http://①②⑦.0.0.1/": "127.0.0.1",
    "http://127。0。0。1/": "127.0.0.1",
    "http://127.0.0.1:8080/": "127.0.0.1",
    "HTTP://127.0.0.1?x": "127.0.0.1",
    "http://0/": "0.0.0.0",
    "http://0x/": "0.0.0.0",
    "http://10.1/": "10.0.0.1",
    "http://192.168.257/": "192.168.1.1",
    "http://0xa9fea9fe/": "169.254.169.254",
    "http://0251.0376.0251.0376/": "169.254.169.254",
    "http://2852039166/": "169.254.169.254",
    "http://[::1]/": "::1",
    "http://[0:0:0:0:0:0:0:1]:80/": "::1",
    "http://[::ffff:127.0.0.1]/": "::ffff:127.0.0.1",
    "http://[::FFFF:7F00:1]/": "::ffff:127.0.0.1",
    "http://1.1.1.1/": "1.1.1.1",
}


@pytest.mark.parametrize("url", LITERALS)
def test_every_spelling_is_the_address_it_stands_for(url: str) -> None:
    where = locate(url)
    expected = ip_address(LITERALS[url])
    assert where.address == expected
    # what is handed to the connection is the address itself, in its one spelling
    assert ip_address(where.url.raw_host or "") == expected


#: Addresses by what has to be said about them.
VERDICTS = {
    Reach.REFUSED: [
        *("169.254.169.254", "169.254.0.1", "169.254.170.2", "169.254.255.255"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fe80::1", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
        *("fd00:42::42", "fd00:c1::a9fe:a9fe"),
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:0:102:304:0:0:5601:5601",
        "2606:4700::5efe:169.254.169.254",
        "2606:4700::200:5efe:169.254.169.254",
        "::ffff:100.100.100.200",
        "64:ff9b::168.63.129.16",
    ],
    Reach.PRIVATE: [
        *("127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1"),
        *("172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "0.0.0.0"),
        *("0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
        *("203.0.113.1", "192.88.99.1"),
        *("::", "::1", "fc00::1", "fdff::1", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1"),
        *("100::1", "4000::1", "5f00::1", "2001::1", "2002:101:101::1"),
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "::1.1.1.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1.1.1.1",
        "2002:7f00:1::",
        "2606:4700::5efe:10.0.0.1",
    ],
    Reach.PUBLIC: [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0"),
        *("100.63.255.255", "100.128.0.0", "169.253.255.255", "169.255.0.0", "126.255.255.255"),
        *("128.0.0.1", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
        *("223.255.255.255", "192.0.1.1"),
        *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00::1", "3ffe::1"),
        *("::ffff:1.1.1.1", "64:ff9b::8.8.8.8"),
    ],
}


@pytest.mark.parametrize(
    ("reach", "address"), [(reach, one) for reach, all_ in VERDICTS.items() for one in all_]
)
def test_verdicts(reach: Reach, address: str) -> None:
    assert judge(ip_address(address)).reach is reach


OPERATOR = Policy("an operator", True, "SETTING_A")
UNTRUSTED = Policy("a model", False, "SETTING_B")


def test_policies() -> None:
    for address in VERDICTS[Reach.PUBLIC]:
        UNTRUSTED.check(ip_address(address), address)
    for address in VERDICTS[Reach.PRIVATE]:
        OPERATOR.check(ip_address(address), address)
        with pytest.raises(errors.AddressRefused, match=r"chosen by a model .* SETTING_B=1"):
            UNTRUSTED.check(ip_address(address), address)
    for address in VERDICTS[Reach.REFUSED]:
        with pytest.raises(errors.AddressRefused, match="no setting allows that"):
            OPERATOR.check(ip_address(address), address)


def test_messages_name_the_address_behind_a_name() -> None:
    with pytest.raises(errors.AddressRefused, match=r"^db is 10\.0\.0\.5, which is private"):
        UNTRUSTED.check(ip_address("10.0.0.5"), "db")
    with pytest.raises(errors.AddressRefused, match=r"^10\.0\.0\.5 is private"):
        UNTRUSTED.check(ip_address("10.0.0.5"), "10.0.0.5")


#: What is no address to call, and a word of the reason.
NO_ADDRESSES = {
    "": "http://",
    "/etc/passwd": "http://",
    "//example.org/": "http://",
    "example.org": "http://",
    "localhost:80/x": "http://",
    "file:///etc/passwd": "http://",
    "ftp://example.org/": "http://",
    "gopher://127.0.0.1:70/": "http://",
    "data:text/plain,x": "http://",
    "ws://example.org/": "http://",
    "unix:///var/run/docker.sock": "http://",
    "http:///etc/passwd": "host",
    "http://": "host",
    "http:example.org": "host",
    "http://:80/": "URL",
    "http://example.org:0/": "port 0",
    "http://example.org:65536/": "URL",
    "http://example.org:80:80/": "URL",
    "http://example.org:8O/": "URL",
    "http://user:secret@example.org/": "password",
    "http://user@example.org/": "password",
    "http://example.org%2f@127.0.0.1/": "password",
    "http://example.org#@127.0.0.1:80@x/ ": "control",
    "http://example.org\\@127.0.0.1/": "backslash",
    "http://127.0.0.1\\.example.org/": "backslash",
    "http://exa\tmple.org/": "control",
    "http://example.org/\r\nHost: x": "control",
    "http://example.org/\x00": "control",
    "http://example.org /": "spaces",
    " http://example.org/": "spaces",
    "http://[fe80::1%25eth0]/": "interface",
    "http://[fe80::1%eth0]/": "interface",
    "http://[::1": "URL",
    "http://[127.0.0.1]/": "URL",
    "http://[v1.fe80::1]/": "The address",
    "http://[v1.x]/": "The address",
    "http://256.0.0.1/": "IPv4",
    "http://1.2.3.4.5/": "IPv4",
    "http://1.256.1/": "IPv4",
    "http://4294967296/": "IPv4",
    "http://08.0.0.1/": "IPv4",
    "http://0x7g.0.0.1/": "IPv4",
    "http://1..1/": "IPv4",
    "http://example.1/": "IPv4",
    "http://example.0x1/": "IPv4",
    "http://a..b/": "neither",
    "http://.example.org/": "neither",
    "http://example.org../": "neither",
    "http://./": "neither",
    "http://-a.org/": "neither",
    "http://%31%32%37.0.0.1/x": "The address",
    "http://localhost%00.example.org/": "neither",
    "http://exa$mple.org/": "neither",
    f"http://{'a' * 64}.org/": "neither",
    f"http://{'a.' * 130}org/": "neither",
    "http://ex\u00adample.org/": "The address",
}


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_to_call(url: str) -> None:
    with pytest.raises(errors.AddressRefused, match=NO_ADDRESSES[url]) as caught:
        locate(url)
    assert "secret" not in caught.value.message
    assert len(caught.value.message) < 500


NAMES = {
    "http://Example.ORG/a%2Fb?q=1#f": "http://example.org/a%2Fb?q=1",
    "https://example.org./": "https://example.org./",
    "http://faß.de/": "http://xn--fa-hia.de/",
    "http://\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.org/": "http://example.org/",
    "http://a_b.example:8080/x": "http://a_b.example:8080/x",
    "http://localhost": "http://localhost",
    "http://xn--n3h.net/": "http://xn--n3h.net/",
    "http://1.example/": "http://1.example/",
    "http://0x7f.1.example/": "http://0x7f.1.example/",
}


@pytest.mark.parametrize("url", NAMES)
def test_names(url: str) -> None:
    assert locate(url).address is None
    assert str(locate(url).url) == NAMES[url]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a%3Bb%2Cc/d;e,f?x=%2C&y=%3b,/?",
        "http://example.org:8080/%2E%2E%20/x?",
        "http://[::1]/x?y=1",
    ],
)
def test_escapes_stay_as_they_were_written(url: str) -> None:
    assert str(locate(url).url).removesuffix("?") == url.removesuffix("?")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/other", "http://example.org/other"),
        ("other?x", "http://example.org/a/other?x"),
        ("//127.1/x", "http://127.0.0.1/x"),
        ("https://example.net/", "https://example.net/"),
    ],
)
def test_relative_addresses(target: str, expected: str) -> None:
    base = locate("http://example.org/a/b").url
    assert str(locate(target, base).url) == expected
