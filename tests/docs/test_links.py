"""Links inside the repository lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in (
        *("*.md", "docs/*.md", "bench/*.md", "examples/**/*.md"),
        *("plugins/*/*/README.md", "tests/**/README.md"),
    )
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """Return the names that a page's headings can be linked by, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    names: list[str] = []
    for name in (re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found):
        times = names.count(name)
        names += [name, f"{name}-{times}"] if times else [name]
    return set(names)


@pytest.mark.parametrize("document", PAGES)
def test_links_lead_somewhere(document):
    path = ROOT / document
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{document} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{document} links to {target}"


@pytest.mark.parametrize("document", [one for one in PAGES if one.startswith("docs/")])
def test_every_page_is_linked_from_the_readme(document):
    assert f"({document})" in (ROOT / "README.md").read_text(encoding="utf-8")
