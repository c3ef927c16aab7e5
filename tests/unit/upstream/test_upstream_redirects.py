"""Where tools are sent on to, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime_core import errors

if TYPE_CHECKING:
    from runtime_core.upstream import Egress, EgressClient


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        *[(status, "POST", "GET") for status in (301, 302, 303)],
        *[(status, "POST", "POST") for status in (307, 308)],
        (303, "PUT", "GET"),
        (302, "PUT", "PUT"),
        (303, "HEAD", "HEAD"),
        (301, "GET", "GET"),
    ],
)
async def test_the_method_after_a_redirect(
    egress: Egress, service: Any, whole: Any, status: int, method: str, then: str
) -> None:
    service.answers["/a"] = whole(b"", f"{status} Go", location="/b?x=1")
    service.answers["/b"] = whole(b"")
    answer = await egress.operator.request(
        method, f"{service.url}/a", headers={"content-type": "a/b", "x-key": "k"}, body=b"data"
    )
    assert answer.url == f"{service.url}/b?x=1"
    head, body = service.requests[1]
    assert head.startswith(f"{then} /b?x=1 ".lower())
    assert "\r\nx-key: k\r\n" in head
    kept = then == method and then != "HEAD" if method != "HEAD" else True
    assert body == (b"data" if kept else b"")
    assert ("content-type" in head) is kept


@pytest.mark.parametrize("status", [300, 304, 305])
async def test_what_is_no_redirect(egress: Egress, service: Any, whole: Any, status: int) -> None:
    service.answers["/a"] = whole(b"", f"{status} X", location="/b")
    assert (await egress.operator.request("GET", f"{service.url}/a")).status == status


async def test_a_redirect_without_a_target(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/a"] = whole(b"here", "302 X")
    assert (await egress.operator.request("GET", f"{service.url}/a")).body == b"here"


async def test_another_origin_gets_no_credentials(
    outside: EgressClient, service: Any, whole: Any, names: Any
) -> None:
    names.names = {"a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]}
    service.answers["/a"] = whole(
        b"", "307 X", location=f"http://b.example:{service.port}/b", set_cookie="s=1"
    )
    service.answers["/b"] = whole(b"", "307 X", location=f"http://a.example:{service.port}/c")
    service.answers["/c"] = whole(b"done")
    secrets = {"Authorization": "Bearer x", "X-Key": "x", "Cookie": "x=1"}
    answer = await outside.request(
        "POST",
        f"http://a.example:{service.port}/a",
        headers={**secrets, "Accept": "a/b", "Content-Type": "c/d"},
        body=b"data",
    )
    assert answer.body == b"done"
    first, *others = [head for head, _ in service.requests]
    for name in secrets:
        assert f"\r\n{name.lower()}: " in first
        assert not any(f"\r\n{name.lower()}: " in head for head in others)
    assert all("accept: a/b" in head and "content-type: c/d" in head for head in others)
    assert [body for _, body in service.requests] == [b"data"] * 3


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://169.254.169.254/latest/meta-data/", "no setting allows that"),
        ("//169.254.169.254/latest", "no setting allows that"),
        ("http://0xa9fea9fe/", "no setting allows that"),
        ("file:///etc/passwd", "http://"),
        ("ftp://example.org/", "http://"),
        ("http://user:secret@example.org/", "password"),
        ("http://10.0.0.1/", "RUNTIME_EGRESS_UNTRUSTED_PRIVATE"),
        ("http://[::1]/", "RUNTIME_EGRESS_UNTRUSTED_PRIVATE"),
        ("http://meta.example/", "no setting allows that"),
    ],
)
async def test_redirects_that_lead_nowhere(
    egress: Egress, service: Any, whole: Any, names: Any, target: str, says: str
) -> None:
    """An operator's word is good for the host it named, not for where that host points to."""
    names.names["meta.example"] = [["169.254.169.254"]]
    service.answers["/a"] = whole(b"", "302 X", location=target)
    with pytest.raises(errors.AddressRefused, match=says) as caught:
        await egress.operator.request("GET", f"{service.url}/a")
    assert "secret" not in caught.value.message
    assert len(service.requests) == 1


async def test_a_redirect_to_another_port_of_the_same_host(
    egress: Egress, service: Any, whole: Any
) -> None:
    service.answers["/a"] = whole(b"", "302 X", location=f"http://127.0.0.1:{service.port}/b")
    service.answers["/b"] = whole(b"x")
    assert (await egress.operator.request("GET", f"http://127.1:{service.port}/a")).body == b"x"


async def test_redirects_without_end(egress: Egress, service: Any, whole: Any) -> None:
    service.answers["/a"] = whole(b"", "302 X", location="/a")
    with pytest.raises(errors.UpstreamError, match="redirected more than 3 times") as caught:
        await egress.operator.request("GET", f"{service.url}/a", redirects=3)
    assert not caught.value.retryable
    assert len(service.requests) == 4


async def test_redirects_can_be_left_to_the_caller(
    egress: Egress, service: Any, whole: Any
) -> None:
    service.answers["/a"] = whole(b"", "302 X", location="file:///x")
    answer = await egress.operator.request("GET", f"{service.url}/a", redirects=0)
    assert (answer.status, answer.headers["location"]) == (302, "file:///x")


async def test_the_body_of_a_redirect_is_not_waited_for(
    egress: Egress, service: Any, whole: Any
) -> None:
    service.answers["/a"] = b"HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 9\r\n\r\n"
    service.answers["/b"] = whole(b"x")
    async with egress.operator.stream("GET", f"{service.url}/a") as answer:
        # its connection cannot serve again
        await service.left.wait()
        assert await answer.read() == b"x"


async def test_a_large_body_is_sent_whole_and_again(
    egress: Egress, service: Any, whole: Any
) -> None:
    """In pieces: in one, it would keep the server from everything else."""
    body = bytes(range(256)) * 8192
    service.answers["/a"] = whole(b"", "307 Go", location="/b")
    service.answers["/b"] = whole(b"done")
    answer = await egress.operator.request("POST", f"{service.url}/a", body=body)
    assert answer.body == b"done"
    assert [sent == body for _, sent in service.requests] == [True, True]
    assert all(f"content-length: {len(body)}" in head for head, _ in service.requests)
    assert not any("content-type" in head for head, _ in service.requests)


@pytest.mark.parametrize("status", [302, 307])
async def test_another_origin_gets_no_confidential_body(
    outside: EgressClient, service: Any, whole: Any, names: Any, status: int
) -> None:
    names.names = {"a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]}
    here, elsewhere = (f"http://{host}.example:{service.port}" for host in "ab")
    service.answers["/a"] = whole(b"", f"{status} X", location="/b")
    service.answers["/b"] = whole(b"", f"{status} X", location=f"{elsewhere}/c")
    with pytest.raises(errors.UpstreamError, match=f"{here} redirects to {elsewhere}, which is no"):
        await outside.request("PUT", f"{here}/a", body=b"key", confidential=True)
    assert [body for _, body in service.requests] == [b"key", b"key"]


async def test_a_redirect_that_drops_a_confidential_body_is_followed(
    outside: EgressClient, service: Any, whole: Any, names: Any
) -> None:
    names.names = {"a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]}
    service.answers["/a"] = whole(b"", "303 X", location=f"http://b.example:{service.port}/b")
    service.answers["/b"] = whole(b"done")
    url = f"http://a.example:{service.port}/a"
    answer = await outside.request("POST", url, body=b"key", confidential=True)
    assert answer.body == b"done"
    assert [body for _, body in service.requests] == [b"key", b""]
