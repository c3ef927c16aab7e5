"""A tool's arguments as an HTTP request, read back by parsers that are not ours."""

from __future__ import annotations

import io
import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_hooks_remote.injection import Injection
from runtime_hooks_remote.request import OutgoingRequest, PreparedRequest, is_at
from runtime_hooks_remote.shapes import Body, Operation, Parameter, Property
from werkzeug.formparser import parse_form_data
from werkzeug.http import parse_cookie

from runtime_core.errors import TaskFailed
from runtime_core.types import Tool
from runtime_core.upstream.locations import locate

ENDPOINT = "https://api.example.com/v1"
NOTHING = Injection()

ARRAY = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}


def parameter(name: str, location: Any, style: Any = None, **more: Any) -> Parameter:
    usual = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
    style = style or usual[location]
    more.setdefault("explode", style == "form")
    return Parameter(name=name, location=location, style=style, **more)


def operation(
    *parameters: Parameter,
    path: str = "/things",
    method: str = "GET",
    body: Body | None = None,
    required: tuple[str, ...] = (),
    schemas: dict[str, Any] | None = None,
    server: str = "",
) -> Operation:
    names = [each.name for each in parameters]
    names += [each.name for each in body.properties] if body else []
    names += [body.argument] if body and body.argument else []
    schema = {"properties": {name: {} for name in names} | (schemas or {}), "type": "object"}
    if required:
        schema["required"] = sorted(required)
    tool = Tool("do", "", schema)
    return Operation(
        method=method, path=path, tool=tool, server=server, parameters=parameters, body=body
    )


def build(
    op: Operation, arguments: dict[str, Any], injection: Injection = NOTHING, **more: Any
) -> OutgoingRequest:
    return PreparedRequest(op, ENDPOINT, injection).build(arguments, injection, **more)


def json_of(request: OutgoingRequest) -> Any:
    return json.loads(request.body or b"null")


def form_of(request: OutgoingRequest) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Return the fields and the files of a form, as werkzeug reads it."""
    body = request.body or b""
    environ = {
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": request.headers["content-type"],
        "REQUEST_METHOD": "POST",
    }
    _, fields, files = parse_form_data(environ, stream_factory=lambda *_, **__: io.BytesIO())
    return fields.to_dict(flat=False), files.to_dict(flat=False)


# -------------------------------------------------------------------------
# Styles: the table of the specification
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("matrix", False, "blue", ";color=blue"),
        ("matrix", False, ARRAY, ";color=blue,black,brown"),
        ("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
        ("matrix", True, "blue", ";color=blue"),
        ("matrix", True, ARRAY, ";color=blue;color=black;color=brown"),
        ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
        ("label", False, "blue", ".blue"),
        ("label", False, ARRAY, ".blue,black,brown"),
        ("label", False, OBJECT, ".R,100,G,200,B,150"),
        ("label", True, ARRAY, ".blue.black.brown"),
        ("label", True, OBJECT, ".R=100.G=200.B=150"),
        ("simple", False, "blue", "blue"),
        ("simple", False, ARRAY, "blue,black,brown"),
        ("simple", False, OBJECT, "R,100,G,200,B,150"),
        ("simple", True, ARRAY, "blue,black,brown"),
        ("simple", True, OBJECT, "R=100,G=200,B=150"),
    ],
)
def test_styles_of_paths(style: str, explode: bool, value: Any, expected: str) -> None:
    op = operation(parameter("color", "path", style, explode=explode), path="/x/{color}/y")
    assert build(op, {"color": value}).url == f"{ENDPOINT}/x/{expected}/y"


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("form", False, "blue", "color=blue"),
        ("form", False, ARRAY, "color=blue,black,brown"),
        ("form", False, OBJECT, "color=R,100,G,200,B,150"),
        ("form", True, "blue", "color=blue"),
        ("form", True, ARRAY, "color=blue&color=black&color=brown"),
        ("form", True, OBJECT, "R=100&G=200&B=150"),
        ("spaceDelimited", False, ARRAY, "color=blue%20black%20brown"),
        ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown"),
        ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
        ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
        ("deepObject", True, {"a": {"b": [1]}}, "color%5Ba%5D%5Bb%5D%5B0%5D=1"),
    ],
)
def test_styles_of_queries(style: str, explode: bool, value: Any, expected: str) -> None:
    op = operation(parameter("color", "query", style, explode=explode))
    assert build(op, {"color": value}).url == f"{ENDPOINT}/things?{expected}"


@pytest.mark.parametrize(
    ("explode", "value", "expected"),
    [
        (False, "blue", "blue"),
        (False, ARRAY, "blue,black,brown"),
        (False, OBJECT, "R,100,G,200,B,150"),
        (True, OBJECT, "R=100,G=200,B=150"),
        (False, True, "true"),
        (False, 1.50, "1.5"),
    ],
)
def test_styles_of_headers(explode: bool, value: Any, expected: str) -> None:
    op = operation(parameter("X-Color", "header", explode=explode))
    assert build(op, {"X-Color": value}).headers["x-color"] == expected


@pytest.mark.parametrize(
    ("explode", "value", "expected"),
    [
        (False, "blue", "color=blue"),
        (False, ARRAY, "color=blue,black,brown"),
        (True, ARRAY, "color=blue; color=black; color=brown"),
        (True, OBJECT, "R=100; G=200; B=150"),
        (True, "a; admin=1", "color=a%3B%20admin=1"),
    ],
)
def test_styles_of_cookies(explode: bool, value: Any, expected: str) -> None:
    op = operation(parameter("color", "cookie", explode=explode))
    assert build(op, {"color": value}).headers["cookie"] == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (0, "0"), (1.0, "1.0"), (10**20, str(10**20))],
)
def test_what_is_no_text_is_written_as_json_writes_it(value: Any, text: str) -> None:
    op = operation(parameter("q", "query"), parameter("id", "path"), path="/{id}")
    assert build(op, {"q": value, "id": value}).url == f"{ENDPOINT}/{text}?q={text}"


def test_parameters_with_a_media_type_are_written_as_json() -> None:
    value = {"a": [1, "x&y"], "b": None}
    op = operation(
        parameter("q", "query", media_type="application/json"),
        parameter("H", "header", media_type="application/json"),
        parameter("p", "path", media_type="application/json"),
        path="/{p}",
    )
    request = build(op, {"q": value, "H": value, "p": value})
    parts = urlsplit(request.url)
    assert json.loads(dict(parse_qsl(parts.query))["q"]) == value
    assert json.loads(request.headers["h"]) == value
    assert json.loads(unquote(parts.path.removeprefix("/v1/"))) == value


def test_reserved_characters_stay_where_the_document_says_so_unless_they_end_the_value() -> None:
    op = operation(parameter("q", "query", allow_reserved=True))
    assert build(op, {"q": "a/b:c?d&e=f+g#h;i"}).url.endswith("?q=a/b:c?d%26e%3Df%2Bg%23h%3Bi")


# -------------------------------------------------------------------------
# What is left out, what is missing, what nobody knows
# -------------------------------------------------------------------------


def test_absent_and_null_arguments_are_left_out() -> None:
    op = operation(
        parameter("q", "query"),
        parameter("r", "query"),
        parameter("H", "header"),
        parameter("c", "cookie"),
        method="POST",
        body=Body(media_type="application/json", properties=(Property(name="note"),)),
    )
    request = build(op, {"q": None, "H": None, "c": None, "note": None})
    assert request == OutgoingRequest("POST", f"{ENDPOINT}/things", {"accept": "application/json"})


def test_null_is_a_value_where_the_schema_says_so() -> None:
    body = Body(media_type="application/json", properties=(Property(name="note"),))
    op = operation(method="PATCH", body=body, schemas={"note": {"type": ["string", "null"]}})
    assert json_of(build(op, {"note": None})) == {"note": None}


def test_a_missing_argument_is_named_beside_those_there_are() -> None:
    op = operation(parameter("id", "path"), parameter("q", "query"), path="/{id}", required=("id",))
    with pytest.raises(TaskFailed, match=r"'do' needs the argument 'id'; .*: id \(required\), q"):
        build(op, {"q": 1})
    with pytest.raises(TaskFailed, match="needs the argument 'id'"):
        build(op, {"id": None})


def test_unknown_arguments_go_into_a_body_that_takes_any() -> None:
    body = Body(media_type="application/json", properties=(Property(name="name"),), additional=True)
    op = operation(parameter("q", "query"), method="POST", body=body)
    assert json_of(build(op, {"name": "x", "q": 1, "more": [1]})) == {"name": "x", "more": [1]}


def test_unknown_arguments_are_dropped_elsewhere() -> None:
    body = Body(media_type="application/json", properties=(Property(name="name"),))
    op = operation(method="POST", body=body)
    assert json_of(build(op, {"name": "x", "more": 1})) == {"name": "x"}
    assert build(operation(), {"more": 1}).url == f"{ENDPOINT}/things"


def test_a_name_of_a_parameter_and_a_property_fills_both() -> None:
    body = Body(media_type="application/json", properties=(Property(name="id"),))
    op = operation(parameter("id", "path"), path="/{id}", method="PUT", body=body)
    request = build(op, {"id": 7})
    assert request.url.endswith("/7")
    assert json_of(request) == {"id": 7}


def test_the_input_of_a_task_goes_where_there_is_an_argument_for_it() -> None:
    op = operation(parameter("input", "query"))
    assert build(op, {}, task_input="hi").url.endswith("?input=hi")
    assert build(op, {"input": "own"}, task_input="hi").url.endswith("?input=own")
    op = operation(parameter("q", "query"))
    assert build(op, {}, task_input="hi").url == f"{ENDPOINT}/things"


def test_the_input_of_a_task_goes_into_a_body_that_declares_nothing() -> None:
    body = Body(media_type="application/json", argument="body", additional=True)
    op = operation(method="POST", body=body)
    assert json_of(build(op, {"a": "1"}, task_input="hi")) == {"a": "1", "input": "hi"}


# -------------------------------------------------------------------------
# Bodies
# -------------------------------------------------------------------------


def test_a_body_that_is_one_argument() -> None:
    op = operation(method="POST", body=Body(media_type="application/json", argument="body"))
    assert json_of(build(op, {"body": [1, 2]})) == [1, 2]
    assert build(op, {}).body is None


@pytest.mark.parametrize(("required", "expected"), [(True, b"{}"), (False, None)])
def test_an_empty_body_is_sent_where_it_is_required(required: bool, expected: Any) -> None:
    body = Body(media_type="application/json", properties=(Property(name="a"),), required=required)
    assert build(operation(method="POST", body=body), {}).body == expected


def test_json_bodies_keep_the_media_type_of_the_document() -> None:
    body = Body(media_type="application/merge-patch+json", properties=(Property(name="a"),))
    request = build(operation(method="PATCH", body=body), {"a": 1})
    assert request.headers["content-type"] == "application/merge-patch+json"


def test_forms_write_each_property_in_its_style() -> None:
    body = Body(
        media_type="application/x-www-form-urlencoded",
        properties=(
            Property(name="plain"),
            Property(name="deep", style="deepObject"),
            Property(name="list", explode=False),
            Property(name="json", media_type="application/json"),
        ),
        additional=True,
    )
    request = build(
        operation(method="POST", body=body),
        {
            "plain": "a&b=c d",
            "deep": {"x": {"y": 1}},
            "list": [1, 2],
            "json": {"k": [1]},
            "more": 1,
        },
    )
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs((request.body or b"").decode(), strict_parsing=True) == {
        "plain": ["a&b=c d"],
        "deep[x][y]": ["1"],
        "list": ["1,2"],
        "json": ['{"k":[1]}'],
        "more": ["1"],
    }


def test_multipart_forms_hold_files_texts_and_json() -> None:
    body = Body(
        media_type="multipart/form-data",
        properties=(
            Property(name="file", binary=True, media_type="image/png"),
            Property(name="files", binary=True),
            Property(name="note"),
            Property(name="meta", media_type="application/json"),
            Property(name="tags"),
        ),
    )
    content = b"\x89PNG\r\n--boundary\r\n"
    fields, files = form_of(
        build(
            operation(method="POST", body=body),
            {
                "file": b64encode(content).decode(),
                "files": [b64encode(b"a").decode(), b64encode(b"b").decode()],
                "note": 'línea\r\nContent-Type: x"',
                "meta": {"a": 1},
                "tags": ["x", "y"],
            },
        )
    )
    assert fields["note"] == ['línea\r\nContent-Type: x"']
    assert fields["meta"] == ['{"a":1}']
    assert fields["tags"] == ["x", "y"]
    [file] = files["file"]
    assert (file.read(), file.content_type, file.filename) == (content, "image/png", "file")
    assert [each.read() for each in files["files"]] == [b"a", b"b"]


def test_names_of_parts_cannot_write_headers() -> None:
    body = Body(media_type="multipart/form-data", properties=(), additional=True, argument="body")
    name = 'x"\r\nX-Evil: 1\r\n\r\nhello'
    fields, files = form_of(build(operation(method="POST", body=body), {name: "v"}))
    assert list(fields.values()) == [["v"]]
    assert not files
    assert "X-Evil" not in str(list(fields)).replace("%0D%0AX-Evil", "")


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", bytes(range(256))])
def test_binary_bodies_come_as_base64_of_either_alphabet(content: bytes) -> None:
    op = operation(method="PUT", body=Body(media_type="image/*", argument="body"))
    for text in (b64encode(content).decode(), urlsafe_b64encode(content).decode().rstrip("=")):
        request = build(op, {"body": text})
        assert request.body == content
        assert request.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("value", ["no base64!", 7, "a"])
def test_a_binary_body_that_is_no_base64_is_refused(value: Any) -> None:
    op = operation(method="PUT", body=Body(media_type="image/png", argument="body"))
    with pytest.raises(TaskFailed, match="the body is binary: give it as base64 text"):
        build(op, {"body": value})


def test_text_bodies() -> None:
    op = operation(method="POST", body=Body(media_type="text/plain", argument="body"))
    request = build(op, {"body": "grüß"})
    assert (request.body or b"").decode() == "grüß"
    assert request.headers["content-type"] == "text/plain; charset=utf-8"


# -------------------------------------------------------------------------
# Injection
# -------------------------------------------------------------------------


def test_injected_headers_win_over_arguments_in_any_case() -> None:
    injection = Injection(headers={"X-API-Key": "right", "Accept": "text/csv"})
    op = operation(parameter("x-api-key", "header"), parameter("X-Api-Key", "query"))
    request = build(op, {"x-api-key": "wrong", "X-API-Key": "wrong"}, injection)
    assert request.headers["x-api-key"] == "right"
    assert request.headers["accept"] == "text/csv"
    assert "wrong" not in str(request)


@pytest.mark.parametrize("place", ["path", "query", "header", "cookie", "body"])
def test_an_injected_property_wins_wherever_it_goes(place: Any) -> None:
    injection = Injection(name="key", value="right", place=place)
    op = operation(
        *([parameter("key", place)] if place != "body" else []),
        path="/{key}" if place == "path" else "/x",
        method="POST",
        body=Body(media_type="application/json", properties=(Property(name="a"),), additional=True),
    )
    request = build(op, {"key": "wrong", "a": {"key": "mine"}}, injection)
    assert "right" in str(request)
    assert "wrong" not in str(request)
    assert json_of(request)["a"] == {"key": "mine"}


def test_an_injected_property_goes_where_it_is_wanted_though_nothing_declares_it() -> None:
    def sent(place: Any) -> OutgoingRequest:
        body = Body(media_type="application/json", properties=(Property(name="a"),))
        injection = Injection(name="key", value=7, place=place)
        return build(operation(method="POST", body=body), {}, injection)

    assert sent("query").url.endswith("?key=7")
    assert sent("header").headers["key"] == "7"
    assert sent("cookie").headers["cookie"] == "key=7"
    assert json_of(sent("body")) == {"key": 7}


def test_an_injected_property_wins_inside_a_body_that_is_one_argument() -> None:
    injection = Injection(name="key", value="right")
    op = operation(method="POST", body=Body(media_type="application/json", argument="body"))
    request = build(op, {"body": {"key": "wrong", "a": 1}}, injection)
    assert json_of(request) == {"key": "right", "a": 1}


@pytest.mark.parametrize("style", ["form", "deepObject"])
def test_objects_do_not_become_parameters_that_are_somebody_elses(style: str) -> None:
    injection = Injection(name="api_key", value="right", place="query")
    op = operation(parameter("filter", "query", style, explode=True), parameter("page", "query"))
    request = build(op, {"filter": {"api_key": "wrong", "page": "9", "ok": "1"}}, injection)
    query = parse_qs(urlsplit(request.url).query)
    assert query["api_key"] == ["right"]
    assert "page" not in query


def test_objects_in_forms_and_cookies_do_not_either() -> None:
    injection = Injection(name="key", value="right", headers={"Cookie": "session=right"})
    body = Body(
        media_type="application/x-www-form-urlencoded",
        properties=(Property(name="o"), Property(name="p")),
    )
    op = operation(parameter("c", "cookie"), method="POST", body=body)
    arguments = {"o": {"key": "wrong", "p": "wrong"}, "c": {"session": "wrong", "ok": "1"}}
    request = build(op, arguments, injection)
    assert parse_qs((request.body or b"").decode()) == {"key": ["right"]}
    assert request.headers["cookie"] == "session=right; ok=1"


def test_an_injected_content_type_wins_unless_it_would_lose_the_boundary() -> None:
    injection = Injection(headers={"Content-Type": "application/vnd.acme+json"})
    properties = (Property(name="a"),)
    for media_type, expected in [
        ("application/json", "application/vnd.acme+json"),
        ("multipart/form-data", "multipart/form-data; boundary="),
    ]:
        op = operation(method="POST", body=Body(media_type=media_type, properties=properties))
        assert build(op, {"a": 1}, injection).headers["content-type"].startswith(expected)


def test_injected_values_are_checked_when_they_are_sent() -> None:
    for injection in (
        Injection(headers={"X-Key": "a\r\nX-Evil: 1"}),
        Injection(name="key", value="a\nb", place="header"),
        Injection(name="key", value="a\nb", place="cookie"),
    ):
        with pytest.raises(TaskFailed, match="line break") as caught:
            build(operation(), {}, injection)
        assert "Evil" not in caught.value.message


# -------------------------------------------------------------------------
# Arguments that try to be more than that
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(
            "..",
            ".",
            "../admin",
            "a/../b",
            "..\\admin",
            "a/..",
            "%2e%2e",
            "%2E%2e/x",
            "..;",
            "..;/x",
        ),
        *("%252e%252e", "..%2fadmin", "%2e%2e%5cadmin", "..?", "..#", "x/./y"),
    ],
)
def test_path_values_cannot_climb(value: str) -> None:
    op = operation(parameter("id", "path"), path="/users/{id}/posts")
    with pytest.raises(TaskFailed, match="leads to another path"):
        build(op, {"id": value})


def test_path_values_cannot_climb_together() -> None:
    op = operation(parameter("a", "path"), parameter("b", "path"), path="/x/{a}{b}/y")
    with pytest.raises(TaskFailed, match="leads to another path"):
        build(op, {"a": ".", "b": "."})
    labels = operation(parameter("a", "path", "label"), path="/x/{a}/y")
    with pytest.raises(TaskFailed, match="leads to another path"):
        build(labels, {"a": "."})
    literals = operation(parameter("a", "path"), path="/x/.{a}")
    with pytest.raises(TaskFailed, match="leads to another path"):
        build(literals, {"a": "."})


@pytest.mark.parametrize("value", ["", [], {}, [""], [None], {"a": None}])
def test_path_values_cannot_be_empty(value: Any) -> None:
    op = operation(parameter("id", "path"), path="/users/{id}")
    with pytest.raises(TaskFailed, match="'id' is a part of the path and must not be empty"):
        build(op, {"id": value})


@pytest.mark.parametrize("location", ["header", "cookie"])
@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", ["ok", "a\nb"], "\x7f"])
def test_line_breaks_in_headers_and_cookies_are_refused(location: Any, evil: Any) -> None:
    op = operation(parameter("X-Name", location))
    with pytest.raises(TaskFailed, match="'X-Name' holds a line break"):
        build(op, {"X-Name": evil})


@pytest.mark.parametrize("location", ["path", "query", "header", "cookie", "body"])
def test_half_a_surrogate_pair_is_refused_in_words(location: Any) -> None:
    body = Body(media_type="application/json", properties=(Property(name="x"),))
    op = operation(
        *([parameter("x", location)] if location != "body" else []),
        path="/{x}" if location == "path" else "/y",
        method="POST",
        body=body if location == "body" else None,
    )
    if location == "header":
        assert build(op, {"x": "\ud800"}).headers["x"] == "\ud800"  # refused when it is sent
        return
    with pytest.raises(TaskFailed, match="half of a surrogate pair"):
        build(op, {"x": "a\ud800b"})


@given(value=st.text(min_size=1), query=st.text(), other=st.text())
def test_texts_come_back_as_they_were_and_lead_nowhere_else(
    value: str, query: str, other: str
) -> None:
    op = operation(
        parameter("id", "path"), parameter("q", "query"), parameter("r", "query"), path="/u/{id}/p"
    )
    try:
        request = build(op, {"id": value, "q": query, "r": other})
    except TaskFailed as error:
        assert "." in value and "leads to another path" in error.message  # noqa: PT017, PT018
        return
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc) == ("https", "api.example.com")
    assert parts.path.startswith("/v1/u/")
    assert parts.path.count("/") == 4
    assert unquote(parts.path.removeprefix("/v1/u/").removesuffix("/p")) == value
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", query), ("r", other)]
    assert not parts.fragment
    # and the client that sends it leaves it alone
    assert str(locate(request.url).url) == request.url


scalars = (
    st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
)


@given(values=st.lists(scalars, min_size=1), fields=st.dictionaries(st.text(min_size=1), scalars))
def test_lists_and_objects_come_back_as_they_were(
    values: list[Any], fields: dict[str, Any]
) -> None:
    op = operation(parameter("list", "query"), parameter("deep", "query", "deepObject"))
    request = build(op, {"list": values, "deep": fields})
    pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    def equal(got: str, value: Any) -> bool:
        return float(got) == value if isinstance(value, float) else got == text(value)

    listed = [got for name, got in pairs if name == "list"]
    assert len(listed) == len(values)
    assert all(map(equal, listed, values))
    deep = dict(pair for pair in pairs if pair[0] != "list")
    assert {f"deep[{key}]" for key in fields} == deep.keys()
    assert all(equal(deep[f"deep[{key}]"], value) for key, value in fields.items())


@given(value=st.text())
def test_cookies_come_back_as_they_were_or_are_refused(value: str) -> None:
    op = operation(parameter("c", "cookie"), parameter("d", "cookie"))
    try:
        header = build(op, {"c": value, "d": "last"}).headers["cookie"]
    except TaskFailed as error:
        assert "line break" in error.message  # noqa: PT017 - most texts are not refused
        return
    cookies = {name: unquote(text) for name, text in parse_cookie(header).items()}
    assert cookies == {"c": value.strip(), "d": "last"}


@given(fields=st.dictionaries(st.text(min_size=1), st.text()))
def test_forms_come_back_as_they_were(fields: dict[str, str]) -> None:
    for media_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        body = Body(media_type=media_type, argument="", additional=True)
        request = build(operation(method="POST", body=body), fields)
        if not fields:
            continue
        if media_type.startswith("multipart"):
            got, files = form_of(request)
            assert not files
            assert list(got.values()) == [[value] for value in fields.values()]
        else:
            pairs = parse_qsl((request.body or b"").decode(), keep_blank_values=True)
            assert dict(pairs) == fields


# -------------------------------------------------------------------------
# Where operations are called
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("", True),
        ("https://api.example.com/v2", True),
        ("https://api.example.com:443/v2", True),
        ("https://API.example.com/v2", True),
        ("http://api.example.com/v1", False),
        ("https://evil.example.com/v1", False),
        ("https://api.example.com:8443/v1", False),
    ],
)
def test_operations_stay_with_the_service_that_was_registered(server: str, expected: bool) -> None:
    assert is_at(operation(server=server), ENDPOINT) is expected


def test_an_operation_may_have_a_path_of_its_own_on_the_same_service() -> None:
    op = operation(server="https://api.example.com/uploads", path="/files")
    assert build(op, {}).url == "https://api.example.com/uploads/files"


def test_what_is_no_character_of_a_url_is_encoded_in_the_documents_own_path() -> None:
    op = operation(path="/gr ü/{id}%20#?x", *[parameter("id", "path")])  # noqa: B026
    assert build(op, {"id": "1"}).url == f"{ENDPOINT}/gr%20%C3%BC/1%20%23%3Fx"
