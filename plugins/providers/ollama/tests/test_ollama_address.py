from __future__ import annotations

import pytest
from ollama import Client
from runtime_provider_ollama.address import address_of

from runtime_core.errors import SettingsError


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("example.com", "http://example.com:11434"),
        ("example.com:56789", "http://example.com:56789"),
        (":56789", "http://127.0.0.1:56789"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("HTTPS://example.com:8443/", "https://example.com:8443"),
        ("example.com/path/", "http://example.com:11434/path"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("::1", "http://[::1]:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        (' "example.com" ', "http://example.com:11434"),
        ("http://user:p%40ss@example.com", "http://user:p%40ss@example.com:80"),
    ],
)
def test_every_form_that_ollama_takes(host: str, address: str) -> None:
    assert address_of(host) == address
    assert address_of(address) == address


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com:1",
        ":1",
        "1.2.3.4",
        "http://1.2.3.4",
        "https://x.org",
        "https://x.org:1/path/",
        "x.org/path",
        "[::1]:2",
    ],
)
def test_agrees_with_ollamas_own_client(host: str) -> None:
    client = Client(host=host)
    theirs = str(client._client.base_url).rstrip("/")
    client._client.close()
    default = ":443" if theirs.startswith("https") else ":80"
    assert address_of(host).replace(f"{default}", "") == theirs


@pytest.mark.parametrize(
    "host", ["ftp://x", "x:port", "http://x:99999", "http://[::1", "x?y=1", "://x"]
)
def test_says_what_would_be_right(host: str) -> None:
    with pytest.raises(SettingsError, match="OLLAMA_HOST") as caught:
        address_of(host)
    assert repr(host) in str(caught.value)
