from __future__ import annotations

import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from runtime_core.settings import Settings

# Those of the working copy would make these tests depend on every plugin's state.
OTHERS = tuple({point.dist.name for point in entry_points(group="runtime_core.plugins")})
FIXTURES = Path(__file__).parents[2] / "fixtures" / "plugins"


@pytest.fixture
def settings():
    """Only the plugins that a test installs, and little time for them."""
    return Settings(plugin_timeout=0.3, disable_plugins=OTHERS)


@pytest.fixture
def install(monkeypatch):
    """Put broken plugins, or folders that look like an installation, on the path."""

    def put(*names: str | Path) -> None:
        for name in names:
            path = FIXTURES / name
            assert path.is_dir(), path
            monkeypatch.syspath_prepend(str(path))

    loaded = set(sys.modules)
    yield put
    for name in sys.modules.keys() - loaded:
        if name.startswith("acme_"):
            del sys.modules[name]
    for thread in threading.enumerate():
        if thread.name.startswith("plugin "):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name} goes on"


@pytest.fixture
def distribution(tmp_path, install):
    """Install a plugin made up on the spot and return its folder."""

    def make(name: str, code: str = "", *, requires: str = "", points: str | None = None) -> Path:
        module = name.replace("-", "_")
        folder = tmp_path / name
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}"
        (info / "METADATA").write_text(metadata)
        points = f"{name.removeprefix('acme-')} = {module}" if points is None else points
        (info / "entry_points.txt").write_text(f"[runtime_core.plugins]\n{points}\n")
        install(folder)
        return folder

    return make
