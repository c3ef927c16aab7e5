"""The hook ``webhook``."""

from __future__ import annotations

import json

import pytest

from runtime_core.errors import (
    AddressRefused,
    TaskFailed,
    TimedOut,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from runtime_core.testing.hook_source_suite.secrets import SECRET
from runtime_core.types import ChatHistory, Message, ToolRequest, Value

#: Anything but JSON's own words.
TEXT = Value("all is well", "string")


async def test_posts_json_and_returns_json(source, service, as_task):
    result = await source.call(as_task("webhook", Value({"a": [1]}, "json"), url=service.url))
    assert result == Value({"ok": True}, "json")
    assert (service.last.method, service.last.body) == ("POST", b'{"a":[1]}')
    assert service.last.headers["content-type"] == "application/json"
    assert service.last.headers["accept"] == "application/json"


@pytest.mark.parametrize("text", ['{"a":  1}', "[1, 2]", "7", '"quoted"', "null"])
async def test_a_text_that_is_json_is_sent_as_it_is(source, service, as_task, text):
    await source.call(as_task("webhook", Value(text, "string"), url=service.url))
    assert service.last.body.decode() == text


async def test_another_text_is_sent_as_a_message_with_the_arguments(source, service, as_task):
    await source.call(as_task("webhook", TEXT, url=service.url, level="info"))
    assert json.loads(service.last.body) == {
        "message": "all is well",
        "data": {"url": service.url, "level": "info"},
    }


@pytest.mark.parametrize(
    ("value", "sent"),
    [(Value(5, "int"), b"5"), (Value(None, "any"), b"null"), (Value([0.5], "vector"), b"[0.5]")],
)
async def test_everything_else_is_sent_as_json(source, service, as_task, value, sent):
    await source.call(as_task("webhook", value, url=service.url))
    assert service.last.body == sent


async def test_a_conversation_is_sent_as_clients_know_it(source, service, as_task):
    history = ChatHistory((Message(role="user", content="hi"),))
    await source.call(as_task("webhook", Value(history, "chat_history"), url=service.url))
    (message,) = json.loads(service.last.body)["messages"]
    assert (message["role"], message["content"]) == ("user", "hi")


@pytest.mark.parametrize(
    ("method", "sends"),
    [("put", True), ("PATCH", True), ("GET", False), ("DELETE", False), ("OPTIONS", False)],
)
async def test_which_methods_send_a_body(source, service, as_task, method, sends):
    service.will_answer(200, b"")
    await source.call(as_task("webhook", TEXT, url=service.url, method=method))
    assert service.last.method == method.upper()
    assert bool(service.last.body) == sends
    assert ("content-type" in service.last.headers) == sends


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("b=2&c=ü d", "/x?b=2&c=%C3%BC%20d"),
        ("?b=2#c", "/x?b=2%23c"),
        ({"b": [1, True], "c": "&=#"}, "/x?b=1&b=true&c=%26%3D%23"),
        ("", "/x?a=1"),
        ({}, "/x?a=1"),
        (None, "/x?a=1"),
    ],
)
async def test_query_replaces_that_of_the_url(source, service, as_task, query, sent):
    await source.call(as_task("webhook", TEXT, url=f"{service.url}/x?a=1#top", query=query))
    assert service.last.target == sent


@pytest.mark.parametrize("headers", [{"X-Id": 7, "Accept": "text/plain"}, '{"X-Id": "7"}'])
async def test_headers_are_an_object_or_its_json(source, service, as_task, headers):
    await source.call(as_task("webhook", TEXT, url=service.url, headers=headers))
    assert service.last.headers["x-id"] == "7"
    accept = "text/plain" if "Accept" in headers else "application/json"
    assert service.last.headers["accept"] == accept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "webhook needs the argument 'url'"),
        ({"url": ""}, "webhook needs the argument 'url'"),
        ({"url": 7}, "'url' must be a text"),
        ({"url": "http://x.example", "headers": "X-Id: 7"}, "'headers' must be an object, or its"),
        ({"url": "http://x.example", "headers": ["a"]}, "'headers' must be an object, or its JSON"),
        ({"url": "http://x.example", "headers": {"X-Id": None}}, "header 'X-Id' must have a text"),
        ({"url": "http://x.example", "headers": {"X-Id": True}}, "header 'X-Id' must have a text"),
        ({"url": "http://x.example", "headers": {"X-Id": "a\r\nb: c"}}, "line breaks"),
        ({"url": "http://x.example", "headers": {"Host": "y"}}, "leave it out"),
        ({"url": "http://x.example", "method": "GET /\r\n"}, "no HTTP method"),
        ({"url": "http://x.example", "query": [1]}, "'query' must be an object"),
        ({"url": "http://x.example/a b", "query": "a=1"}, "spaces or control characters"),
        ({"url": "http://[::1", "query": "a=1"}, "cannot be used"),
    ],
)
async def test_wrong_arguments_are_named_and_nothing_is_sent(
    source, service, as_task, arguments, words
):
    with pytest.raises(TaskFailed) as failure:
        await source.call(as_task("webhook", TEXT, **arguments))
    assert words in str(failure.value)
    assert service.requests == []


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a": "\xc3\xa9"}', Value({"a": "é"}, "json")),
        (b"\xef\xbb\xbf[1]", Value([1], "json")),
        (b"done", Value("done", "string")),
        (b"", Value("", "string")),
        (b"\xff", Value("\ufffd", "string")),
    ],
)
async def test_a_result_is_json_or_text(source, service, as_task, body, result):
    service.will_answer(201, body)
    assert await source.call(as_task("webhook", TEXT, url=service.url)) == result


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, TaskFailed),
        (404, TaskFailed),
        (429, UpstreamRateLimited),
        (500, UpstreamUnavailable),
        (503, UpstreamUnavailable),
    ],
)
async def test_other_answers_are_errors(source, service, as_task, status, error):
    service.will_answer(status, b"because", {"retry-after": "7"})
    with pytest.raises(error, match=f"{service.url} answered {status}: because") as failure:
        await source.call(as_task("webhook", TEXT, url=f"{service.url}/secret-path"))
    assert "secret-path" not in str(failure.value)
    assert failure.value.retry_after == (7 if error is not TaskFailed else None)


async def test_an_answer_that_is_too_large_is_an_error(running, service, as_task):
    service.will_answer(200, b"x" * 1025)
    async with running(max_bytes=1024) as source:
        with pytest.raises(UpstreamError, match="more than 1024 bytes"):
            await source.call(as_task("webhook", TEXT, url=service.url))


async def test_a_service_that_takes_too_long_is_an_error(running, service, as_task):
    async with running(timeout=0.05) as source:
        with pytest.raises(TimedOut):
            await source.call(as_task("webhook", TEXT, url=f"{service.url}/wait"))


async def test_private_addresses_are_refused_unless_the_operator_trusts_them(
    running, service, as_task
):
    async with running(private_hosts=()) as source:
        with pytest.raises(AddressRefused, match=r"loopback.*private_hosts"):
            await source.call(as_task("webhook", TEXT, url=service.url))
    async with running(private_hosts=("127.0.0.1",)) as source:
        assert await source.call(as_task("webhook", TEXT, url=service.url))


async def test_no_setting_allows_metadata_addresses(running, as_task):
    async with running(private_hosts=("169.254.169.254",), untrusted_private=True) as source:
        with pytest.raises(AddressRefused, match="no setting allows that") as failure:
            await source.call(as_task("webhook", TEXT, url="http://169.254.169.254/latest"))
    assert "private_hosts" not in str(failure.value)


async def test_a_trusted_host_does_not_vouch_for_its_redirects(source, service, as_task):
    service.will_answer(307, b"", {"location": f"{service.url}/elsewhere"})
    with pytest.raises(TaskFailed, match="answered 307, a redirect that is not followed"):
        await source.call(as_task("webhook", TEXT, url=service.url))
    assert len(service.requests) == 1


# -- as a tool of models -----------------------------------------------------


@pytest.mark.parametrize("name", ["body", "payload"])
@pytest.mark.parametrize(
    ("body", "sent"), [({"a": 1}, b'{"a":1}'), ('{"a": 1}', b'{"a": 1}'), (False, b"false")]
)
async def test_a_model_gives_the_body(source, service, as_model, name, body, sent):
    await source.call(as_model("webhook", url=service.url, **{name: body}))
    assert service.last.body == sent


async def test_a_models_text_is_a_message(source, service, as_model):
    await source.call(as_model("webhook", url=service.url, body="hello"))
    assert json.loads(service.last.body) == {"message": "hello", "data": {"url": service.url}}


async def test_a_model_may_send_nothing(source, service, as_model):
    await source.call(as_model("webhook", url=service.url))
    assert (service.last.method, service.last.body) == ("POST", b"")


# -- secrets -----------------------------------------------------------------

REFERENCE = "Bearer {{secret:suite}}"


def with_secret(service, headers, path="/echo", **fields) -> ToolRequest:
    return ToolRequest(
        hook="webhook",
        tool="webhook",
        arguments={"url": service.url + path, "headers": headers},
        secrets={"headers": ("suite",)},
        **fields,
    )


@pytest.mark.parametrize(
    "headers", [{"Authorization": REFERENCE}, json.dumps({"Authorization": REFERENCE})]
)
async def test_secrets_of_the_chain_are_sent(source, service, headers):
    await source.call(with_secret(service, headers))
    assert service.last.headers["authorization"] == f"Bearer {SECRET}"


async def test_secrets_do_not_come_back(source, service, secrets):
    request = with_secret(service, {"Authorization": REFERENCE})
    result = await source.call(request)
    assert result.data["headers"]["authorization"] == "Bearer ***"
    service.will_answer(400, b"")
    with pytest.raises(TaskFailed, match=r"answered 400: .*Bearer \*\*\*") as failure:
        await source.call(request)
    assert secrets.hides(f"{failure.value!r} {failure.value}")


async def test_only_the_secrets_that_the_chain_names_are_sent(source, service, secrets):
    """A template may stand for what a user, or a model, has written."""
    headers = {"Authorization": REFERENCE, "X-Note": "{{secret:of-others}}"}
    await source.call(with_secret(service, headers))
    assert service.last.headers["x-note"] == "{{secret:of-others}}"
    assert secrets.asked == ["suite"]


async def test_secrets_are_put_into_headers_only(source, service, secrets):
    request = ToolRequest(
        hook="webhook",
        tool="webhook",
        arguments={"url": f"{service.url}/?key={{{{secret:suite}}}}", "body": [REFERENCE]},
        secrets={"url": ("suite",), "body": ("suite",)},
    )
    await source.call(request)
    assert secrets.asked == []
    assert SECRET not in service.last.target + service.last.body.decode()


async def test_a_secret_that_does_not_exist_is_named(source, service, secrets):
    del secrets.values["suite"]
    with pytest.raises(TaskFailed, match="no secret 'suite'"):
        await source.call(with_secret(service, {"Authorization": REFERENCE}))
    assert service.requests == []


@pytest.mark.parametrize("name", ["headers", "body", "query", "url"])
async def test_models_cannot_send_secrets(source, service, secrets, as_model, name):
    arguments = {"url": service.url, name: {"X-Note": "{{secret:suite}}"}}
    if name == "url":
        arguments["url"] = f"{service.url}/{{{{secret:suite}}}}"
    await source.call(as_model("webhook", **arguments))
    assert secrets.asked == []
    sent = service.last
    assert secrets.hides(f"{sent.target} {sent.headers} {sent.body!r}")


async def test_secrets_do_not_come_back_in_another_encoding(source, service):
    body = f"you sent {SECRET}!".encode("utf-16")
    service.will_answer(200, body, {"content-type": "text/plain; charset=utf-16"})
    result = await source.call(with_secret(service, {"Authorization": REFERENCE}, path="/"))
    assert result.data == "you sent ***!"
