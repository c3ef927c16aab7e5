"""What is in the distributions: the kernel and nothing else, and it works alone."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from runtime_core import __version__

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((ROOT / "plugins").glob("*/*/pyproject.toml"))
EXAMPLES = sorted((ROOT / "examples").glob("*/pyproject.toml"))

#: Editable installs do not say which packages they have.
OUR_NAMES = {
    package.parent.name: tomllib.loads(path.read_text())["project"]["name"]
    for path in PLUGINS
    for package in path.parent.glob("*/py.typed")
}

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


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugins_wheel_has_its_licence_its_readme_and_its_package(path, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    [built] = tmp_path.glob("*.whl")
    archive = zipfile.ZipFile(built)
    [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    info = metadata.removesuffix("METADATA")
    assert archive.read(f"{info}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert (path.parent / "README.md").read_text() in archive.read(metadata).decode()
    [package] = {name.partition("/")[0] for name in archive.namelist()} - {info.rstrip("/")}
    assert f"{package}/py.typed" in archive.namelist()


def imported(folder: Path) -> set[str]:
    """Return the packages of others that the modules of a distribution import."""
    modules = [path for path in folder.rglob("*.py") if "tests" not in path.parts]
    names = set()
    for node in (node for path in modules for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    ours = {path.stem for path in folder.iterdir()} | {folder.name}
    return {name.partition(".")[0] for name in names} - ours - sys.stdlib_module_names


@pytest.mark.parametrize(
    "path", [ROOT / "pyproject.toml", *PLUGINS, *EXAMPLES], ids=lambda path: path.parent.name
)
def test_a_distribution_requires_what_it_imports(path):
    project = tomllib.loads(path.read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    required = {canonicalize_name(Requirement(line).name) for line in lines}
    provided_by = packages_distributions()
    folder = ROOT / "runtime_core" if path.parent == ROOT else path.parent
    undeclared = {
        name
        for name in imported(folder)
        if not required & {canonicalize_name(one) for one in provided_by.get(name, [name])}
        and canonicalize_name(name) not in required
        and OUR_NAMES.get(name) not in required
    }
    assert undeclared == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_passes_its_tests_where_somebody_copied_it_to(path, tmp_path):
    copy = tmp_path / "pack"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
