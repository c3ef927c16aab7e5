"""What tools call, and what they may not: on real sockets, with names a test invents."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core import errors
from runtime_core.upstream import create_egress
from runtime_core.upstream.requests import prepare

if TYPE_CHECKING:
    from runtime_core.upstream import Egress, EgressClient


async def test_a_call(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/a%2fb"] = whole(b'{"n":1}', "201 Created", content_type="application/json")
    answer = await egress.operator.request(
        "post",
        f"{service.url}/a%2Fb?q=%C3%BC#fragment",
        headers={"X-Api-Key": "k", "Content-Type": "text/plain"},
        body=b"hello",
    )
    assert (answer.status, answer.body) == (201, b'{"n":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.url == f"{service.url}/a%2Fb?q=%C3%BC"
    head, body = service.requests[0]
    assert head.startswith("post /a%2fb?q=%c3%bc http/1.1\r\n")
    assert body == b"hello"
    for line in ("x-api-key: k", "content-type: text/plain", "accept-encoding: gzip, deflate"):
        assert head.count(f"\r\n{line}\r\n") == 1
    assert "cookie" not in head


async def test_headers_may_repeat_and_no_type_is_made_up(
    egress: Egress, service: Any, whole: Any
) -> None:
    service.answers["/"] = whole(b"x", set_cookie="a=1")
    for _ in range(2):
        answer = await egress.operator.request(
            "PUT", f"{service.url}/", headers=[("X-A", "1"), ("x-a", "2")], body=b"raw"
        )
    assert answer.headers.get_list("set-cookie") == ["a=1"]
    for head, _ in service.requests:
        assert head.count("\r\nx-a: ") == 2
        assert "content-type" not in head
        assert "cookie" not in head


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "304 Same"])
async def test_every_status_is_an_answer(
    egress: Egress, service: Any, whole: Any, status: str
) -> None:
    service.answers["/"] = whole(b"", status, content_encoding="gzip")
    answer = await egress.operator.request("GET", f"{service.url}/")
    assert answer.status == int(status[:3])
    assert answer.body == b""


async def test_connections_serve_again(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/"] = whole(b"x")
    for _ in range(5):
        await egress.operator.request("GET", f"{service.url}/")
    assert service.connections == 1


async def test_policies_share_no_connection(open_egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/"] = whole(b"x")
    for _ in range(2):
        await open_egress.operator.request("GET", f"{service.url}/")
        await open_egress.untrusted.request("GET", f"{service.url}/")
    assert service.connections == 2


# -------------------------------------------------------------------------
# Addresses
# -------------------------------------------------------------------------

LOCAL = ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "0"]


@pytest.mark.parametrize("host", LOCAL)
async def test_private_addresses_are_for_operators(
    egress: Egress, service: Any, whole: Any, host: str
) -> None:
    service.answers["/"] = whole(b"x")
    url = f"http://{host}:{service.port}/"
    with pytest.raises(errors.AddressRefused, match="RUNTIME_EGRESS_UNTRUSTED_PRIVATE=1"):
        await egress.untrusted.request("GET", url)
    with pytest.raises(errors.AddressRefused, match="RUNTIME_EGRESS_UNTRUSTED_PRIVATE=1"):
        egress.untrusted.check(url)
    assert service.connections == 0
    egress.operator.check(url)
    assert (await egress.operator.request("GET", url)).body == b"x"


async def test_operators_can_be_kept_from_private_addresses(service: Any) -> None:
    egress = create_egress(operator_private=False)
    with pytest.raises(errors.AddressRefused, match="RUNTIME_EGRESS_OPERATOR_PRIVATE=1"):
        await egress.operator.request("GET", f"{service.url}/")
    assert service.connections == 0


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:a9fe:a9fe]", "0xa9fea9fe", "[fd00:ec2::254]", "[fe80::1]"]
)
async def test_metadata_is_for_nobody(open_egress: Egress, host: str) -> None:
    for client in (open_egress.operator, open_egress.untrusted):
        with pytest.raises(errors.AddressRefused, match="no setting allows that"):
            await client.request("GET", f"http://{host}/latest/meta-data/")


async def test_names_are_what_they_resolve_to(
    open_egress: Egress, egress: Egress, service: Any, whole: Any, names: Any
) -> None:
    service.answers["/"] = whole(b"x")
    names.names = {
        "metadata.google.internal": [["169.254.169.254"]],
        "localhost": [["127.0.0.1"]],
        "half.example": [["93.184.216.34", "10.0.0.1"]],
        "scoped.example": [["fe80::1%eth0"]],
    }
    with pytest.raises(errors.AddressRefused, match=r"^metadata\.google\.internal is 169\.254"):
        await open_egress.operator.request("GET", "http://Metadata.Google.Internal/")
    with pytest.raises(errors.AddressRefused, match="no setting allows that"):
        await open_egress.operator.request("GET", "http://scoped.example/")
    with pytest.raises(errors.AddressRefused, match=r"^half\.example is 10\.0\.0\.1, which is"):
        await egress.untrusted.request("GET", "http://half.example/")
    with pytest.raises(errors.AddressRefused, match=r"^localhost is 127\.0\.0\.1, which is loop"):
        await egress.untrusted.request("GET", f"http://LOCALHOST:{service.port}/")
    answer = await egress.operator.request("GET", f"http://LOCALHOST:{service.port}/")
    assert answer.body == b"x"


async def test_a_name_that_changes_its_mind(
    outside: EgressClient, service: Any, whole: Any, names: Any
) -> None:
    service.answers["/"] = whole(b"x")
    names.names["evil.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    # what was checked is what is connected to, and the connection goes on serving
    for _ in range(2):
        answer = await outside.request("GET", f"http://evil.example:{service.port}/")
        assert answer.body == b"x"
    assert names.asked == ["evil.example"]
    # who looks again, checks again
    with pytest.raises(errors.AddressRefused, match=r"^evil\.example is 10\.0\.0\.1, which"):
        await outside.request("GET", f"http://evil.example:{service.port + 1}/")
    assert service.connections == 1


async def test_the_last_look_is_at_the_socket(egress: Egress, service: Any) -> None:
    """Whatever the checks before it may miss."""
    missed = replace(prepare("GET", f"{service.url}/", (), None), address=None)
    with pytest.raises(errors.AddressRefused, match="loopback"):
        await egress.untrusted._send(missed)
    assert service.connections == 0


async def test_names_that_nobody_knows(egress: Egress) -> None:
    with pytest.raises(
        errors.UpstreamUnavailable, match=r"http://none\.example cannot be .*Name or service not"
    ):
        await egress.untrusted.request("GET", "http://none.example/")


# -------------------------------------------------------------------------
# What is sent
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nx-evil: 1"},
        {"x-a": "b\nx-evil: 1"},
        {"x-a": "b\x00"},
        {"x-a": "b\ud800"},
        {"x-a: 1\r\nx-evil": "1"},
        {"": "x"},
        {"x a": "x"},
        {"\u00fc": "x"},
        {"Host": "internal"},
        {"Content-Length": "0"},
        {"transfer-encoding": "chunked"},
        {"Connection": "upgrade"},
        {"upgrade": "h2c"},
        {"Expect": "100-continue"},
    ],
)
async def test_headers_that_would_smuggle(egress: Egress, service: Any, headers: Any) -> None:
    with pytest.raises(errors.TaskFailed):
        await egress.operator.request("GET", f"{service.url}/", headers=headers)
    assert service.connections == 0


@pytest.mark.parametrize("method", ["", "GET /x", "GET\r\n", "CONNECT", "trace", "G\u00cbT"])
async def test_methods_that_are_none(egress: Egress, service: Any, method: str) -> None:
    with pytest.raises(errors.TaskFailed, match="no HTTP method"):
        await egress.operator.request(method, f"{service.url}/")
    assert service.connections == 0


async def test_closing(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/"] = whole(b"x")
    await egress.operator.request("GET", f"{service.url}/")
    await egress.aclose()
    await egress.aclose()
    await service.left.wait()


async def test_a_resolver_of_its_own_is_closed(monkeypatch: pytest.MonkeyPatch, names: Any) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    names.close = close
    # which resolver is the default depends on what is installed
    monkeypatch.setattr("aiohttp.DefaultResolver", lambda: names)
    egress = create_egress()
    with pytest.raises(errors.UpstreamUnavailable):
        await egress.operator.request("GET", "http://none.example/")
    await egress.aclose()
    assert closed.is_set()


async def test_the_system_resolver() -> None:
    egress = create_egress()
    with pytest.raises(errors.AddressRefused, match=r"localhost is .*loopback"):
        await egress.untrusted.request("GET", "http://localhost:1/")
    with pytest.raises(errors.UpstreamUnavailable, match="localhost:1: Connection refused"):
        await egress.operator.request("GET", "http://localhost:1/")
    await egress.aclose()
