"""``runtime backend``: the places where models are, as a running server knows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, find, say, table

if TYPE_CHECKING:
    from runtime_core.cli.client import Server

__all__ = ("backend",)


@click.group()
def backend() -> None:
    """Register, list, show and delete the backends of a running server."""


@backend.command()
@click.argument("name")
@click.argument("base_url", metavar="URL")
@click.option(
    "--type",
    "kind",
    metavar="PROVIDER",
    required=True,
    help="The provider that speaks its protocol; a wrong one is answered with those there are.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    help="A group's name or id; repeatable.  [default: the built-in groups]",
)
@at_server
def add(
    name: str, base_url: str, kind: str, groups: tuple[str, ...], url: str | None, token: str | None
) -> None:
    """Register the backend NAME at URL and put it in groups, so that it serves."""

    async def question(server: Server) -> dict[str, Any]:
        wanted = await _groups(server, groups)
        body = {"name": name, "baseUrl": base_url, "type": kind}
        created: dict[str, Any] = await say(server, "POST", "backends", body=body)
        for group in wanted:
            await say(server, "POST", "backend-affinity", group, "backends", created["id"])
        return created

    created = ask(url, token, question)
    click.echo(f"added {name} ({created['id']})")


@backend.command("list")
@at_server
def list_backends(url: str | None, token: str | None) -> None:
    """List every backend that serves, the configured ones too, and those in no group."""
    registered, states = ask(url, token, _everything)
    known = {state["id"] for state in states}
    rows = [_row(state, state["backend"]) for state in states]
    rows += [
        (one["name"], one["type"], one["baseUrl"], one["id"], "in no group, or not looked at yet")
        for one in registered
        if one["id"] not in known
    ]
    if rows:
        click.echo(table(sorted(rows)))


@backend.command()
@click.argument("name", metavar="NAME|ID")
@at_server
def show(name: str, url: str | None, token: str | None) -> None:
    """Print a registered backend with its live state and its groups as JSON."""

    async def question(server: Server) -> dict[str, Any]:
        found = find(await every(server, "/backends"), name, "registered backend")
        groups = await say(server, "GET", "backend-affinity", found["id"], "groups")
        return {**found, "groups": [group["name"] for group in groups]}

    click.echo(json.dumps(ask(url, token, question), indent=2, ensure_ascii=False))


@backend.command()
@click.argument("name", metavar="NAME|ID")
@at_server
def delete(name: str, url: str | None, token: str | None) -> None:
    """Forget a registered backend; the models on it stay there."""

    async def question(server: Server) -> Any:
        found = find(await every(server, "/backends"), name, "registered backend")
        return await say(server, "DELETE", "backends", found["id"])

    click.echo(ask(url, token, question))


async def _groups(server: Server, names: tuple[str, ...]) -> list[str]:
    """Return the ids of the groups called *names*, by default of the built-in ones."""
    there = await say(server, "GET", "groups")
    if names:
        return [find(there, name, "group")["id"] for name in names]
    from runtime_core.types import BUILTIN_GROUPS

    return [group["id"] for group in there if group["id"] in BUILTIN_GROUPS]


async def _everything(server: Server) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return await every(server, "/backends"), await say(server, "GET", "state")


def _row(state: dict[str, Any], known: dict[str, Any]) -> tuple[str, str, str, str, str]:
    if state["reachable"]:
        health = f"{len(state['pulledModels'])} models"
    else:
        health = f"out: {state.get('error') or 'not looked at yet'}"
    return state["name"], known["type"], known["baseUrl"], state["id"], health
