"""The other gateways: installed when asked, each into an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench.processes import BenchError

__all__ = (
    "PEERS",
    "install",
    "litellm_command",
    "litellm_version",
    "own_version",
    "portkey_script",
    "portkey_version",
)

PEERS = ("portkey", "litellm")
_ENVS = Path(__file__).resolve().parent / ".envs"
_PORTKEY = _ENVS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
_LITELLM = _ENVS / "litellm"


def install(name: str) -> None:
    """Install the newest release of a peer, unless it is there.

    :raises BenchError: npm or pip is missing or fails.
    """
    if name == "portkey" and not _PORTKEY.is_dir():
        _install_portkey()
    elif name == "litellm" and not litellm_command().exists():
        _run([sys.executable, "-m", "venv", str(_LITELLM)])
        _run([str(_LITELLM / "bin" / "pip"), "install", "-q", "litellm[proxy]"])


def _install_portkey() -> None:
    if not shutil.which("npm"):
        raise BenchError("Portkey's gateway needs Node.js 18 or newer with npm on the path")
    prefix = _ENVS / "portkey"
    prefix.mkdir(parents=True, exist_ok=True)
    # with a newer @hono/node-server every stream fails: github.com/Portkey-AI/gateway/issues/1389
    package = {
        "private": True,
        "dependencies": {"@portkey-ai/gateway": "*"},
        "overrides": {"@hono/node-server": "1.14.1"},
    }
    (prefix / "package.json").write_text(json.dumps(package))
    # its install script only patches development dependencies, which npm does not install
    _run(["npm", "install", "--prefix", str(prefix), "--no-fund", "--no-audit", "--ignore-scripts"])


def _run(command: list[str]) -> None:
    print("$", *command, flush=True)
    if subprocess.run(command, check=False).returncode:
        raise BenchError(f"this command failed: {' '.join(command)}")


def own_version() -> str:
    """Return this server's version."""
    return metadata.version("runtime-core")


def portkey_script() -> Path:
    """Return the gateway's script; it need not exist."""
    return _PORTKEY / "build" / "start-server.js"


def portkey_version() -> str:
    """Return the installed version.

    :raises BenchError: it is not installed.
    """
    package = _PORTKEY / "package.json"
    if not package.exists():
        raise BenchError("Portkey's gateway is not installed: add --install")
    return str(json.loads(package.read_text())["version"])


def litellm_command() -> Path:
    """Return the proxy's command; it need not exist."""
    return _LITELLM / "bin" / "litellm"


def litellm_version() -> str:
    """Return the installed version.

    :raises BenchError: it is not installed.
    """
    found = sorted(_LITELLM.glob("lib/python*/site-packages/litellm-*.dist-info"))
    if not found:
        raise BenchError("LiteLLM is not installed: add --install")
    return found[0].name.removeprefix("litellm-").removesuffix(".dist-info")
