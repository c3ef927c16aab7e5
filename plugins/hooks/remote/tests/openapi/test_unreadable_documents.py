"""What is no document, or one without tools, and what just passes."""

from __future__ import annotations

import pytest
from runtime_hooks_remote.openapi import UnreadableDocument, read

URL = "https://api.example/v1/openapi.json"


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"", "", "it is empty; serve a YAML document"),
        (b"  \n# nothing\n", "", "it is empty; serve a YAML document"),
        (b"[]", "", "it is not an object"),
        (b"<html>hello</html>", "", "it is not an object"),
        (b"{", "", "it is not JSON: "),
        (b'{"openapi": NaN}', "", "it is not JSON: "),
        (b"\xff\xfe{", "", "it is not UTF-8: "),
        (b'{"a": "\xff"}', "", "it is not JSON: "),
        (b"a: !!python/object:os.system {}", "", "it is not YAML: "),
        (b"a: &a [*a]", "", "the YAML document contains itself"),
        (b"? [a, b]\n: c", "", "it is not YAML: "),
        (b"{}", "", 'it has no "openapi" field; serve an OpenAPI 3.0 or 3.1 document'),
        (b'{"swagger": "2.0"}', "/swagger", "Swagger 2.0 is not supported; convert the document"),
        (b'{"openapi": "2.0"}', "/openapi", "OpenAPI '2.0' is not supported; serve version 3.0"),
        (b'{"openapi": "3.2.0"}', "/openapi", "OpenAPI '3.2.0' is not supported"),
        (b'{"openapi": ["3.0"]}', "/openapi", "OpenAPI \"['3.0']\" is not supported"),
        (b'{"a": ' * 100_000, "", "it is nested too deeply"),
        (b"[" * 900 + b"]" * 900, "", "it is nested more than 200 levels deep"),
        (b"[" * 100_000, "", "it is not YAML: while increasing flow level"),
        (b"a:\n" + b"".join(b" " * n + b"- \n" for n in range(1, 300)), "", "it is nested more"),
        (b" " * (32 * 1024 * 1024 + 1), "", "it has 33554433 bytes; at most 33554432 are read"),
    ],
)
def test_what_is_no_document_is_refused_and_says_why(content, where, what):
    with pytest.raises(UnreadableDocument) as refused:
        read(content, url=URL)

    assert refused.value.problem.where == where
    assert refused.value.problem.what.startswith(what)
    assert refused.value.message.startswith(f"the OpenAPI document cannot be used: {what}")


@pytest.mark.parametrize(
    "content", [rb'{"openapi": "3.0", "info": {"title": "\ud800"}}', rb'info: {title: "\uD800"}']
)
def test_half_a_character_is_refused(content):
    with pytest.raises(UnreadableDocument, match=r"it is not (JSON|YAML)"):
        read(content, url=URL)


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    with pytest.raises(UnreadableDocument, match="more than 2000000 values; use fewer aliases"):
        read("\n".join(lines).encode(), url=URL)


@pytest.mark.parametrize("version", ["3.0", "3.0.3", "3.1", "3.1.1", "3.0.0-rc2"])
def test_every_3_0_and_3_1_is_read(reading, version):
    assert reading({"openapi": version, "paths": {"/a": {"get": {}}}}).operations


def test_keys_of_yaml_that_are_no_text_are_taken_as_written():
    content = b"openapi: 3.0\npaths: {/a: {get: {responses: {200: {}, true: {}}}}, 5: {get: {}}}"

    document = read(content, url=URL)

    assert [*document.operations] == ["a_get"]
    assert [problem.where for problem in document.problems] == ["/paths/5"]


def test_of_a_key_that_is_there_twice_the_last_counts():
    document = read(b'{"openapi": "3.0", "paths": {}, "paths": {"/a": {"get": {}, "get": {}}}}')

    assert [*document.operations] == ["a_get"]


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        ({}, ()),
        ({"paths": {}}, ()),
        ({"paths": None}, ('it has no "paths"; there are no tools',)),
        ({"paths": ["/a"]}, ("paths must be an object of paths; there are no tools",)),
    ],
)
def test_a_document_without_paths_says_so(reading, paths, what):
    with_hooks = {"webhooks": {}} if not paths else {}
    document = reading({"openapi": "3.1.0", **paths, **with_hooks})

    assert document.operations == {}
    assert tuple(problem.what for problem in document.problems) == what
