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
    "depends on this machine": "the tests of runtime doctor",
}
LANGUAGES = {"console", "python", "yaml", "json", "toml", "text"}
TIMEOUT_S = 60


def run(command: list[str], folder, demo) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=demo.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    output = done.stdout.replace(demo.address, "127.0.0.1:8081")
    if done.returncode and not output:
        return f"(exit code {done.returncode}, nothing printed)"
    return output


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

    def console(block):
        assert block.body.startswith("$ "), f"{block.where}: a console block begins with '$ '"
        for command, expected in commands(block.body):
            shown = command.replace("127.0.0.1:8081", demo.address)
            output = run(["bash", "-c", shown], tmp_path, demo)
            assert looks_like(output, expected), (
                f"{block.where}: $ {command}\nprints\n{output}\nand not\n{expected}"
            )

    def python(block):
        program = block.body.replace("127.0.0.1:8081", demo.address)
        output = run(["python", "-W", "error", "-c", program], tmp_path, demo)
        assert "Traceback" not in output, f"{block.where}:\n{output}"

    def chain(block):
        found = chain_in(block)
        if found is None:
            return
        checked = post("/taskchains/validate", found)
        is_good = "broken on purpose" not in block.body
        assert checked["valid"] == is_good, f"{block.where}: {checked['problems']}"

    def settings(block):
        (tmp_path / "runtime.toml").write_text(block.body)
        try:
            read = Settings.load({}, tmp_path)
        finally:
            (tmp_path / "runtime.toml").unlink()
        for name, given in read.plugins.items():
            (point,) = entry_points(group="runtime_core.plugins", name=name)
            point.load().settings_model().model_validate(given)

    does = {"console": console, "python": python, "yaml": chain, "json": chain, "toml": settings}
    for block in blocks(page):
        if block.comment == "file":
            (tmp_path / block.argument).write_text(block.body)
        if block.comment not in ("not run", "from") and block.language in does:
            does[block.language](block)


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


def test_claims_are_found(blocks):
    """A claim whose form is not understood would not be tested."""
    for name in ("docs/chains.md",):
        found = sum(len(block.claims) for block in blocks(name))
        assert found > 30
        text = "\n".join(block.body for block in blocks(name))
        assert " gives `" not in text


def test_every_line_that_makes_a_claim_is_one(page, blocks, root):
    text = (root / page).read_text()
    written = len(re.findall(r"^(?:\* )?`.*` (?:gives|fails with) `", text, re.MULTILINE))
    assert written == sum(len(block.claims) for block in blocks(page))


def test_the_demo_prints_what_the_readme_shows(blocks, demo, looks_like):
    (block,) = (one for one in blocks("README.md") if "$ runtime demo" in one.body)
    ((_, expected),) = commands(block.body)
    output = demo.output.replace(demo.address, "127.0.0.1:8081")
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
