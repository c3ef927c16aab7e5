"""``runtime group``: which backends serve which models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, find, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.cli.client import Server

__all__ = ("group",)


@click.group()
def group() -> None:
    """Manage the groups of a running server: the backends of a group serve its models."""


@group.command()
@click.argument("name")
@click.option("--purpose", default="", help="A word that groups can be found by.")
@at_server
def add(name: str, purpose: str, url: str | None, token: str | None) -> None:
    """Create the group NAME."""
    body = {"name": name, "purposeType": purpose}
    created = ask(url, token, lambda server: say(server, "POST", "groups", body=body))
    click.echo(f"added {name} ({created['id']})")


@group.command("list")
@at_server
def list_groups(url: str | None, token: str | None) -> None:
    """List the groups with their backends and models."""

    async def question(server: Server) -> list[tuple[str, ...]]:
        return [await _row(server, one) for one in await say(server, "GET", "groups")]

    if rows := ask(url, token, question):
        click.echo(table(rows))


@group.command()
@click.argument("name", metavar="NAME|ID")
@at_server
def delete(name: str, url: str | None, token: str | None) -> None:
    """Delete a group; its backends and models stay."""

    async def question(server: Server) -> Any:
        found = find(await say(server, "GET", "groups"), name, "group")
        return await say(server, "DELETE", "groups", found["id"])

    click.echo(ask(url, token, question))


def _members(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say who is meant."""
    for option in (
        click.option("--model", "models", multiple=True, help="A model's name; repeatable."),
        click.option("--backend", "backends", multiple=True, help="Its name or id; repeatable."),
    ):
        command = option(command)
    return command


@group.command()
@click.argument("name", metavar="NAME|ID")
@_members
@at_server
def assign(
    name: str,
    backends: tuple[str, ...],
    models: tuple[str, ...],
    url: str | None,
    token: str | None,
) -> None:
    """Put backends and models in a group."""
    _change("POST", name, backends, models, url=url, token=token)


@group.command()
@click.argument("name", metavar="NAME|ID")
@_members
@at_server
def unassign(
    name: str,
    backends: tuple[str, ...],
    models: tuple[str, ...],
    url: str | None,
    token: str | None,
) -> None:
    """Take backends and models out of a group."""
    _change("DELETE", name, backends, models, url=url, token=token)


def _change(
    method: str,
    name: str,
    backends: tuple[str, ...],
    models: tuple[str, ...],
    *,
    url: str | None,
    token: str | None,
) -> None:
    if not backends and not models:
        raise click.UsageError("say who is meant with --backend or --model")

    async def question(server: Server) -> list[str]:
        group_id = find(await say(server, "GET", "groups"), name, "group")["id"]
        members = await _ids(server, "backends", "backend", backends)
        members += await _ids(server, "models", "model", models)
        done = []
        for member, plural, member_id in members:
            affinity = f"{plural.removesuffix('s')}-affinity"
            answer = await say(server, method, affinity, group_id, plural, member_id)
            done.append(f"{member}: {answer}")
        return done

    for line in ask(url, token, question):
        click.echo(line)


async def _ids(
    server: Server, plural: str, what: str, names: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    """Return each one's name, its kind in paths, and its id."""
    if not names:
        return []
    rows = await every(server, f"/{plural}")
    return [(name, plural, find(rows, name, what)["id"]) for name in names]


async def _row(server: Server, one: dict[str, Any]) -> tuple[str, ...]:
    backends = await say(server, "GET", "backend-affinity", one["id"], "backends")
    models = await say(server, "GET", "model-affinity", one["id"], "models")
    return (
        one["name"],
        one["id"],
        f"backends: {', '.join(backend['name'] for backend in backends) or '-'}",
        f"models: {', '.join(model['model'] for model in models) or '-'}",
    )
