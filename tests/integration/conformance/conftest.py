"""Runs the tests of a module in a process of their own, and tells how each went."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Path, Iterable[str]], dict[tuple[str, str], list[str]]]:
    """Return what runs nodes of a module: for each class and test, how its runs went."""

    def run(module: Path, nodes: Iterable[str]) -> dict[tuple[str, str], list[str]]:
        report = tmp_path_factory.mktemp("conformance") / "report.xml"
        chosen = [f"{module}::{node}" for node in nodes]
        options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist"]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *chosen],
            check=False,
            capture_output=True,
            timeout=300,
        )
        found: dict[tuple[str, str], list[str]] = {}
        for case in ElementTree.parse(report).iter("testcase"):
            suite = case.attrib["classname"].rpartition(".")[2]
            test = case.attrib["name"].partition("[")[0]
            outcome = next((child.tag for child in case), "passed")
            found.setdefault((suite, test), []).append(outcome)
        return found

    return run
