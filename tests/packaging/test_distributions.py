"""What is in the distributions: the kernel and nothing else, and it works alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from runtime_core import __version__

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((ROOT / "plugins").glob("*/*/pyproject.toml"))

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

class NoPlugins:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top.startswith("runtime_") and top != "runtime_core":
            raise ModuleNotFoundError(f"the kernel imports the plugin {top}")

sys.meta_path.insert(0, NoPlugins())
import runtime_core

for module in pkgutil.walk_packages(runtime_core.__path__, "runtime_core."):
    # alembic runs these, within its own surroundings
    if ".migrations." not in module.name:
        importlib.import_module(module.name)
print(runtime_core.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the kernel's wheel and sdist once."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist"]
    subprocess.run([*command, "-d", folder], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    [path] = built.glob("*.whl")
    return path


def source_files() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "runtime_core"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_is_the_kernel_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    info = f"runtime_core-{__version__}.dist-info/"
    assert {name for name in names if not name.startswith(info)} == source_files()
    assert "runtime_core/py.typed" in names
    assert f"{info}licenses/LICENSE" in names


def test_the_sdist_is_the_kernel_and_what_builds_it(built):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    rest = names - source_files()
    assert source_files() <= names
    assert rest - {".gitignore"} == {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def test_the_sdist_builds_the_same_wheel(built, wheel, tmp_path):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    [again] = (tmp_path / "dist").glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_kernel_imports_alone(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EVERYTHING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "runtime_core" / "__init__.py")
    assert done.stderr == ""


def test_there_are_plugins():
    assert PLUGINS


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugins_distribution(path):
    project = tomllib.loads(path.read_text())["project"]
    ours = Version(__version__)
    assert project["version"] == __version__
    [kernel] = [
        one for one in map(Requirement, project["dependencies"]) if one.name == "runtime-core"
    ]
    wanted = f">={ours.major}.{ours.minor},<{ours.major}.{ours.minor + 1}"
    assert kernel.specifier == Requirement(f"runtime-core{wanted}").specifier
    listed = (ROOT / "requirements.txt").read_text().splitlines()
    assert f"-e {path.parent.relative_to(ROOT)}" in listed
