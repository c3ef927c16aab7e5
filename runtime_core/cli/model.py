"""``runtime model``: the models that a running server's backends shall have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, find, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.cli.client import Server

__all__ = ("model",)

#: What a model can do → the built-in group of those that do it, where there is one.
_CAPABILITIES = {
    "chat": "internal_chat_group",
    "prompt": "internal_tasks_group",
    "embed": "internal_embed_group",
    "stream": "",
}

_CONTEXT_LENGTH = 8192


def _capabilities(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--stream", is_flag=True, help="It streams its answers."),
        click.option("--embed", is_flag=True, help="It turns texts into vectors."),
        click.option("--prompt", is_flag=True, help="It answers prompts."),
        click.option("--chat", is_flag=True, help="It holds conversations."),
    ):
        command = option(command)
    return command


@click.group()
def model() -> None:
    """Declare, list, delete and fetch the models of a running server."""


@model.command()
@click.argument("name")
@click.option("--context-length", type=click.IntRange(1), required=True, help="In tokens.")
@_capabilities
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    help="A group's name or id; repeatable.  [default: the built-in ones for what it can do]",
)
@at_server
def add(
    name: str,
    context_length: int,
    groups: tuple[str, ...],
    url: str | None,
    token: str | None,
    **can: bool,
) -> None:
    """Declare the model NAME and put it in groups, whose backends shall have it."""

    async def question(server: Server) -> None:
        there = await say(server, "GET", "groups")
        wanted = [find(there, group, "group")["id"] for group in groups]
        await _declare(server, name, context_length, _able(can), wanted)

    ask(url, token, question)
    click.echo(f"added {name}")


@model.command("list")
@at_server
def list_models(url: str | None, token: str | None) -> None:
    """List the declared models, newest first."""
    rows = [
        (
            row["model"],
            f"{row['contextLength']} tokens",
            " ".join(name for name in _CAPABILITIES if row[f"can{name.capitalize()}"]),
        )
        for row in ask(url, token, lambda server: every(server, "/models"))
    ]
    if rows:
        click.echo(table(rows))


@model.command()
@click.argument("name")
@click.option("--purge", is_flag=True, help="Cancel its downloads too.")
@at_server
def delete(name: str, *, purge: bool, url: str | None, token: str | None) -> None:
    """Forget a declared model; it stays on the backends that have it."""

    async def question(server: Server) -> Any:
        from runtime_core.cli.client import path_of

        params = {"purge": "true"} if purge else None
        answer, _ = await server.ask("DELETE", path_of("models", name), params=params)
        return answer

    click.echo(ask(url, token, question))


@model.command()
@click.argument("name")
@click.option("--backend", "backend_name", metavar="NAME|ID", help="Only for this backend.")
@click.option(
    "--context-length",
    type=click.IntRange(1),
    default=_CONTEXT_LENGTH,
    show_default=True,
    help="In tokens; for a model that is not declared yet.",
)
@_capabilities
@at_server
def pull(
    name: str,
    backend_name: str | None,
    context_length: int,
    url: str | None,
    token: str | None,
    **can: bool,
) -> None:
    """Have the model NAME fetched, and show how far that is.

    Declares it unless it is declared: as one for chat and prompts when nothing else is said.
    Ctrl-C ends the command, not the download.
    """
    able = _able(can) or ["chat", "prompt", "stream"]

    async def question(server: Server) -> str:
        from runtime_core.cli.pull import follow

        groups = await _declared_groups(server, name, context_length, able)
        backends = await _targets(server, name, groups, backend_name)
        return await follow(server, name, backends)

    goes_on = f"the download goes on; this shows it again: runtime model pull {name}"
    click.echo(ask(url, token, question, interrupted=goes_on))


def _able(can: dict[str, bool]) -> list[str]:
    return [name for name, given in can.items() if given]


async def _declare(
    server: Server, name: str, context_length: int, able: list[str], groups: list[str]
) -> dict[str, Any]:
    """Declare a model in *groups*, by default in the built-in ones for what it is *able* to do."""
    body: dict[str, Any] = {"model": name, "contextLength": context_length}
    body |= {f"can{capability.capitalize()}": True for capability in able}
    created: dict[str, Any] = await say(server, "POST", "models", body=body)
    builtin = [_CAPABILITIES[capability] for capability in able if _CAPABILITIES[capability]]
    for group in groups or builtin:
        await say(server, "POST", "model-affinity", group, "models", created["id"])
    return created


async def _declared_groups(
    server: Server, name: str, context_length: int, able: list[str]
) -> tuple[str, list[str]]:
    """Return the id of the model, declared now if need be, and the ids of its groups."""
    rows = [row for row in await every(server, "/models") if row["model"] == name]
    row = rows[0] if rows else await _declare(server, name, context_length, able, [])
    groups = await say(server, "GET", "model-affinity", row["id"], "groups")
    return row["id"], [group["id"] for group in groups]


async def _targets(
    server: Server, name: str, model_groups: tuple[str, list[str]], wanted: str | None
) -> list[dict[str, Any]]:
    """Return the backends that shall have the model; a *wanted* one gets to share a group."""
    from runtime_core.cli.client import Failure

    model_id, groups = model_groups
    if wanted is None:
        found: dict[str, dict[str, Any]] = {}
        for group in groups:
            members = await say(server, "GET", "backend-affinity", group, "backends")
            found |= {row["id"]: row for row in members}
        if not found:
            raise Failure(
                f"no backend is in a group of {name}; runtime group assign puts one there"
            )
        return list(found.values())
    backend = find(await every(server, "/backends"), wanted, "registered backend")
    theirs = await say(server, "GET", "backend-affinity", backend["id"], "groups")
    if not theirs:
        raise Failure(f"the backend {wanted} is in no group; runtime group assign puts it in one")
    if not any(group["id"] in groups for group in theirs):
        await say(server, "POST", "model-affinity", theirs[-1]["id"], "models", model_id)
    return [backend]
