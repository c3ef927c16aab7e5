from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get, post
from litestar.params import FromPath  # noqa: TC002 - Litestar evaluates annotations

from runtime_core.errors import InvalidRequest, NotFound
from runtime_core.http.errors import WrongMethod
from runtime_core.http.paths import install_paths, routing_path


@get("/things/{name:str}")
async def thing(name: FromPath[str]) -> str:
    return name


@get("/things/{name:str}/parts/{part:str}")
async def part(name: FromPath[str], part: FromPath[str]) -> str:
    return name + part


@post("/things/check")
async def check() -> None: ...


@get("/files/{rest:path}")
async def files(rest: FromPath[str]) -> str:
    return rest


@pytest.fixture(scope="module")
def app() -> Litestar:
    app = Litestar([thing, part, check, files], openapi_config=None, logging_config=None)
    install_paths(app)
    return app


def find(app: Litestar, raw: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    _, _, _, values, template = app.asgi_router.handle_routing(
        path=routing_path(raw.encode()), method=method
    )
    return template, values


@pytest.mark.parametrize(
    "name",
    ["a b", "org/m3", "a,b", "100%", "%2F", "%", "%zz", "é/ü", "日本", "a?b#c", "..", ".", "a;b",
     "a+b", "*", '"', "{x}", "check", "parts", "/", " "],
)  # fmt: skip
def test_a_name_comes_back_as_it_was_created(app: Litestar, name: str) -> None:
    escaped = quote(name, safe="")
    assert find(app, f"/things/{escaped}") == ("/things/{name}", {"name": name})
    assert find(app, f"/things/{escaped}/parts/{escaped}") == (
        "/things/{name}/parts/{part}",
        {"name": name, "part": name},
    )


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_name_comes_back(name: str) -> None:
    app = Litestar([thing, check], openapi_config=None, logging_config=None)
    install_paths(app)
    assert find(app, f"/things/{quote(name, safe='')}")[1] == {"name": name}


def test_a_value_is_decoded_once(app: Litestar) -> None:
    assert find(app, "/things/%2541")[1] == {"name": "%41"}
    assert find(app, "/things/%25%32%46")[1] == {"name": "%2F"}
    assert find(app, "/things/%%32F")[1] == {"name": "%2F"}


def test_escaped_words_of_a_route_are_still_words(app: Litestar) -> None:
    assert find(app, "/%74hings/a")[0] == "/things/{name}"
    assert find(app, "/things/%63heck", "POST")[0] == "/things/check"


def test_the_word_wins_where_it_answers(app: Litestar) -> None:
    assert find(app, "/things/check", "POST")[0] == "/things/check"
    assert find(app, "/things/check", "GET") == ("/things/{name}", {"name": "check"})


def test_found_values_are_not_shared(app: Litestar) -> None:
    first = find(app, "/things/a%2Fb")[1]
    assert find(app, "/things/a%2Fb")[1] == first == {"name": "a/b"}


@pytest.mark.parametrize("raw", ["/things/", "//things", "/things//a", "/things/a/", "/a//"])
def test_slashes_matter(raw: str) -> None:
    with pytest.raises(NotFound, match="serverops: not found"):
        routing_path(raw.encode())


@pytest.mark.parametrize("raw", [b"/%ff", b"/\xff", b"/a%00", b"/" + b"a" * 9000])
def test_paths_no_name_can_have(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        routing_path(raw)


def test_a_query_is_not_part_of_the_path() -> None:
    assert routing_path(b"/a?b=//") == "/a"


@pytest.mark.parametrize("raw", ["/nothing", "/Things/a", "/things/a/parts", "/"])
def test_unknown_paths(app: Litestar, raw: str) -> None:
    with pytest.raises(NotFound):
        find(app, raw)


@pytest.mark.parametrize(
    ("raw", "method", "allow"),
    [
        ("/things/a", "POST", "GET, HEAD"),
        ("/things/check", "DELETE", "GET, HEAD, POST"),
        ("/things/a", "OPTIONS", "GET, HEAD"),
        ("/files/a/b", "PUT", "GET, HEAD"),
    ],
)
def test_wrong_methods_name_the_right_ones(
    app: Litestar, raw: str, method: str, allow: str
) -> None:
    with pytest.raises(WrongMethod) as caught:
        find(app, raw, method)
    assert caught.value.allow == allow
