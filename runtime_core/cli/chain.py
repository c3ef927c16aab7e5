"""``runtime chain``: check chain files, and manage the chains a server has stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, say
from runtime_core.cli.common import FAILED, MISUSED, fail, read_settings, startup_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.types import Chain

__all__ = ("chain", "read_document")

_YAML = frozenset({".yaml", ".yml"})
_FILE = click.Path(path_type=Path)


@click.group()
def chain() -> None:
    """Check chain files, and manage the chains that a server has stored."""


@chain.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
def check(files: tuple[Path, ...]) -> None:
    """Name every problem of the chains in FILES (JSON or YAML), one a line.

    Needs no server and no database.  The exit code is 1 when there is a problem.
    """
    settings = read_settings(quiet=True, strict=False)
    from runtime_core.app import load_plugins
    from runtime_core.engine.graph import find_problems
    from runtime_core.engine.templates import Template

    with startup_errors():
        handlers = load_plugins(settings).task_handlers

    def problems_of(chain: Chain) -> list[str]:
        return find_problems(chain, handlers, Template.compile)

    broken = 0
    for file in files:
        problems = _problems(file, problems_of)
        broken += bool(problems)
        for problem in problems or ["ok"]:
            click.echo(f"{file}: {problem}")
    if broken:
        raise SystemExit(FAILED)


@chain.command()
@click.argument("file", type=_FILE)
@at_server
def put(file: Path, url: str | None, token: str | None) -> None:
    """Store the chain in FILE; one of the same id is replaced."""
    document = _document_or_fail(file)
    stored = ask(url, token, lambda server: say(server, "POST", "taskchains", body=document))
    click.echo(f"stored {stored['id']}")


@chain.command("list")
@at_server
def list_chains(url: str | None, token: str | None) -> None:
    """List the stored chains, newest first."""
    for row in ask(url, token, lambda server: every(server, "/taskchains")):
        click.echo(f"{row['id']}  {row.get('description', '')}".rstrip())


@chain.command()
@click.argument("chain_id", metavar="ID")
@at_server
def show(chain_id: str, url: str | None, token: str | None) -> None:
    """Print a stored chain as JSON."""
    click.echo(json.dumps(_on_chain("GET", chain_id, url, token), indent=2, ensure_ascii=False))


@chain.command()
@click.argument("chain_id", metavar="ID")
@at_server
def delete(chain_id: str, url: str | None, token: str | None) -> None:
    """Delete a stored chain."""
    click.echo(_on_chain("DELETE", chain_id, url, token))


def read_document(file: Path) -> dict[str, Any]:
    """Return the JSON or YAML object in *file*.

    :raises ValueError: it cannot be read or is no object; the message says why.
    """
    from runtime_core.errors import RuntimeCoreError
    from runtime_core.http.bodies import decode_body

    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    yaml = file.suffix in _YAML or (file.suffix != ".json" and not raw.lstrip().startswith(b"{"))
    try:
        document: dict[str, Any] = decode_body(
            raw, "application/yaml" if yaml else "application/json", dict[str, Any]
        )
    except RuntimeCoreError as error:
        raise ValueError(_about_file(error.message)) from error
    return document


def _problems(file: Path, problems_of: Callable[[Chain], list[str]]) -> list[str]:
    from runtime_core.engine.chain import decode_chain
    from runtime_core.errors import RuntimeCoreError

    try:
        return problems_of(decode_chain(read_document(file)))
    except RuntimeCoreError as error:
        return [_about_file(error.message)]
    except ValueError as error:
        return [str(error)]


def _about_file(message: str) -> str:
    """Say of a file what was written about a request's body."""
    message = message.replace("the request has no body; send", "the file is empty; it needs")
    return " ".join(message.replace("the body", "the file").split())


def _document_or_fail(file: Path) -> dict[str, Any]:
    try:
        return read_document(file)
    except ValueError as error:
        fail(f"{file}: {error}", MISUSED)


def _on_chain(method: str, chain_id: str, url: str | None, token: str | None) -> Any:
    return ask(url, token, lambda server: say(server, method, "taskchains", chain_id))
