"""``runtime run``: one prompt through a chain, on a running server or in this process."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.common import (
    fail,
    only_warnings,
    read_settings,
    startup_errors,
)
from runtime_core.cli.terminal import INTERRUPTED, Terminal
from runtime_core.cli.wish import Wish, chain_named, text_of, variables_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runtime_core.settings import Settings

__all__ = ("run",)


@click.command()
@click.argument("prompt")
@click.option("--chain", "chain_name", metavar="FILE|ID", help="A chain's file, or a stored one.")
@click.option("--model", help="The model to ask; not with --chain, whose tasks say it.")
@click.option("--stream", is_flag=True, help="Print the answer while it is being written.")
@click.option("--url", help="The server.  [default: http://ADDR:PORT, if one answers there]")
@click.option("--token", help="The server's key (TOKEN).")
@click.option("--local", is_flag=True, help="Run in this process, whatever is running.")
@click.option("--input-type", default="", help="string, json, int, ...: what PROMPT is.")
@click.option("--var", multiple=True, metavar="K=V", help="A value for {{var:K}}; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --stream all events.")
def run(
    prompt: str,
    *,
    chain_name: str | None,
    model: str | None,
    stream: bool,
    url: str | None,
    token: str | None,
    local: bool,
    input_type: str,
    var: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run PROMPT (- reads standard input) through a chain, or ask a model when none is named.

    Exit codes: 0 done, 1 the run failed, 2 wrong use.  Ctrl-C cancels the run.
    """
    if local and url:
        raise click.UsageError("--local and --url exclude each other")
    if model and chain_name:
        raise click.UsageError("--model is for a run without --chain: name it in the chain's tasks")
    settings = read_settings(token=token)
    only_warnings(settings)
    chain, chain_id = chain_named(chain_name, model or "")
    wish = Wish(text_of(prompt), input_type.lower(), variables_of(var), chain, chain_id, stream)
    output = _Output(stream=stream, as_json=as_json)
    _run(_show(settings, wish, output, url=url, local=local), output)


def _run(showing: Coroutine[Any, Any, None], output: _Output) -> None:
    from runtime_core.cli.client import Failure

    try:
        with startup_errors():
            asyncio.run(showing)
    except Failure as error:
        output.broke_off()
        about = f" (run {error.run_id})" if error.run_id else ""
        fail(f"{error.message}{about}")
    except KeyboardInterrupt:
        output.broke_off()
        fail("cancelled", INTERRUPTED)


async def _show(
    settings: Settings, wish: Wish, output: _Output, *, url: str | None, local: bool
) -> None:
    from runtime_core.cli.client import Failure
    from runtime_core.cli.places import run_events

    async with aclosing(run_events(settings, wish, url=url, local=local)) as events:
        async for event in events:
            output.take(event)
    if not output.finished:
        raise Failure("the answer ended before the run did: the server has ended it")


class _Output:
    """Prints a run's events: as they come when ``stream``, else only what it ends with."""

    def __init__(self, *, stream: bool, as_json: bool) -> None:
        self.finished = False
        self._stream = stream
        self._as_json = as_json
        self._terminal = Terminal()
        self._said: list[str] = []
        self._steps: list[dict[str, Any]] = []

    def take(self, event: dict[str, Any]) -> None:
        """Print what there is to print of an event."""
        kind = event.get("type")
        self.finished = kind == "run_finished"
        if self._stream and self._as_json:
            click.echo(json.dumps(event, ensure_ascii=False))
        elif kind == "delta" and self._stream and event.get("final"):
            self._terminal.write(event.get("text", ""))
            self._said.append(event.get("text", ""))
        elif kind == "step_started" and event.get("attempt", 1) > 1 and any(self._said):
            self._begin_again()
        elif kind == "model_routed":
            self._said.clear()
        elif kind == "step_finished":
            self._steps.append(event["step"])
        elif self.finished:
            self._finish(event)

    def broke_off(self) -> None:
        """Leave what was printed so far on lines of its own."""
        self._terminal.end_line()

    def _begin_again(self) -> None:
        """What was shown turned out not to be the answer: its task is tried again."""
        self._terminal.end_line()
        self._said.clear()
        click.echo("(once more)", err=True)

    def _finish(self, event: dict[str, Any]) -> None:
        if self._as_json:
            names = ("runId", "output", "outputType")
            document = {name: event.get(name) for name in names} | {"state": self._steps}
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return
        text = _text(event.get("output"), event.get("outputType"))
        if not any(self._said) or not "".join(self._said).endswith(text):
            self._terminal.end_line()
            self._terminal.write(text)
        self._terminal.end_line()


def _text(output: Any, output_type: object) -> str:
    """Return an output as text: a conversation is its last message, what is no text is JSON."""
    said = output
    if output_type == "chat_history":
        said = (output.get("messages") or [{}])[-1].get("content")
    elif output_type == "openai_chat_response":
        said = (output.get("choices") or [{}])[0].get("message", {}).get("content")
    if isinstance(said, str):
        return said
    return json.dumps(output, indent=2, ensure_ascii=False)
