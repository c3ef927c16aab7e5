"""Calls of services: results, failures, repetitions, limits, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.errors import (
    NotFound,
    RuntimeCoreError,
    TaskFailed,
    TimedOut,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.types import ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "sk-0123456789-very-secret"

#: Longer than anything takes on a machine that has other things to do.
PATIENCE = 30


# -------------------------------------------------------------------------
# What is sent, and what comes back
# -------------------------------------------------------------------------


async def test_arguments_go_where_the_document_says(server: Any, service: Any) -> None:
    await server.register(service.url + "/")
    assert (await server.call("getPet", id="a/b c?")).data["target"] == "/pets/a%2Fb%20c%3F"
    await server.call("addPet", name="Rex", age=3, evil=1)
    posted = service.calls()[-1]
    assert (posted.method, posted.path) == ("POST", "/pets")
    assert posted.json() == {"name": "Rex", "age": 3, "evil": 1}
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["accept"] == "application/json"


async def test_escapes_arrive_as_they_were_made(server: Any, service: Any) -> None:
    await server.register(service.url)
    await server.call("getPet", id="1;admin=1,2")
    assert service.calls()[-1].target == "/pets/1%3Badmin%3D1%2C2"


async def test_the_hooks_name_before_the_tools_is_left_out(server: Any, service: Any) -> None:
    await server.register(service.url)
    assert (await server.call("pets.getPet", id="1")).data["target"] == "/pets/1"


async def test_a_secret_in_an_argument_is_refused(server: Any, service: Any) -> None:
    await server.register(service.url)
    request = ToolRequest(
        hook="pets",
        tool="addPet",
        arguments={"name": "{{secret:key}}"},
        secrets={"name": ("key",)},
    )
    with pytest.raises(TaskFailed) as failure:
        await server.kernel.toolbox.call(request)
    assert failure.value.message.endswith(
        "the argument 'name' names {{secret:key}}, and arguments of remote hooks are sent without "
        "secrets: put the credential into headers or properties of the hook 'pets'"
    )
    assert service.calls() == []


async def test_the_only_tool_needs_no_name(server: Any, service: Any, PETS: Any) -> None:
    del PETS["paths"]["/pets"], PETS["paths"]["/pets/{id}"]["delete"]
    service.document = PETS
    await server.register(service.url)
    assert (await server.call("", id="1")).data["target"] == "/pets/1"


async def test_unknown_tools_are_told_beside_those_there_are(server: Any, service: Any) -> None:
    await server.register(service.url)
    with pytest.raises(NotFound, match=r"no tool 'fly'; there are: listPets, addPet, getPet"):
        await server.call("fly")


async def test_a_tasks_input_is_an_argument_where_there_is_one(
    server: Any, service: Any, PETS: Any
) -> None:
    PETS["paths"]["/pets"]["get"]["parameters"].append(
        {"name": "input", "in": "query", "schema": {"type": "string"}}
    )
    service.document = PETS
    await server.register(service.url)
    for tool in ("listPets", "getPet"):
        await server.kernel.toolbox.call(
            ToolRequest(
                hook="pets", tool=tool, arguments={"id": "1"}, input=Value("hello", "string")
            )
        )
    assert [each.target for each in service.calls()] == ["/pets?input=hello", "/pets/1"]


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a": 1.5}', Value({"a": 1.5}, "json")),
        ("application/problem+json; charset=utf-8", b"[1]", Value([1], "json")),
        ("application/json", b"\xef\xbb\xbfnull", Value(None, "json")),
        ("application/json; charset=latin-1", b'"\xe9"', Value("é", "json")),
        ("text/plain", "grüß".encode(), Value("grüß", "string")),
        ("text/html; charset=iso-8859-1", b"\xe9", Value("é", "string")),
        ("text/plain; charset=no-such", "ü".encode(), Value("ü", "string")),
        ("text/plain; charset=zlib", "ü".encode(), Value("ü", "string")),
        ("text/plain; charset=idna", "ü".encode(), Value("ü", "string")),
        ("application/atom+xml", b"<a/>", Value("<a/>", "string")),
        ("", b"plain", Value("plain", "string")),
        ("application/octet-stream", b"looks like text", Value("looks like text", "string")),
        ("application/json", b"", Value(None, "any")),
        ("text/plain", b" \r\n", Value(None, "any")),
        (
            "image/png",
            b"\x89\x00",
            Value({"contentType": "image/png", "size": 2, "base64": "iQA="}, "json"),
        ),
        (
            "image/png",
            b"\x89" * 40_000,
            Value({"contentType": "image/png", "size": 40_000}, "json"),
        ),
    ],
)
async def test_results(
    server: Any, service: Any, reply: Any, content_type: str, body: bytes, expected: Value
) -> None:
    headers = {"content_type": content_type} if content_type else {}
    service.handlers["/pets"] = reply(200, body, **headers)
    await server.register(service.url)
    assert await server.call("listPets") == expected


async def test_no_content_is_null(server: Any, service: Any) -> None:
    service.handlers["/pets/1"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    await server.register(service.url)
    assert await server.call("deletePet", id="1") == Value(None, "any")


@pytest.mark.parametrize("body", [b"{", b"<html>", b"[" * 100_000])
async def test_what_is_not_the_json_it_says_is_an_error(
    server: Any, service: Any, reply: Any, body: bytes
) -> None:
    service.handlers["/pets"] = reply(200, body, content_type="application/json")
    await server.register(service.url)
    with pytest.raises(UpstreamProtocolError, match=r"pets\.listPets answered"):
        await server.call("listPets")


# -------------------------------------------------------------------------
# Failures
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, TaskFailed),
        (401, TaskFailed),
        (404, TaskFailed),
        (408, UpstreamUnavailable),
        (429, UpstreamRateLimited),
        (500, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        (300, UpstreamRejected),
    ],
)
async def test_refusals_tell_the_status_and_what_the_service_says(
    start: Any, service: Any, reply: Any, status: int, kind: type[RuntimeCoreError]
) -> None:
    server = await start(plugins={"remote-hooks": {"retries": 0}})
    service.handlers["/pets"] = reply(status, {"why": "it is closed"})
    await server.register(service.url)
    with pytest.raises(kind, match=rf"pets\.listPets answered {status}") as caught:
        await server.call("listPets")
    assert type(caught.value) is kind
    assert "it is closed" in caught.value.message


async def test_no_more_than_the_beginning_of_a_refusal_is_told(
    server: Any, service: Any, reply: Any
) -> None:
    service.handlers["/pets"] = reply(400, b"x" * 100_000, content_type="text/plain")
    await server.register(service.url)
    with pytest.raises(TaskFailed) as caught:
        await server.call("listPets")
    assert 2048 < len(caught.value.message) < 2200


def failing(reply: Any, *failures: bytes) -> Callable[..., Any]:
    """Return a handler that fails, and then works."""
    left = list(failures)

    async def answer(request: Any, connection: Any) -> bytes:
        return left.pop(0) if left else bytes(reply(200, {"ok": True}))

    return answer


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_may_be_repeated_is(server: Any, service: Any, reply: Any, status: int) -> None:
    for path in ("/pets", "/pets/1"):
        service.handlers[path] = failing(reply, reply(status, b""), reply(status, b""))
    await server.register(service.url)
    assert (await server.call("listPets")).data == {"ok": True}
    assert (await server.call("deletePet", id="1")).data == {"ok": True}
    assert len(service.calls()) == 6


async def test_no_call_is_repeated_more_often_than_is_set(
    server: Any, service: Any, reply: Any
) -> None:
    service.handlers["/pets"] = reply(503, b"closed", content_type="text/plain")
    await server.register(service.url)
    with pytest.raises(UpstreamUnavailable, match="answered 503: closed"):
        await server.call("listPets")
    assert len(service.calls()) == 3


@pytest.mark.parametrize("status", [500, 501, 404])
async def test_other_failures_are_not_repeated(
    server: Any, service: Any, reply: Any, status: int
) -> None:
    service.handlers["/pets"] = reply(status, b"")
    await server.register(service.url)
    with pytest.raises(RuntimeCoreError):
        await server.call("listPets")
    assert len(service.calls()) == 1


async def test_what_changes_something_is_not_repeated(
    server: Any, service: Any, reply: Any
) -> None:
    service.handlers["/pets"] = failing(reply, reply(503, b""))
    await server.register(service.url)
    with pytest.raises(UpstreamUnavailable):
        await server.call("addPet", name="Rex")
    assert len(service.calls()) == 1


async def test_retry_after_is_waited_for_when_there_is_time(
    server: Any, service: Any, reply: Any
) -> None:
    service.handlers["/pets"] = failing(reply, reply(429, b"", retry_after="0"))
    await server.register(service.url)
    assert (await server.call("listPets")).data == {"ok": True}


@pytest.mark.parametrize("moment", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_retry_after_the_time_is_over_ends_the_call_at_once(
    server: Any, service: Any, reply: Any, moment: str
) -> None:
    service.handlers["/pets"] = reply(429, b"", retry_after=moment)
    await server.register(service.url)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(UpstreamRateLimited) as caught:
            await server.call("listPets")
    assert len(service.calls()) == 1
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 3600


async def test_connections_that_break_are_made_again(server: Any, service: Any, reply: Any) -> None:
    broken = [True, True]

    async def answer(request: Any, connection: Any) -> bytes | None:
        return None if broken and broken.pop() else bytes(reply(200, {"ok": True}))

    service.handlers["/pets"] = answer
    await server.register(service.url)
    assert (await server.call("listPets")).data == {"ok": True}


# -------------------------------------------------------------------------
# Limits
# -------------------------------------------------------------------------


async def test_a_call_takes_no_longer_than_its_hook_allows(server: Any, service: Any) -> None:
    async def hang(request: Any, connection: Any) -> None:
        await asyncio.Event().wait()

    service.handlers["/pets"] = hang
    await server.register(service.url, timeoutMs=300)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimedOut, match=r"longer than 300 ms \(its timeoutMs\)"):
            await server.call("listPets")


async def test_a_slow_drip_is_no_way_around_that(server: Any, service: Any) -> None:
    async def drip(request: Any, connection: Any) -> None:
        connection.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
        while True:
            connection.write(b" ")
            await asyncio.sleep(0.01)

    service.handlers["/pets"] = drip
    await server.register(service.url, timeoutMs=300)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimedOut):
            await server.call("listPets")
        await service.gone.wait()


async def test_loading_the_document_counts_too(server: Any, service: Any) -> None:
    async def hang(request: Any, connection: Any) -> None:
        await asyncio.Event().wait()

    service.handlers["/openapi.json"] = hang
    await server.register(service.url, timeoutMs=300)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimedOut, match="300 ms"):
            await server.call("listPets")


async def test_a_cancelled_call_is_hung_up(server: Any, service: Any) -> None:
    called = asyncio.Event()

    async def hang(request: Any, connection: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    service.handlers["/pets"] = hang
    await server.register(service.url, timeoutMs=60_000)
    await server.rows()
    call = asyncio.create_task(server.call("listPets"))
    async with asyncio.timeout(PATIENCE):
        await called.wait()
        call.cancel()
        await asyncio.wait([call])
    assert call.cancelled()


@pytest.mark.parametrize("own", [True, False])
async def test_answers_that_are_too_large_are_refused(
    start: Any, service: Any, reply: Any, own: bool
) -> None:
    server = await start(plugins={"remote-hooks": {} if own else {"max_response": 2000}})
    service.handlers["/pets"] = reply(200, b"x" * 3000, content_type="text/plain")
    await server.register(service.url, **({"maxResponseBytes": 2000} if own else {}))
    with pytest.raises(UpstreamError, match="more than 2000 bytes"):
        await server.call("listPets")


async def test_compressed_answers_are_measured_as_they_are(
    server: Any, service: Any, reply: Any
) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    service.handlers["/pets"] = reply(
        200, bomb, content_type="application/json", content_encoding="gzip"
    )
    await server.register(service.url)
    with pytest.raises(UpstreamError, match="more than 1048576 bytes"):
        await server.call("listPets")


async def test_compressed_answers_are_read(server: Any, service: Any, reply: Any) -> None:
    service.handlers["/pets"] = reply(
        200, gzip.compress(b"[1]"), content_type="application/json", content_encoding="gzip"
    )
    await server.register(service.url)
    assert (await server.call("listPets")).data == [1]


# -------------------------------------------------------------------------
# Redirects
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest", "file:///etc/passwd", "gopher://x"]
)
async def test_redirects_to_what_must_not_be_reached_are_refused(
    server: Any, service: Any, reply: Any, to: str
) -> None:
    service.handlers["/pets"] = reply(302, b"", location=to)
    await server.register(service.url)
    with pytest.raises(TaskFailed, match=r"no setting allows|does not begin with"):
        await server.call("listPets")


async def test_redirects_take_no_credential_elsewhere(
    start: Any, service: Any, other_service: Any, reply: Any
) -> None:
    server = await start(egress_untrusted_private=True)
    service.handlers["/pets"] = reply(307, b"", location=f"{other_service.url}/pets")
    await server.register(
        service.url,
        headers={"Authorization": f"Bearer {SECRET}", "X-Tenant": "acme-corporation"},
    )
    await server.call("listPets")
    [request] = other_service.calls()
    assert SECRET not in str(request.headers)
    assert "acme" not in str(request.headers)


@pytest.mark.parametrize(
    "injected",
    [
        {"properties": {"name": "api_key", "value": SECRET}},
        {"properties": {"name": "name", "value": SECRET, "in": "query"}},
        {"headers": {"name": SECRET}},
    ],
)
async def test_redirects_take_no_credential_of_a_body_elsewhere(
    start: Any, service: Any, other_service: Any, reply: Any, injected: dict[str, Any]
) -> None:
    server = await start(egress_untrusted_private=True)
    service.handlers["/pets"] = reply(307, b"", location=f"{other_service.url}/pets")
    await server.register(service.url, **injected)
    with pytest.raises(UpstreamError, match="not sent the credential that the body holds"):
        await server.call("addPet", name="Rex")
    assert other_service.requests == []
    service.handlers["/pets"] = reply(307, b"", location="/animals")
    await server.call("addPet", name="Rex")
    assert SECRET.encode() in service.calls()[-1].body


# -------------------------------------------------------------------------
# Credentials
# -------------------------------------------------------------------------


async def echo(request: Any, connection: Any) -> bytes:
    """Answer with everything that was sent."""
    said = {"target": request.target, "headers": request.headers, "body": request.body.decode()}
    body = json.dumps(said).encode()
    return b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


@pytest.mark.parametrize("place", ["query", "header", "cookie", "body", "anything"])
async def test_secrets_are_sent_and_come_back_masked(server: Any, service: Any, place: str) -> None:
    service.handlers["/pets"] = echo
    await server.kernel.secrets.put("default", "PETS", SECRET)
    await server.register(
        service.url,
        headers={"X-Custom": "{{ secret:PETS }}"},
        properties={"name": "api_key", "value": "{{secret:PETS}}", "in": place},
    )
    result = await server.call("addPet", name="Rex", api_key="mine")
    [request] = service.calls()
    assert request.headers["x-custom"] == SECRET
    sent = f"{request.target} {request.headers.get('cookie')} {request.body.decode()}"
    if place == "header":
        assert request.headers["api_key"] == SECRET
    else:
        assert SECRET in sent
    assert "mine" not in sent
    assert SECRET not in str(result)
    assert "***" in str(result)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("charset", "body"), [("utf-7", b"+2AA-x"), ("unicode_escape", b"\\ud800x")]
)
async def test_what_is_no_character_in_any_charset_is_replaced(
    server: Any, service: Any, reply: Any, status: int, charset: str, body: bytes
) -> None:
    content_type = f"text/plain; charset={charset}"
    service.handlers["/pets"] = reply(status, body, content_type=content_type)
    await server.register(service.url)
    if status == 200:
        assert (await server.call("listPets")).data == "?x"
        return
    with pytest.raises(TaskFailed) as failure:
        await server.call("listPets")
    assert failure.value.message.endswith(": ?x")


@pytest.mark.parametrize(
    ("content_type", "encode"),
    [
        ("application/json; charset=utf-16", lambda text: json.dumps(text).encode("utf-16")),
        ("text/plain; charset=utf-16", lambda text: text.encode("utf-16")),
        ("image/png", lambda text: b"\0\xff" + text.encode()),
    ],
)
async def test_credentials_are_masked_in_every_encoding(
    server: Any, service: Any, reply: Any, content_type: str, encode: Callable[[str], bytes]
) -> None:
    service.handlers["/pets"] = reply(200, encode(f"you: {SECRET}!"), content_type=content_type)
    await server.register(service.url, headers={"X-Api-Key": SECRET})
    data = (await server.call("listPets")).data
    text = b64decode(data["base64"])[2:].decode() if isinstance(data, dict) else data
    assert text == "you: ***!"


async def test_bearers_are_masked_without_their_scheme_too(server: Any, service: Any) -> None:
    async def answer(request: Any, connection: Any) -> bytes:
        body = b"your token is " + request.headers["authorization"].split()[1].encode()
        return b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    service.handlers["/pets"] = answer
    await server.register(service.url, headers={"Authorization": f"Bearer {SECRET}"})
    assert await server.call("listPets") == Value("your token is ***", "string")


async def test_what_is_no_credential_is_not_masked_in_results_but_in_errors(
    server: Any, service: Any, reply: Any
) -> None:
    body = b"welcome to acme-corporation"
    await server.register(service.url, headers={"X-Tenant": "acme-corporation"})
    service.handlers["/pets"] = reply(200, body, content_type="text/plain")
    assert (await server.call("listPets")).data == "welcome to acme-corporation"
    service.handlers["/pets"] = reply(400, body, content_type="text/plain")
    with pytest.raises(TaskFailed, match=r"welcome to \*\*\*"):
        await server.call("listPets")


async def test_a_credential_at_the_end_of_what_is_told_is_masked(
    server: Any, service: Any, reply: Any
) -> None:
    body = b"x" * (2048 - 8) + SECRET.encode()
    service.handlers["/pets"] = reply(400, body, content_type="text/plain")
    await server.register(service.url, headers={"X-Api-Key": SECRET})
    with pytest.raises(TaskFailed) as caught:
        await server.call("listPets")
    assert "sk-0" not in caught.value.message


async def test_a_secret_that_was_changed_is_used_at_once(server: Any, service: Any) -> None:
    service.handlers["/pets"] = echo
    await server.register(service.url, headers={"Authorization": "Bearer {{secret:PETS}}"})
    for secret in ("first-secret-value", "second-secret-value"):
        await server.kernel.secrets.put("default", "PETS", secret)
        result = await server.call("listPets")
        assert service.calls()[-1].headers["authorization"] == f"Bearer {secret}"
        assert secret not in str(result)


async def test_a_secret_that_is_missing_is_named(server: Any, service: Any) -> None:
    await server.register(service.url, headers={"Authorization": "Bearer {{secret:PETS}}"})
    with pytest.raises(TaskFailed, match=r"no secret 'PETS'.*runtime secret set PETS"):
        await server.call("listPets")
    assert "no secret 'PETS'" in (await server.rows())["pets"].error


async def test_secrets_that_would_break_a_header_are_refused_without_being_told(
    server: Any, service: Any
) -> None:
    await server.register(service.url)
    await server.rows()
    await server.kernel.secrets.put("default", "PETS", f"{SECRET}\r\nX-Evil: 1")
    hook = (await server.send("GET", "/hooks/remote/by-name/pets")).json()
    body = {
        **hook,
        "documentUrl": f"{service.url}/openapi.json",
        "headers": {"X-A": "{{secret:PETS}}"},
    }
    assert (await server.send("PUT", f"/hooks/remote/{hook['id']}", body)).status_code == 200
    with pytest.raises(TaskFailed) as caught:
        await server.call("listPets")
    assert SECRET not in caught.value.message


async def test_nothing_injected_is_in_a_schema(server: Any, service: Any, caplog: Any) -> None:
    await server.register(
        service.url, properties={"name": "api_key", "value": SECRET, "in": "query"}
    )
    row = (await server.rows())["pets"]
    [tool] = [tool for tool in row.tools if tool.name == "listPets"]
    assert list(tool.parameters["properties"]) == ["limit"]
    await server.call("listPets", limit=1, api_key="mine")
    assert service.calls()[-1].target == f"/pets?limit=1&api_key={SECRET}"
    assert SECRET not in caplog.text


# -------------------------------------------------------------------------
# Shaping
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "tool", "expected"),
    [
        ({"*": "pets[].name"}, "listPets", ["Rex", "Ada"]),
        ({"listPets": "length(pets)", "*": "nothing"}, "listPets", 2),
        ({"getPet": "length(pets)"}, "listPets", {"pets": [{"name": "Rex"}, {"name": "Ada"}]}),
        ({"*": "nothing"}, "listPets", None),
    ],
)
async def test_results_are_shaped(
    server: Any, service: Any, reply: Any, shape: Any, tool: str, expected: Any
) -> None:
    service.handlers["/pets"] = reply(200, {"pets": [{"name": "Rex"}, {"name": "Ada"}]})
    await server.register(service.url, shape=shape)
    assert await server.call(tool) == Value(expected, "json")


async def test_large_results_are_shaped_too(server: Any, service: Any, reply: Any) -> None:
    service.handlers["/pets"] = reply(200, {"pets": list(range(50_000))})
    await server.register(service.url, shape={"*": "length(pets)"})
    assert (await server.call("listPets")).data == 50_000


async def test_texts_are_not_shaped(server: Any, service: Any, reply: Any) -> None:
    service.handlers["/pets"] = reply(200, b"text", content_type="text/plain")
    await server.register(service.url, shape={"*": "length(pets)"})
    assert (await server.call("listPets")).data == "text"


async def test_a_shape_that_does_not_fit_says_so(server: Any, service: Any, reply: Any) -> None:
    service.handlers["/pets"] = reply(200, {"pets": 3})
    await server.register(service.url, shape={"*": "length(pets)"})
    with pytest.raises(TaskFailed, match=r"the shape of pets\.listPets, 'length\(pets\)'"):
        await server.call("listPets")
