from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "chains").iterdir())

GOOD = {
    "id": "team a/översikt, 100%",
    "description": "A name with everything in it.",
    "tasks": [
        {
            "id": "a",
            "handler": "noop",
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}


def test_every_example_is_fine(start):
    assert len(EXAMPLES) >= 5
    check = start("chain", "check", *map(str, EXAMPLES))
    assert check.end() == 0
    assert check.output.splitlines() == [f"{path}: ok" for path in EXAMPLES]


def test_every_problem_is_named_and_good_files_are_too(start, tmp_path):
    files = {
        "good.json": json.dumps(GOOD),
        "names.yaml": (
            "id: x\n"
            "tasks:\n"
            "  - id: a\n"
            "    handler: raw_strin\n"
            "    transition: {branches: [{operator: default, goto: nowhere}]}\n"
            "  - id: b\n"
            "    handler: noop\n"
            "    prompt_template: '{{.input'\n"
            "    transition: {branches: [{goto: end}]}\n"
        ),
        "types.json": '{"id": "x", "tasks": [{"id": 7}]}',
        "cut.json": '{"id": "x", "tasks": [',
        "tabs.yaml": "id: x\n\ttasks: []\n",
        "list.yaml": "- id: x\n",
        "empty.yaml": "# nothing yet\n",
        "no-tasks": '{"id": "x"}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.json").write_bytes(b'{"id": "\xff"}')
    check = start("chain", "check", *files, "binary.json", "missing.json")
    assert check.end() == 1
    assert check.errors == ""
    problems: dict[str, list[str]] = {}
    for line in check.output.splitlines():
        name, _, problem = line.partition(": ")
        problems.setdefault(name, []).append(problem)
    assert problems.pop("good.json") == ["ok"]
    assert problems["names.yaml"][0] == (
        "task 'a': unknown handler 'raw_strin': did you mean 'raw_string'?"
    )
    assert len(problems.pop("names.yaml")) == 4
    assert problems.pop("types.json") == ["tasks.0.id: expected a string, got a whole number"]
    assert problems.pop("missing.json") == ["cannot be read: No such file or directory"]
    assert problems.pop("no-tasks") == ["the chain has no tasks: add at least one"]
    assert problems.pop("list.yaml") == ["the file: expected an object, got a list"]
    assert problems.pop("empty.yaml") == ["the file is empty; it needs a YAML document"]
    assert problems["cut.json"][0].startswith("the file is not JSON: ")
    assert problems["tabs.yaml"][0].startswith("the file is not YAML: ")
    assert list(problems) == ["cut.json", "tabs.yaml", "binary.json"]


def test_it_needs_no_database_and_no_valid_address_of_one(start, tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    check = start("chain", "check", "good.json", DATABASE_URL="nosuch://database")
    assert check.end() == 0
    assert check.output == "good.json: ok\n"


def test_storing_listing_showing_deleting(start, server, tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    at = ("--url", server)
    put = start("chain", "put", "good.json", *at)
    assert (put.end(), put.output) == (0, f"stored {GOOD['id']}\n")
    listing = start("chain", "list", *at)
    assert listing.end() == 0
    assert f"{GOOD['id']}  {GOOD['description']}\n" in listing.output
    show = start("chain", "show", GOOD["id"], *at)
    assert show.end() == 0
    shown = json.loads(show.output)
    assert (shown["id"], shown["tasks"][0]["handler"]) == (GOOD["id"], "noop")
    # what is shown can be stored again
    (tmp_path / "shown.json").write_text(show.output)
    assert start("chain", "put", "shown.json", *at).end() == 0
    delete = start("chain", "delete", GOOD["id"], *at)
    assert (delete.end(), delete.output) == (0, f"task chain {GOOD['id']} deleted\n")
    again = start("chain", "delete", GOOD["id"], *at)
    assert again.end() == 1
    assert again.errors == f"error: task chain '{GOOD['id']}' not found\n"


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ('{"tasks": []}', 1, "error: id: this field is required\n"),
        ('{"id": ', 2, "error: wrong.json: the file is not JSON: Input data was truncated\n"),
    ],
)
def test_what_cannot_be_stored(start, server, tmp_path, text, code, error):
    (tmp_path / "wrong.json").write_text(text)
    put = start("chain", "put", "wrong.json", "--url", server)
    assert (put.end(), put.errors) == (code, error)
