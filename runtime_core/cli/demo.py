"""``runtime demo``: the server, a chain, an answer, and what to try next."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from runtime_core.cli import collector
from runtime_core.cli.common import only_warnings, read_settings, startup_errors
from runtime_core.cli.serve import check_port, run_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runtime_core.app import Kernel
    from runtime_core.cli.client import Server
    from runtime_core.settings import Settings

__all__ = ("demo",)

CHAIN_ID = "demo"

CHAIN: dict[str, Any] = {
    "id": CHAIN_ID,
    "description": "Answers a conversation in a sentence or two.",
    "tasks": [
        {
            "id": "answer",
            "description": "Asks the best model there is.",
            "handler": "chat_completion",
            "system_instruction": "You are a friendly assistant. Answer in one or two sentences.",
            "execute_config": {"pass_clients_tools": True},
            "transition": {"branches": [{"operator": "default", "goto": "end"}]},
        }
    ],
}

PROMPT = "Hello! What can you do for a program that talks to you?"


@click.command()
@click.option("--addr", help="The address to listen on (ADDR).  [default: 127.0.0.1]")
@click.option("--port", help="The port, 0 for any free one (PORT).  [default: 8081]")
def demo(addr: str | None, port: str | None) -> None:
    """Start the server, store a chain, run a prompt through it, and say what to try.

    It needs nothing: SQLite, a bus in memory, and the models that are found; where there are
    none, a stand-in that repeats what it is told.  It serves until Ctrl-C.
    """
    settings = _small(read_settings(addr=addr, port=port))
    only_warnings(settings)
    with startup_errors(), collector.paused():
        check_port(settings.addr, settings.port)
        from runtime_core.app import compose, serving

        kernel = compose(settings)
        app = serving(kernel)
    run_server(app, settings, partial(_tour, kernel))


def _small(settings: Settings) -> Settings:
    """A demo leaves database servers and message brokers alone, whatever the settings say."""
    default = type(settings)()
    small = {"bus_url": default.bus_url}
    if not settings.database_url.startswith("sqlite:"):
        small["database_url"] = default.database_url
    return settings.model_copy(update=small)


async def _tour(kernel: Kernel, listening: str) -> None:
    """Be the first client of the server, then show how to be the next one."""
    from runtime_core.cli.client import Failure, Server, url_of

    parts = urlsplit(listening)
    url = url_of(parts.hostname or "", parts.port or 0)
    async with Server.of(kernel.settings, url) as server:
        shimmed, model = False, ""
        try:
            await _store_chain(server)
            shimmed = await _speaks_completions(server)
            model = await _introduce_model(kernel)
            await _converse(server, shimmed=shimmed)
        except Failure as error:
            click.echo(f"\nno answer: {error.message}\nthe server keeps serving")
    steps = _next_steps(url, model if shimmed else None, token=kernel.settings.token is not None)
    click.echo("\n".join(steps))


async def _store_chain(server: Server) -> None:
    """Store the chain, unless there is one that somebody may have changed."""
    from runtime_core.cli.client import Failure, path_of

    try:
        await server.ask("GET", path_of("taskchains", CHAIN_ID))
    except Failure as error:
        if error.status != 404:
            raise
        await server.ask("POST", "/taskchains", CHAIN)
        click.echo(f"chain   {CHAIN_ID}: {CHAIN['description']}")
    else:
        click.echo(f"chain   {CHAIN_ID}: as it was stored before")


async def _speaks_completions(server: Server) -> bool:
    """Say whether the plugin with the chat completion routes is installed."""
    from runtime_core.cli.client import Failure

    try:
        await server.ask("GET", f"/openai/{CHAIN_ID}/v1/models")
    except Failure as error:
        if error.status != 404:
            raise
        return False
    return True


async def _introduce_model(kernel: Kernel) -> str:
    """Say who will answer, and how to have somebody better than the stand-in; return its name."""
    from runtime_core.fleet.gateway import LAST_RESORT
    from runtime_core.types import Wanted

    candidates = await kernel.models.candidates(Wanted("chat"))
    if not candidates:
        click.echo("model   none can be asked now")
        return ""
    config, model = candidates[0].backend.config, candidates[0].model
    click.echo(f"model   {model.name} on backend {config.name} ({config.base_url or config.type})")
    if config.priority >= LAST_RESORT:
        click.echo("\n".join(_stand_in(kernel)))
    return model.name


def _stand_in(kernel: Kernel) -> list[str]:
    """Say that nobody real answers, what was tried, and the way out."""
    tried = [f"{b.config.name} ({b.config.base_url})" for b in kernel.catalog.backends if b.error]
    providers = ", ".join(sorted(kernel.plugins.providers))
    return [
        "        It is a stand-in that repeats what it is told: no real model was found"
        + (f"; tried {', '.join(tried)}." if tried else "."),
        "        For a real one start a local model server, or set an API key and start again:",
        f"        see docs/configuration.md. Installed providers: {providers}.",
    ]


async def _converse(server: Server, *, shimmed: bool) -> None:
    """Print the prompt, then each piece of the answer as it comes."""
    click.echo(f"\n> {PROMPT}")
    pieces = _completion(server) if shimmed else _run(server)
    async with aclosing(pieces):
        async for piece in pieces:
            click.echo(piece, nl=False)
    click.echo()


async def _completion(server: Server) -> AsyncGenerator[str, None]:
    body = {"stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    async with aclosing(server.events(f"/openai/{CHAIN_ID}/v1/chat/completions", body)) as events:
        async for event in events:
            for choice in event.get("choices", ()):
                if text := choice.get("delta", {}).get("content"):
                    yield text


async def _run(server: Server) -> AsyncGenerator[str, None]:
    said = {"messages": [{"role": "user", "content": PROMPT}]}
    body = {"chainId": CHAIN_ID, "input": said, "inputType": "chat_history"}
    async with aclosing(server.events("/tasks", body)) as events:
        async for event in events:
            if event.get("type") == "delta" and event.get("final") and event.get("text"):
                yield event["text"]


# -------------------------------------------------------------------------
# What to try next
# -------------------------------------------------------------------------


def _next_steps(url: str, model: str | None, *, token: bool) -> list[str]:
    """Return the lines; *model* is None where there are no chat completion routes."""
    curl = "curl" + (' -H "Authorization: Bearer $TOKEN"' if token else "")
    lines = ["", "Try it from another terminal (Ctrl-C here ends the server):"]
    if token:
        lines += ["the commands read the key from the variable TOKEN: export it there first"]
    if model is None:
        lines += ["", *_tasks(url, curl)]
    else:
        lines += ["", *_completions(url, curl, model, token=token)]
    options = "" if url.endswith(":8081") else f" --url {url}"
    return [
        *lines,
        "",
        f"runtime run{options} --chain {CHAIN_ID} --stream 'Hello!'",
        f"runtime chat{options} --chain {CHAIN_ID}",
        "",
        *([f"OpenAI base URL   {url}/openai/{CHAIN_ID}/v1"] if model is not None else []),
        f"API documentation {url}/docs",
    ]


def _completions(url: str, curl: str, model: str, *, token: bool) -> list[str]:
    base = f"{url}/openai/{CHAIN_ID}/v1"
    messages = '"messages": [{"role": "user", "content": "Hello!"}]'
    head = f"{base}/chat/completions -H 'Content-Type: application/json'"
    key = 'os.environ["TOKEN"]' if token else '"none"'
    return [
        f"{curl} {head} -d '{{{messages}}}'",
        "",
        f"{curl} -N {head} -d '{{\"stream\": true, {messages}}}'",
        "",
        "python -c '",
        "import os, openai" if token else "import openai",
        f'client = openai.OpenAI(base_url="{base}", api_key={key})',
        f'answer = client.chat.completions.create(model="{model}", {_python(messages)})',
        "print(answer.choices[0].message.content)'",
    ]


def _python(messages: str) -> str:
    return messages.replace('"messages": ', "messages=", 1)


def _tasks(url: str, curl: str) -> list[str]:
    head = f"{url}/tasks -H 'Content-Type: application/json'"
    said = '{"messages": [{"role": "user", "content": "Hello!"}]}'
    fields = f'"chainId": "{CHAIN_ID}", "inputType": "chat_history", "input": {said}'
    body = f"-d '{{{fields}}}'"
    return [
        f"{curl} {head} {body}",
        "",
        f"{curl} -N {head} -H 'Accept: text/event-stream' {body}",
    ]
