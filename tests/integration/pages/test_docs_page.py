"""The interactive documentation in a real browser that reaches nothing but the server."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

#: Quiet, and with every host but loopback unknown: a page that needs the internet shows nothing.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--virtual-time-budget=20000",
    "--dump-dom",
)


@pytest.fixture(scope="module")
def page(start_server, tmp_path_factory):
    """The page's document once its scripts have run."""
    browser = shutil.which("chromium")
    assert browser, "Chromium is not installed: apt-get install chromium"
    url = start_server()
    profile = tmp_path_factory.mktemp("profile")
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={profile}", f"{url}/docs"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_it_shows_the_operations_of_the_kernel_and_of_plugins(page):
    shown = re.findall(r'data-path="([^"]+)"', page)
    assert {"/tasks", "/taskchains/{chain_id}", "/v1/chat/completions"} <= set(shown)


def test_it_loads_nothing_from_elsewhere(page):
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+)"', page)
    scripts = [one for one in loaded if re.search(r"\.(?:js|css|png|svg|woff2?)(?:\?|$)", one)]
    assert scripts == []
