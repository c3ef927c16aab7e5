"""What the commands that manage a running server share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.common import fail, read_settings
from runtime_core.cli.terminal import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from runtime_core.cli.client import Server

__all__ = ("ask", "at_server", "every", "find", "say", "table")

_PAGE = "1000"


def at_server(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which server is meant."""
    for option in (
        click.option("--token", help="The server's key (TOKEN)."),
        click.option("--url", help="The server.  [default: http://ADDR:PORT]"),
    ):
        command = option(command)
    return command


def ask(
    url: str | None,
    token: str | None,
    question: Callable[[Server], Awaitable[Any]],
    *,
    interrupted: str = "cancelled",
) -> Any:
    """Return the server's answer to *question*, or end the process with the reason why not.

    :param interrupted: what is said after Ctrl-C.
    """
    settings = read_settings(token=token)
    from runtime_core.cli.client import Failure, Server

    async def conversation() -> Any:
        async with Server.of(settings, url) as server:
            return await question(server)

    try:
        return asyncio.run(conversation())
    except Failure as error:
        fail(error.message)
    except KeyboardInterrupt:
        fail(interrupted, INTERRUPTED)


async def say(server: Server, method: str, *parts: str, body: object = None) -> Any:
    """Return the JSON of the answer to one request; *parts* are those of its path."""
    from runtime_core.cli.client import path_of

    answer, _ = await server.ask(method, path_of(*parts), body)
    return answer


async def every(server: Server, path: str) -> list[dict[str, Any]]:
    """Return the rows of all pages of a listing."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        params = {"limit": _PAGE} | ({"cursor": cursor} if cursor else {})
        page, headers = await server.ask("GET", path, params=params)
        rows += page
        cursor = headers.get("x-next-cursor", "")
        if not cursor:
            return rows


def find(rows: Iterable[dict[str, Any]], wanted: str, what: str) -> dict[str, Any]:
    """Return the row whose name, else whose id, is *wanted*.

    :raises Failure: there is none; the message names those there are.
    """
    from runtime_core.cli.client import Failure, one_line

    rows = list(rows)
    for key in ("name", "model", "id"):
        for row in rows:
            if row.get(key) == wanted:
                return row
    names = sorted(name for row in rows if (name := row.get("name") or row.get("model")))
    there = f"there are {', '.join(names)}" if names else "there is none"
    raise Failure(one_line(f"no {what} is called {wanted!r}; {there}"))


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return *rows* as lines whose columns are aligned, safe for a terminal."""
    from runtime_core.cli.client import one_line

    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
