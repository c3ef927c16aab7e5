"""The server keeps what its description says, whatever it is sent: schemathesis over every route.

Schemathesis makes requests that fit the description and requests that do not, always the same.
None of its checks may see a status of 500 and above, a status or a header that is not described, a
body of another form than described, or a method that is answered and not described.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "a-key-of-ours"
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_every_answer_is_as_described(start_server: Callable[..., str], tmp_path: Path) -> None:
    """Every route of the kernel and of all plugins; the models are echoes."""
    url = start_server(
        TOKEN=KEY,
        RUNTIME_DISABLE_PLUGINS="ollama",
        RUNTIME_LOG_LEVEL="warning",
        # the backends that the run registers must not make the stand-in give way
        CHAT_MODEL="echo",
        TASK_MODEL="echo",
        EMBED_MODEL="echo-embed",
    )
    headers = {"X-API-Key": KEY}
    paths = httpx.get(f"{url}/openapi.json", headers=headers).json()["paths"]
    operations = sum(len(operation) for operation in paths.values())
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)]
    command += ["run", f"{url}/openapi.json", "-H", f"X-API-Key: {KEY}", "--no-color"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert f"{operations} selected / {operations} total" in done.stdout
    assert (cases := re.search(r"(\d+) generated", done.stdout)) is not None, done.stdout
    assert int(cases[1]) > 1000, done.stdout
    assert httpx.get(f"{url}/readyz").status_code == 200
