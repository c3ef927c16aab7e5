from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import RequestFactory

from runtime_core.errors import Unprocessable
from runtime_core.http import PageQuery, listing
from runtime_core.http.pagination import page_query


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, 100), ("", 100), ("1", 1), ("1000", 1000), ("+5", 5), ("007", 7), (" 5 ", 5)],
)
def test_a_limit(limit: str | None, expected: int) -> None:
    assert page_query(limit, None) == PageQuery(expected, None)


@pytest.mark.parametrize("limit", ["0", "-5", "1001", "x", "5.0", "1e2", "++5", "٣", "9" * 5000])
def test_not_a_limit(limit: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        page_query(limit, None)
    assert caught.value.param == "limit"
    assert len(caught.value.message) < 200


def test_a_cursor() -> None:
    assert page_query(None, "abc").cursor == "abc"
    assert page_query(None, "").cursor is None


def request(path: str, **query: Any) -> Any:
    return RequestFactory().get(path, query_params=query)


def test_the_next_page_is_this_one_with_another_cursor() -> None:
    response = listing(request("/things", limit="2", cursor="old", q="é&"), [1, 2], "new/+")
    assert response.headers == {
        "X-Next-Cursor": "new/+",
        "Link": '</things?limit=2&q=%C3%A9%26&cursor=new%2F%2B>; rel="next"',
    }
    assert response.content == b"[1,2]"


def test_the_last_page_leads_nowhere() -> None:
    response = listing(request("/things"), [], None)
    assert response.headers == {}
    assert response.content == b"[]"


def test_an_escape_in_the_path_stays_one() -> None:
    asked = request("/groups/x/models")
    asked.scope["raw_path"] = b"/groups/a%2Fb/models?limit=1"
    asked.scope["path"] = "/groups/a%2Fb/models"
    assert "</groups/a%2Fb/models?cursor=c>" in listing(asked, [], "c").headers["Link"]
