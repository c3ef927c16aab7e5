"""Secrets from the command line, against a server as a process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = "s3cr3t ä value"


@pytest.fixture
def runtime(tmp_path: Path, server: str) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a command with a standard input: exit code, output, errors."""

    def run(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "runtime", *arguments, "--url", server],
            input=given, capture_output=True, cwd=tmp_path, env={"HOME": str(tmp_path)},
        )  # fmt: skip
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def test_the_life_of_a_secret(runtime: Any, server: str) -> None:
    assert runtime("secret", "set", "life", given=VALUE.encode()) == (0, "added life\n", "")
    assert runtime("secret", "set", "life", given=b"new\n") == (0, "replaced life\n", "")
    shown = httpx.get(f"{server}/secrets/life").json()

    code, output, _ = runtime("secret", "list")
    assert code == 0
    assert re.search(rf"^life +{shown['updatedAt']}$", output, re.MULTILINE)

    assert runtime("secret", "rm", "life") == (0, "deleted life\n", "")
    assert runtime("secret", "rm", "life") == (1, "", "error: secret 'life' not found\n")
    assert runtime("secret", "list") == (0, "", "")


@pytest.mark.parametrize(
    ("given", "size"),
    # the server says how long the value is that is one byte too long
    [(b"x" * 65537, 65537), (b"x" * 65537 + b"\n", 65537), (b"x" * 65537 + b"\r\n\n", 65539)],
)
def test_one_line_break_at_the_end_is_not_the_values(runtime: Any, given: bytes, size: int) -> None:
    code, _, errors = runtime("secret", "set", "long", given=given)
    assert (code, errors) == (1, f"error: value: has {size} bytes, at most 65536 are allowed\n")


def test_what_cannot_be_a_secret(runtime: Any) -> None:
    code, _, errors = runtime("secret", "set", "a b", given=b"v")
    assert (code, "1 to 128 of the characters" in errors) == (1, True)
    assert runtime("secret", "set", "a")[0] == 1
    code, _, errors = runtime("secret", "set", "a", given=b"\xff\xfe")
    assert (code, "not text in UTF-8" in errors) == (2, True)
    # a value among the arguments is refused, and not repeated
    code, _, errors = runtime("secret", "set", "a", "value-of-mine")
    assert code == 2


def test_a_value_is_asked_for_at_a_terminal_and_not_shown(
    terminal: Callable[..., Any], server: str
) -> None:
    program = terminal("secret", "set", "typed", "--url", server)
    program.wait_for("value: ")
    program.type(VALUE)
    program.wait_for("added typed")
    assert program.process.wait(60) == 0
    assert VALUE not in program.output
    assert httpx.get(f"{server}/secrets/typed").status_code == 200
    httpx.delete(f"{server}/secrets/typed")


def test_doctor_says_when_secrets_are_stored_in_clear(
    start: Callable[..., Any], address_of: Callable[[str], str]
) -> None:
    def said(**environ: str) -> str:
        program = start("doctor", **environ)
        program.end()
        return program.output

    in_clear = (
        "warn  database   keys of providers and secrets are stored in clear\n"
        "                 what to do: set RUNTIME_SECRET_KEY, then set them again\n"
    )
    server = start("serve", "--port", "0")
    url = address_of(server.wait_for("\n"))
    assert in_clear not in said()
    assert httpx.put(f"{url}/secrets/key", json={"value": "v"}).status_code == 200
    assert in_clear in said()
    assert in_clear not in said(RUNTIME_SECRET_KEY="sixteen-characters")
