"""``runtime chat``: a conversation in the terminal."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.common import FAILED, fail, only_warnings, read_settings
from runtime_core.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime_core.settings import Settings

__all__ = ("chat",)


@click.command()
@click.option("--chain", metavar="ID", help="The stored chain that answers (RUNTIME_CHAT_CHAIN).")
@click.option("--session", metavar="ID", help="The conversation to go on with, or to begin.")
@click.option("--url", help="The server.  [default: http://ADDR:PORT]")
@click.option("--token", help="The server's key (TOKEN).")
def chat(chain: str | None, session: str | None, url: str | None, token: str | None) -> None:
    """Talk to a running server: a line is a message.

    Ctrl-C stops an answer, Ctrl-D ends.  Lines can also come from a pipe; then the exit code is
    1 when one was not answered.
    """
    settings = read_settings(token=token)
    only_warnings(settings)
    talk = _Conversation(settings, url, chain, session)
    with asyncio.Runner() as runner:
        runner.run(talk.greet())
        for line in _lines():
            try:
                runner.run(talk.say(line))
            except KeyboardInterrupt:
                talk.stopped()
    talk.end()


def _lines() -> Iterator[str]:
    """Yield what is typed, or piped in, without blank lines."""
    typed = sys.stdin.isatty()
    if typed:
        # gives input() a line to edit and a history
        import readline  # noqa: F401
    while True:
        try:
            line = input("> " if typed else "")
        except EOFError:
            return
        except KeyboardInterrupt:
            if not typed:
                return
            click.echo("\n(Ctrl-D ends)")
            continue
        if line.strip():
            yield line


class _Conversation:
    """The turns of one session, printed as they come."""

    def __init__(
        self, settings: Settings, url: str | None, chain: str | None, session: str | None
    ) -> None:
        self._settings = settings
        self._url = url
        self._chain = chain
        self._session = session
        self._terminal = Terminal()
        self._typed = sys.stdin.isatty()
        self._answered = self._shown = self._failed = False

    async def greet(self) -> None:
        """Find the server, and say how this works to whoever types."""
        from runtime_core.cli.client import Failure, Server

        try:
            async with Server.of(self._settings, self._url) as server:
                if not await server.alive():
                    fail(f"no server answers at {server.url}; start one with: runtime serve")
        except Failure as error:
            fail(error.message)
        if self._typed:
            click.echo(f"talking to {server.url}: Ctrl-C stops an answer, Ctrl-D ends")

    async def say(self, line: str) -> None:
        """Send a line and print the answer; a failure is told, and the next line may do better."""
        from runtime_core.cli.client import Failure, Server

        self._answered = self._shown = False
        body = {"message": line, "session": self._session, "chain": self._chain, "stream": True}
        # a connection of its own: a turn that is stopped takes it along
        async with Server.of(self._settings, self._url) as server:
            try:
                async with aclosing(server.events("/chat", body)) as events:
                    async for event in events:
                        self._take(event)
                if not self._answered:
                    raise Failure("the server ended the answer half-way")
            except Failure as error:
                self._terminal.end_line()
                self._failed = True
                click.echo(f"error: {error.message}", err=True)

    def _take(self, event: dict[str, Any]) -> None:
        if "delta" in event:
            self._terminal.write(event["delta"])
            self._shown = True
            return
        if not self._shown:
            # no model streamed it: the chain ends in another task
            self._terminal.write(event.get("message", ""))
        self._terminal.end_line()
        self._session = event.get("session", self._session)
        self._answered = True

    def stopped(self) -> None:
        """Say that the turn is over; the server keeps nothing of it."""
        self._terminal.end_line()
        click.echo("(stopped)", err=True)

    def end(self) -> None:
        """Say how to go on another time."""
        if self._typed:
            again = f"to go on: runtime chat --session {self._session}" if self._session else ""
            click.echo(f"\n{again}".rstrip())
        elif self._failed:
            raise SystemExit(FAILED)
