"""The pages, their blocks, and one real server to run them against.

How a block is written decides what is done with it:

* ``console``: each ``$ command`` (its further lines start with ``> ``) is run by bash in a folder
  of the page's own, and prints what follows it; ``...`` stands for anything in a line, and alone
  on a line for any lines
* ``python``: is run as a program in the same folder
* ``yaml``, ``json``: a chain is checked, and run where lines like "`input` gives `output`" follow
* ``toml``: is read as ``runtime.toml``
* ``text``: is for people

A comment before a block changes that: ``file: NAME`` saves it in the page's folder, ``from: PATH``
has it compared with a file of the repository, ``not run: REASON`` lets it be.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for pattern in ("docs/*.md", "examples/*_pack/README.md")
        for path in ROOT.glob(pattern)
    ),
)
ADDRESS = "127.0.0.1:8081"
#: Where pages say that the service of the examples is.
SHOP = "127.0.0.1:8090"
START_S = 60

_FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (file|from|not run): ([^\n]*?) -->\n\Z")
_EXPECTATION = re.compile(
    r"(?:\* )?(?P<tick>`+)(?P<input>.+?)(?P=tick) (?P<verb>gives|fails with) `(?P<result>.+)`\n"
)


class Block(NamedTuple):
    """A fenced block of a page, the comment before it, and the results claimed after it."""

    page: str
    line: int
    language: str
    body: str
    comment: str
    argument: str
    claims: tuple[tuple[str, str, str], ...]

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        comment = _COMMENT.search(text, 0, fence.start())
        kind, argument = (comment[1], comment[2]) if comment else ("", "")
        line = text.count("\n", 0, fence.start()) + 1
        claims = _claims(text, fence.end())
        found.append(
            Block(page, line, fence["language"], fence["body"], kind, argument, tuple(claims))
        )
    return found


def _claims(text: str, position: int) -> Iterator[tuple[str, str, str]]:
    while text.startswith("\n", position):
        position += 1
    while claim := _EXPECTATION.match(text, position):
        yield claim["input"], claim["verb"], claim["result"]
        position = claim.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each page, or for each claim about a chain."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES)
    if "claim" in metafunc.fixturenames:
        claims = [
            pytest.param((block, claim), id=f"{block.where}-{claim[0][:20]}")
            for page in PAGES
            for block in _blocks(page)
            for claim in block.claims
        ]
        metafunc.parametrize("claim", claims)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository."""
    return ROOT


@pytest.fixture(scope="session")
def blocks() -> Callable[[str], list[Block]]:
    """Return what finds the blocks of a page."""
    return _blocks


@pytest.fixture(scope="session")
def section() -> Callable[[str, str], str]:
    """Return what finds a section of a page by its heading, subsections included."""

    def find(page: str, heading: str) -> str:
        text = (ROOT / page).read_text(encoding="utf-8")
        found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
        assert found, f"{page} has no heading {heading!r}"
        rest = _FENCE.sub("", text[found.end() :])
        end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest

    return find


@pytest.fixture(scope="session")
def table(section: Callable[[str, str], str]) -> Callable[..., list[list[str]]]:
    """Return what reads the rows of the tables that stand right under a heading."""

    def read(page: str, heading: str) -> list[list[str]]:
        own = re.split(r"^#+ ", section(page, heading), maxsplit=1, flags=re.MULTILINE)[0]
        lines = [line for line in own.splitlines() if line.startswith("|")]
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        rules = [number for number, line in enumerate(lines) if re.fullmatch(r"[|-]+", line)]
        heads = {number - 1 for number in rules} | set(rules)
        return [
            [cell.strip() for cell in row] for number, row in enumerate(rows) if number not in heads
        ]

    return read


class Demo(NamedTuple):
    """The server of all examples: ``runtime demo``, which is what the README starts.

    ``shop`` is the address of the service that it is shown with.
    """

    url: str
    output: str
    environ: dict[str, str]
    shop: str

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def real(self, text: str) -> str:
        """Return what a page shows with the addresses of this run."""
        return text.replace(ADDRESS, self.address).replace(SHOP, self.shop)

    def shown(self, text: str) -> str:
        """Return an output with the addresses of the pages."""
        return text.replace(self.address, ADDRESS).replace(self.shop, SHOP)


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    """Start the service of the examples, and end it."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples/service/shop.py", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip().removeprefix("the shop is open at http://")
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, shop: str) -> Iterator[Demo]:
    """Start it, on the stand-in model whatever else this machine has, and end it."""
    folder = tmp_path_factory.mktemp("demo")
    environ = {
        # so that "runtime", "python" and the tools of the environment are the ones under test
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "CHAT_MODEL": "echo",
        "TASK_MODEL": "echo",
        "EMBED_MODEL": "echo-embed",
        # no test asks the network for a vocabulary
        "RUNTIME_TOKENIZER": "estimate",
    }
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            ["runtime", "demo", "--port", "0"],
            cwd=folder,
            env=environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        output = _output_until(process, "API documentation")
        assert output.startswith("listening on http://"), (folder / "stderr").read_text()
        url = output.split("\n", 1)[0].removeprefix("listening on ")
        yield Demo(url, output, environ | {"PORT": url.rpartition(":")[2]}, shop)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _output_until(process: subprocess.Popen[str], last: str) -> str:
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
            if line.startswith(last):
                return
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    output = ""
    while line := lines.get(timeout=START_S):
        output += line
        if line.startswith(last):
            break
    return output


@pytest.fixture(scope="session")
def looks_like() -> Callable[[str, str], bool]:
    """Return what compares an output with a pattern in which ``...`` stands for anything."""

    def compare(output: str, expected: str) -> bool:
        lines = expected.rstrip("\n").split("\n")
        pattern = "".join(
            r"(?:.*\n)*?"
            if line == "..."
            else ".*?".join(map(re.escape, line.split("..."))) + r"[ ]*\n"
            for line in lines
        )
        return re.fullmatch(pattern, output.rstrip("\n") + "\n") is not None

    return compare
