"""The hook ``http_get``."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from runtime_core.errors import AddressRefused, TaskFailed, TimedOut, UpstreamUnavailable
from runtime_core.types import Value

PLAIN = {"content-type": "text/plain; charset=utf-8"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "body", "result"),
    [
        (PLAIN, "héllo".encode(), Value("héllo", "string")),
        (PLAIN, b"[1]", Value("[1]", "string")),
        (JSON, b'{"a": 1}', Value({"a": 1}, "json")),
        ({"content-type": "application/problem+json"}, b"null", Value(None, "json")),
        (JSON, b"{broken", Value("{broken", "string")),
        ({"content-type": "text/html; charset=latin-1"}, b"h\xe9", Value("hé", "string")),
        ({"content-type": "text/html; charset=klingon"}, b"ok", Value("ok", "string")),
        ({"content-type": "text/html; charset=utf-7"}, b"+2AA-", Value("\ufffd", "string")),
        ({}, b"", Value("", "string")),
    ],
)
async def test_gives_text_or_json(source, service, as_model, headers, body, result):
    service.will_answer(200, body, headers)
    got = await source.call(as_model("http_get", url=service.url))
    if "utf-7" in headers.get("content-type", ""):
        assert got.data.encode()
        return
    assert got == result


async def test_sends_query_and_headers(source, service, as_model):
    request = as_model(
        "http_get", url=f"{service.url}/x?a=1", query={"b": "c d"}, headers={"X-Id": "7"}
    )
    await source.call(request)
    assert (service.last.method, service.last.target) == ("GET", "/x?b=c+d")
    assert service.last.headers["x-id"] == "7"
    assert service.last.headers["accept"].startswith("application/json")


async def test_a_model_is_told_what_was_cut(running, service, as_model):
    service.will_answer(200, b"ab" * 100, PLAIN)
    async with running(max_characters=100) as source:
        result = await source.call(as_model("http_get", url=service.url))
    assert result.data == (
        "ab" * 50 + "\n\n[cut: these are the first 100 characters, there are 200]"
    )


@pytest.mark.parametrize("headers", [PLAIN, JSON])
async def test_a_model_gets_the_beginning_of_what_is_too_large(running, service, as_model, headers):
    service.will_answer(200, b"[" + b"1," * 100_000, headers)
    async with running(max_bytes=1024) as source:
        result = await source.call(as_model("http_get", url=service.url))
    assert result.data.startswith("[1,1,")
    assert result.data.endswith("\n\n[cut: these are the first 1024 characters, there are more]")


async def test_no_more_is_read_than_is_wanted(running, service, as_model):
    service.will_answer(200, b"x" * 4096, PLAIN)
    async with running(max_bytes=1024) as source, asyncio.timeout(20):
        result = await source.call(as_model("http_get", url=f"{service.url}/pour"))
    assert "[cut: these are the first 1024 characters" in result.data


async def test_no_character_is_cut_in_two(running, service, as_model):
    service.will_answer(200, b"a" + "é".encode() * 1000, PLAIN)
    async with running(max_bytes=1024) as source:
        result = await source.call(as_model("http_get", url=service.url))
    assert result.data.startswith("a" + "é" * 511 + "\n\n[cut: these are the first 512 characters")


async def test_long_json_is_cut_as_text_for_a_model_only(running, service, as_model, as_task):
    service.will_answer(200, b"[" + b"1," * 100 + b"1]", JSON)
    async with running(max_characters=100) as source:
        assert "[cut:" in (await source.call(as_model("http_get", url=service.url))).data
        result = await source.call(as_task("http_get", url=service.url))
    assert result == Value([1] * 101, "json")


async def test_a_chain_gets_all_or_an_error(running, service, as_task):
    service.will_answer(200, b"x" * 1024, PLAIN)
    async with running(max_bytes=1024, max_characters=100) as source:
        assert await source.call(as_task("http_get", url=service.url)) == Value(
            "x" * 1024, "string"
        )
        service.will_answer(200, b"x" * 1025, PLAIN)
        with pytest.raises(TaskFailed, match="more than 1024 bytes: ask it for less, or raise"):
            await source.call(as_task("http_get", url=service.url))


async def test_a_compressed_answer_is_cut_where_it_grows(running, service, as_model):
    bomb = gzip.compress(b"x" * 50_000_000)
    service.will_answer(200, bomb, {**PLAIN, "content-encoding": "gzip"})
    async with running(max_bytes=2048) as source:
        result = await source.call(as_model("http_get", url=service.url))
    assert len(result.data) < 2200


async def test_binary_answers_are_refused(source, service, as_model):
    service.will_answer(200, b"\x89PNG\0\0", {"content-type": "image/png"})
    with pytest.raises(TaskFailed, match="answered image/png, which is no text"):
        await source.call(as_model("http_get", url=service.url))


@pytest.mark.parametrize(("status", "error"), [(404, TaskFailed), (502, UpstreamUnavailable)])
async def test_other_answers_are_errors(source, service, as_model, status, error):
    service.will_answer(status, b"y" * 5000)
    with pytest.raises(error, match=rf"answered {status}: y{{2048}}…$"):
        await source.call(as_model("http_get", url=service.url))


async def test_a_service_that_takes_too_long_is_an_error(running, service, as_model):
    async with running(timeout=0.05) as source:
        with pytest.raises(TimedOut):
            await source.call(as_model("http_get", url=f"{service.url}/wait"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://user:pass@example.com/",
        "not a url",
        "//example.com",
    ],
)
async def test_addresses_out_of_bounds_are_refused(running, as_model, url):
    async with running(private_hosts=("localhost",)) as source:
        with pytest.raises(AddressRefused) as failure:
            await source.call(as_model("http_get", url=url))
    assert ("loopback" in str(failure.value)) == ("private_hosts" in str(failure.value))


async def test_redirects_are_followed_within_the_bounds(running, service, as_model):
    service.will_answer(302, b"", {"location": "http://169.254.169.254/latest/meta-data"})
    async with running(private_hosts=(), untrusted_private=True) as source:
        with pytest.raises(AddressRefused, match="no setting allows"):
            await source.call(as_model("http_get", url=service.url))
        service.will_answer(302, b"", {"location": "/echo"})
        with pytest.raises(TaskFailed, match="answered 302"):
            # /echo answers 302 too, without a target
            await source.call(as_model("http_get", url=service.url))
    assert service.last.path == "/echo"
