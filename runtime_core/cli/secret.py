"""``runtime secret``: values that hooks of a running server need, and nobody reads back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, say, table

if TYPE_CHECKING:
    from runtime_core.cli.client import Server

__all__ = ("secret",)


@click.group()
def secret() -> None:
    """Store, list and delete the secrets that hooks name as {{secret:NAME}}."""


@secret.command("set")
@click.argument("name")
@at_server
def set_secret(name: str, url: str | None, token: str | None) -> None:
    """Store a secret: its value is asked for, or read from standard input.

    One line break at the end does not belong to it.
    """
    body = {"value": _value()}
    stored = ask(url, token, lambda server: say(server, "PUT", "secrets", name, body=body))
    known = stored["createdAt"] != stored["updatedAt"]
    click.echo(f"{'replaced' if known else 'added'} {name}")


@secret.command("list")
@at_server
def list_secrets(url: str | None, token: str | None) -> None:
    """List the names of the secrets, and when each was stored."""

    async def question(server: Server) -> list[tuple[str, ...]]:
        return [(one["name"], one["updatedAt"]) for one in await every(server, "/secrets")]

    if rows := ask(url, token, question):
        click.echo(table(rows))


@secret.command("rm")
@click.argument("name")
@at_server
def remove(name: str, url: str | None, token: str | None) -> None:
    """Delete a secret; calls that name it fail from then on."""

    async def question(server: Server) -> Any:
        return await say(server, "DELETE", "secrets", name)

    click.echo(f"{ask(url, token, question)} {name}")


def _value() -> str:
    """Return the value, which is never an argument: those are seen by every user of the machine."""
    if sys.stdin.isatty():
        value: str = click.prompt("value", hide_input=True, err=True)
        return value
    try:
        value = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.UsageError("the value on standard input is not text in UTF-8") from error
    return value.removesuffix("\n").removesuffix("\r")
