from __future__ import annotations

import json
from urllib.parse import quote, quote_plus, urlencode

import pytest

from runtime_core.types import redacted

VALUE = 'p"ä s/s+\\word'


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        json.dumps({"token": VALUE}),
        json.dumps({"token": VALUE}, ensure_ascii=False),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        urlencode({"token": VALUE}),
    ],
)
def test_a_value_is_masked_in_every_form(text):
    masked = redacted(f"you sent {text}, twice: {text}", [VALUE])
    assert masked.count("***") == 2
    assert "word" not in masked
    assert masked.startswith("you sent ")


def test_a_value_that_holds_another_is_masked_as_a_whole():
    assert redacted("abcdef and abc", ["abc", "abcdef"]) == "*** and ***"


def test_what_is_no_secret_stays():
    assert redacted("all is well", []) == "all is well"
    assert redacted("all is well", ["", "secret"]) == "all is well"
