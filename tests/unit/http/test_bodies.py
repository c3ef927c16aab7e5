from __future__ import annotations

import time
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from runtime_core.errors import InvalidRequest, Unprocessable, UnsupportedMedia
from runtime_core.http.bodies import decode_body

JSON = "application/json"
YAML = "application/yaml"


class Inner(msgspec.Struct):
    name: str
    size: int = 0


class Body(msgspec.Struct):
    count: int = 0
    text: str | None = None
    ratio: float = 0.0
    inner: list[Inner] = []
    anything: Any = None


@pytest.mark.parametrize(
    "content_type",
    ["", JSON, "application/json; charset=utf-8", "Application/JSON", "application/json;x=1"],
)
def test_json_media_types(content_type: str) -> None:
    assert decode_body(b'{"count": 2}', content_type, Body).count == 2


@pytest.mark.parametrize(
    "content_type", [YAML, "text/yaml", "application/x-yaml", "Text/YAML; charset=utf-8"]
)
def test_yaml_media_types(content_type: str) -> None:
    assert decode_body(b"count: 2\ntext: hi", content_type, Body) == Body(2, "hi")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-yaml-base64",
        "application/yaml; encoding=base64",
        'text/yaml;charset=utf-8; encoding="base64"',
    ],
)
def test_yaml_in_base64(content_type: str) -> None:
    raw = b64encode(b"count: 2\ntext: hi")
    assert decode_body(raw[:9] + b"\n" + raw[9:], content_type, Body) == Body(2, "hi")
    with pytest.raises(InvalidRequest, match="base64"):
        decode_body(b"count: 2", content_type, Body)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/vnd.api+json",
        ";",
        "nonsense",
    ],
)
def test_other_media_types_are_told_what_to_send(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia, match="Content-Type: application/json"):
        decode_body(b"{}", content_type, Body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"{",
        b'{"count": 1} x',
        b'{"count": NaN}',
        b'{"ratio": Infinity}',
        b'{"ratio": 1e999}',
        b'{"count": ' + b"9" * 5000 + b"}",
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b"{'count': 1}",
        b'{"anything": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"anything": ' + b"[" * 256 + b"]" * 256 + b"}",
        b'{"anything": ' + b'{"a":' * 256 + b"1" + b"}" * 256 + b"}",
        b'{"anything": ' + b'[{"a":' * 128 + b"1" + b"}]" * 128 + b"}",
        b'{"anything": ' + b"[" * 1_000_000,
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_malformed_json(raw: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidRequest) as caught:
        decode_body(raw, JSON, Body)
    assert type(caught.value) is InvalidRequest
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"count": "1"}', "count"),
        (b'{"count": 1.5}', "count"),
        (b'{"count": true}', "count"),
        (b'{"text": 1}', "text"),
        (b'{"inner": {}}', "inner"),
        (b'{"inner": [{"name": "a"}, {}]}', "inner.1.name"),
        (b'{"inner": [{"name": "a", "size": "x"}]}', "inner.0.size"),
        (b"[]", None),
        (b"null", None),
        (b'"text"', None),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, YAML])
def test_well_formed_but_wrong(raw: bytes, param: str | None, content_type: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        decode_body(raw, content_type, Body)
    assert caught.value.param == param


@pytest.mark.parametrize("content_type", [JSON, YAML])
def test_a_whole_number_may_be_written_as_a_float(content_type: str) -> None:
    body = decode_body(
        b'{"count": 3.0, "ratio": 2, "inner": [{"name": "a", "size": 1e2}]}', content_type, Body
    )
    assert body == Body(3, ratio=2.0, inner=[Inner("a", 100)])
    assert type(body.count) is int
    assert type(body.ratio) is float


def test_what_is_just_not_too_deep_is_read() -> None:
    assert decode_body(b"[" * 256 + b"]" * 256, JSON, Any)
    assert decode_body(b'[{"a":' * 128 + b"1" + b"}]" * 128, JSON, Any)


def test_brackets_in_strings_are_not_levels() -> None:
    raw = b'{"text": "' + b"[" * 500 + b'\\"{{{\\\\"}'
    assert decode_body(raw, JSON, Body).text == "[" * 500 + '"{{{\\'


def test_many_small_lists_are_not_deep() -> None:
    assert len(decode_body(b"[" + b"[{}]," * 1000 + b"1]", JSON, Any)) == 1001


def test_the_last_of_two_equal_keys_counts() -> None:
    assert decode_body(b'{"count": 1, "count": 2}', JSON, Body).count == 2


def test_unknown_fields_are_ignored() -> None:
    assert decode_body(b'{"count": 1, "what": {}}', JSON, Body) == Body(1)


def test_yaml_is_read_as_the_core_schema_says() -> None:
    raw = b"""
    date: 2024-01-31
    time: 12:30
    word: [yes, no, on, off, y]
    truth: [true, False]
    nothing: [null, ~, Null]
    empty:
    whole: [0, -5, +5, 010, 0x1f, 0o17]
    number: [1.5, -.5, 1e3, 2.]
    quoted: ["1", 'true']
    1: key
    true: other key
    base: &base {a: 1, b: 1}
    merged: {<<: *base, b: 2}
    text: |
      two
      lines
    """
    assert decode_body(raw, YAML, Any) == {
        "date": "2024-01-31",
        "time": "12:30",
        "word": ["yes", "no", "on", "off", "y"],
        "truth": [True, False],
        "nothing": [None, None, None],
        "empty": None,
        "whole": [0, -5, 5, 10, 31, 15],
        "number": [1.5, -0.5, 1000.0, 2.0],
        "quoted": ["1", "true"],
        "1": "key",
        "true": "other key",
        "base": {"a": 1, "b": 1},
        "merged": {"a": 1, "b": 2},
        "text": "two\nlines\n",
    }


def _bomb(template: str, first: str) -> bytes:
    lines = [f"a0: &a0 {first}"]
    lines += [template.format(i=i, ten=",".join([f"*a{i - 1}"] * 10)) for i in range(1, 10)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"a: [",
        b"a: 1\n---\nb: 2",
        b"# nothing",
        b"a: \x00",
        b"a: '\xff'",
        b'a: "\\ud800"',
        b"a: !!python/object/apply:os.system ['true']",
        b"a: !!binary aGk=",
        b"a: !own x",
        b"a: .nan",
        b"a: -.inf",
        b"a: !!int x",
        b"a: " + b"9" * 5000,
        b"? [a]\n: 1",
        b"a: &a [*a]",
        b"a: &a {b: *a}",
        b"a: *missing",
        b"[" * 300 + b"]" * 300,
        b"[" * 100_000,
        b"- " * 5_000 + b"x",
        _bomb("a{i}: &a{i} [{ten}]", "[x,x,x,x,x,x,x,x,x,x]"),
        _bomb("a{i}: &a{i} {{<<: [{ten}], k{i}: 1}}", "{k: x}"),
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_malformed_or_hostile_yaml(raw: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidRequest):
        decode_body(raw, YAML, Any)
    assert time.perf_counter() - started < 2


def test_the_yaml_library_itself_is_left_as_it_was() -> None:
    import yaml

    assert yaml.safe_load("a: yes")["a"] is True
