"""Everything that README and docs show is done, and does what they say."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import entry_points

import pytest
import yaml

from runtime_core.settings import Settings

#: Why a block may be left alone, and what covers it instead.
REASONS = {
    "installs packages": ".ci/run",
    "serves until stopped": "the demo that all examples use",
    "runs the whole test suite": ".ci/run",
    "needs Docker": "the packaging tests",
    "needs PostgreSQL and NATS": "tests/integration/replicas",
    "depends on this machine": "the tests of runtime doctor",
}
LANGUAGES = {"console", "python", "yaml", "json", "toml", "text"}
TIMEOUT_S = 60


def commands(body: str):
    """Yield each command of a console block with the output that is shown for it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        first, *lines = part.split("\n")
        further = 0
        while further < len(lines) and lines[further].startswith("> "):
            further += 1
        command = "\n".join([first, *(line[2:] for line in lines[:further])])
        yield command, "\n".join(lines[further:])


def chain_in(block):
    """Return the chain of a block, a list of tasks made whole; None when it has none."""
    document = yaml.safe_load(block.body)
    if isinstance(document, list):
        document = {"id": "example", "tasks": document}
    return document if isinstance(document, dict) and "tasks" in document else None


class Reader:
    """Does what a page shows, in one folder."""

    def __init__(self, demo, looks_like, post, folder) -> None:
        self.demo = demo
        self.looks_like = looks_like
        self.post = post
        self.folder = folder

    def follow(self, block) -> None:
        if block.comment == "file":
            (self.folder / block.argument).write_text(self.demo.real(block.body))
        does = {
            "console": self.console,
            "python": self.python,
            "yaml": self.chain,
            "json": self.chain,
            "toml": self.settings,
        }
        if block.comment not in ("not run", "from") and block.language in does:
            does[block.language](block)

    def console(self, block) -> None:
        assert block.body.startswith("$ "), f"{block.where}: a console block begins with '$ '"
        for command, expected in commands(block.body):
            code, output = self.run(["bash", "-c", self.demo.real(command)])
            if code and not output:
                output = f"(exit code {code}, nothing printed)"
            assert self.looks_like(output, expected), (
                f"{block.where}: $ {command}\nprints\n{output}\nand not\n{expected}"
            )

    def python(self, block) -> None:
        code, output = self.run(["python", "-W", "error", "-c", self.demo.real(block.body)])
        assert code == 0, f"{block.where}:\n{output}"

    def chain(self, block) -> None:
        chain = chain_in(block)
        if chain is None:
            return
        checked = self.post("/taskchains/validate", chain)
        is_good = "broken on purpose" not in block.body
        assert checked["valid"] == is_good, f"{block.where}: {checked['problems']}"

    def settings(self, block) -> None:
        (self.folder / "runtime.toml").write_text(block.body)
        try:
            read = Settings.load({}, self.folder)
        finally:
            (self.folder / "runtime.toml").unlink()
        for name, given in read.plugins.items():
            (point,) = entry_points(group="runtime_core.plugins", name=name)
            point.load().settings_model().model_validate(given)

    def run(self, command: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.demo.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.returncode, self.demo.shown(done.stdout)


@pytest.fixture
def post(demo):
    """Sends JSON and returns the answer, whatever its status."""

    def send(path, body):
        request = urllib.request.Request(
            demo.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    return send


def test_the_page_does_what_it_shows(page, blocks, demo, looks_like, post, tmp_path):
    """Block by block, in the page's order and in one folder, as a reader would."""
    reader = Reader(demo, looks_like, post, tmp_path)
    for block in blocks(page):
        reader.follow(block)


def test_a_chain_gives_what_the_page_says(claim, post):
    block, (given, verb, expected) = claim
    try:
        value = json.loads(given)
    except ValueError:
        value = given
    if not isinstance(value, dict | list):
        value = given
    answer = post("/tasks", {"chain": chain_in(block), "input": value})
    if verb == "fails with":
        assert answer["error"]["code"] == expected, answer
        return
    assert "output" in answer, answer
    output = answer["output"]
    if not isinstance(output, str):
        expected = json.loads(expected)
    assert output == expected


def test_every_line_that_makes_a_claim_is_tested(page, blocks, root):
    text = (root / page).read_text()
    written = len(re.findall(r"^(?:\* )?`.*` (?:gives|fails with) `", text, re.MULTILINE))
    assert written == sum(len(block.claims) for block in blocks(page))


def test_the_demo_prints_what_the_readme_shows(blocks, demo, looks_like):
    (block,) = (one for one in blocks("README.md") if "$ runtime demo" in one.body)
    ((_, expected),) = commands(block.body)
    output = demo.shown(demo.output)
    assert looks_like(output, expected), f"the demo prints\n{output}\nand not\n{expected}"


def test_blocks_are_of_a_kind_that_is_tested(page, blocks):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.where}: write one of {sorted(LANGUAGES)}"
        if block.comment == "not run":
            assert block.argument in REASONS, f"{block.where}: {block.argument!r}"


def test_every_fence_is_found(page, blocks, root):
    fences = re.findall(r"^\s*(?:```|~~~)", (root / page).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


def test_shown_files_are_the_real_ones(page, blocks, root):
    for block in blocks(page):
        if block.comment == "from":
            real = (root / block.argument).read_text()
            assert block.body in real, f"{block.where} is not in {block.argument} as it is shown"


def test_project_files_are_compared(page, blocks):
    for block in blocks(page):
        if block.language == "toml" and "project" in tomllib.loads(block.body):
            assert block.comment == "from", f"{block.where}: show a real file"
