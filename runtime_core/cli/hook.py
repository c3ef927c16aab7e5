"""``runtime hook``: services that chains and models of a running server call as tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import ask, at_server, every, find, say, table
from runtime_core.cli.common import FAILED
from runtime_core.cli.known_hooks import all_hooks, hidden_by, parameters_of
from runtime_core.cli.terminal import Terminal
from runtime_core.cli.tools import arguments_of, call_chain, output_of, pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.cli.client import Server

__all__ = ("hook",)

_TIMEOUT_MS = 10_000
_SUFFIXES = (".json", ".yaml", ".yml")

#: Where a service may want the value that goes into each call.
_PLACES = ("path", "query", "header", "cookie", "body")

#: Headers whose values should not be typed where a shell remembers them.
_SENSITIVE = re.compile(r"auth|cookie|key|password|secret|token", re.IGNORECASE)
_HINT = (
    "hint: {} may now be in your shell's history; runtime secret set NAME stores a value that "
    "{{{{secret:NAME}}}} stands for"
)


def _of_service(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a service is called."""
    for option in (
        click.option("--document-url", help="Its OpenAPI document.  [default: URL/openapi.json]"),
        click.option(
            "--timeout",
            type=click.IntRange(1),
            metavar="MS",
            help=f"For a whole call, in milliseconds.  [default: {_TIMEOUT_MS}]",
        ),
        click.option(
            "--property",
            "injected",
            metavar="IN:NAME=VALUE",
            help="A value for each call, in its path, query, header, cookie or body.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="NAME=VALUE",
            help="Sent with each call; {{secret:NAME}} stands for a secret; repeatable.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def hook() -> None:
    """Register, look at and call the hooks of a running server."""


@hook.command()
@click.argument("name")
@click.argument("service", metavar="URL")
@_of_service
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="TOOL=EXPRESSION",
    help="JMESPath for a tool's results, * for every other tool's; repeatable.",
)
@at_server
def add(
    name: str,
    service: str,
    shapes: tuple[str, ...],
    url: str | None,
    token: str | None,
    **options: Any,
) -> None:
    """Register the OpenAPI service at URL as the hook NAME, and say what tools it has."""
    body = {"name": name, "endpointUrl": service, **_calling(**options)}
    body |= {"shape": _pairs(shapes, "--shape", "=")} if shapes else {}

    async def question(server: Server) -> None:
        created = await _register(server, body)
        click.echo(f"added {name} ({created['id']})")
        await _introduce(server, name)

    ask(url, token, question)
    _hint(body)


@hook.command("list")
@at_server
def list_hooks(url: str | None, token: str | None) -> None:
    """List all hooks, with what is known to be wrong with a remote one."""
    if rows := [_row(one) for one in ask(url, token, all_hooks)]:
        click.echo(table(sorted(rows)))


@hook.command()
@click.argument("name", metavar="NAME|ID")
@at_server
def show(name: str, url: str | None, token: str | None) -> None:
    """Print a hook with its tools and what they take as JSON."""

    async def question(server: Server) -> dict[str, Any]:
        return find(await all_hooks(server), name, "hook")

    click.echo(json.dumps(ask(url, token, question), indent=2, ensure_ascii=False))


@hook.command("rm")
@click.argument("name", metavar="NAME|ID")
@at_server
def remove(name: str, url: str | None, token: str | None) -> None:
    """Forget a remote hook; chains that use it fail from then on."""

    async def question(server: Server) -> Any:
        found = find(await every(server, "/hooks/remote"), name, "remote hook")
        return await say(server, "DELETE", "hooks", "remote", found["id"])

    click.echo(f"{ask(url, token, question)} {name}")


@hook.command()
@click.argument("target", metavar="NAME|URL|FILE")
@_of_service
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@at_server
def lint(target: str, *, as_json: bool, url: str | None, token: str | None, **options: Any) -> None:
    """Say what models are told of a hook's tools, what that costs, and what could be better.

    Looks at a hook, at the service at a URL, or at an OpenAPI document in a file.  The exit code
    is 1 when something of it cannot be used.
    """
    from runtime_core.cli.lint import report

    calling = _calling(**options) if any(options.values()) else {}
    if calling and "://" not in target:
        raise click.UsageError("how a service is called can be said of a URL only")
    body = _service_to_lint(target, calling) or _document_to_lint(target) or {"name": target}

    async def question(server: Server) -> Any:
        return await say(server, "POST", "hooks", "lint", body=body)

    found = ask(url, token, question)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(report(found)))
    if found["problems"]:
        raise SystemExit(FAILED)


@hook.command()
@click.argument("tool", metavar="HOOK.TOOL")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--json", "document", metavar="OBJECT", help="Arguments as one JSON object.")
@click.option("--input", "given", metavar="TEXT", help="What the tool works on, as in a chain.")
@at_server
def call(
    tool: str,
    arguments: tuple[str, ...],
    document: str | None,
    given: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Call a tool, as a chain's task does, and print its result.

    Values are read as the types that the tool's parameters have.
    """
    pairs, whole = pairs_of(arguments), _object(document)
    name, _, function = tool.rpartition(".")
    if not name or not function:
        raise click.UsageError(f"{tool!r} names no tool: write HOOK.TOOL, see runtime hook list")

    async def question(server: Server) -> Any:
        parameters = await parameters_of(server, name, function) if pairs else None
        typed = arguments_of(pairs, parameters, tool)
        chain, variables = call_chain(name, function, whole | typed)
        body = {"chain": chain, "input": given, "templateVars": variables}
        return await output_of(server, body)

    result = ask(url, token, question)
    terminal = Terminal()
    is_text = isinstance(result, str)
    terminal.write(result if is_text else json.dumps(result, indent=2, ensure_ascii=False))
    terminal.end_line()


def _calling(
    *,
    headers: tuple[str, ...],
    injected: str | None,
    timeout: int | None,
    document_url: str | None,
) -> dict[str, Any]:
    """Return the fields that say how a service is called."""
    body: dict[str, Any] = {"timeoutMs": timeout or _TIMEOUT_MS}
    if headers:
        body["headers"] = _pairs(headers, "--header", "=:")
    if injected:
        place, colon, rest = injected.partition(":")
        if place not in _PLACES or not colon:
            places = ", ".join(_PLACES)
            raise click.UsageError(f"--property: write IN:NAME=VALUE; IN is one of {places}")
        ((name, value),) = _pairs((rest,), "--property", "=").items()
        body["properties"] = {"in": place, "name": name, "value": value}
    if document_url:
        body["documentUrl"] = document_url
    return body


def _pairs(given: tuple[str, ...], option: str, separators: str) -> dict[str, str]:
    """Read what an option gives; the first of *separators* ends a name."""
    pairs: dict[str, str] = {}
    for one in given:
        found = re.fullmatch(rf"([^{separators}]+)[{separators}](.*)", one, re.DOTALL)
        if found is None:
            form = "TOOL=EXPRESSION" if option == "--shape" else "NAME=VALUE"
            raise click.UsageError(f"{option} {one}: write {form}")
        if found[1].strip() in pairs:
            raise click.UsageError(f"{option}: {found[1].strip()} is given twice")
        pairs[found[1].strip()] = found[2].strip()
    return pairs


async def _register(server: Server, body: dict[str, Any]) -> Any:
    from runtime_core.cli.client import Failure

    try:
        return await say(server, "POST", "hooks", "remote", body=body)
    except Failure as error:
        if error.status != 404:
            raise
        raise Failure(f"{server.url} has no remote hooks; see there: runtime plugins") from error


async def _introduce(server: Server, name: str) -> None:
    """Say what tools a new hook has; that it has none yet is no failure of registering it."""
    from runtime_core.cli.client import Failure
    from runtime_core.cli.lint import count_of, problem_line

    for row in await say(server, "GET", "hooks", "local"):
        if row["name"] == name:
            click.echo(f"warning: {hidden_by(row)}", err=True)
            return
    try:
        found = await say(server, "POST", "hooks", "lint", body={"name": name})
    except Failure as error:
        found = {"tools": [], "problems": [{"where": "", "what": error.message}]}
    if found["tools"]:
        click.echo(count_of(found["tools"]))
    for problem in found["problems"]:
        click.echo(f"warning: {problem_line(problem)}", err=True)


def _service_to_lint(target: str, calling: dict[str, Any]) -> dict[str, Any] | None:
    if "://" not in target:
        return None
    asked = {"timeoutMs": _TIMEOUT_MS, "endpointUrl": target, **calling}
    if target.endswith(_SUFFIXES) and "documentUrl" not in asked:
        asked["documentUrl"] = target
    return asked


def _document_to_lint(target: str) -> dict[str, Any] | None:
    file = Path(target)
    # a file that only happens to have a hook's name is not meant
    if not target.endswith(_SUFFIXES) and not ("/" in target and file.is_file()):
        return None
    return {"name": file.stem, "document": _text(file)}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file}: not UTF-8 at byte {error.start}") from error


def _object(document: str | None) -> dict[str, Any]:
    if document is None:
        return {}
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--json: this is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError("--json: give an object, such as '{\"id\": 7}'")
    return found


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    from runtime_core.cli.lint import count_of

    state = count_of(one["tools"])
    if error := one.get("error"):
        state = f"out: {error}"
    elif warning := one.get("warning"):
        state = f"{state}; warning: {warning}"
    return one["name"], one["type"], one.get("endpointUrl", "-"), one.get("id", "-"), state


def _hint(body: dict[str, Any]) -> None:
    """Say where credentials belong, when some were typed."""
    values = dict(body.get("headers", {}))
    if one := body.get("properties"):
        values[one["name"]] = one["value"]
    for name, value in values.items():
        if _SENSITIVE.search(name) and "{{secret:" not in re.sub(r"\s", "", value):
            click.echo(_HINT.format(f"the value of {name}"), err=True)
