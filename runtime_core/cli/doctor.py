"""``runtime doctor``: is everything there that a start needs, and if not, what to do."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from runtime_core.cli.common import FAILED, load_settings
from runtime_core.cli.serve import check_port
from runtime_core.errors import (
    RuntimeCoreError,
    SettingsError,
    StartupError,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from runtime_core.app import Kernel
    from runtime_core.plugins import Plugins
    from runtime_core.settings import Settings
    from runtime_core.storage.schema import SchemaState

__all__ = ("doctor",)

PYTHON = (3, 11)
TIMEOUT_S = 10.0
TOKENIZER_TIMEOUT_S = 6.0
MEBIBYTE = 1 << 20
DISK_FAIL, DISK_WARN = 50 * MEBIBYTE, 500 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``advice`` is the way out of a warning or failure."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    detail: str
    advice: str = ""


@click.command()
def doctor() -> None:
    """Check Python, settings, plugins, database, bus, tokenizer, port, backends and disk.

    The exit code is 1 when something would keep the server from doing its work.
    """
    failed = 0
    for findings in _checks():
        failed += sum(finding.level == "fail" for finding in findings)
        _show(findings)
    if failed:
        click.echo(f"{failed} {'thing needs' if failed == 1 else 'things need'} repair")
        raise SystemExit(FAILED)
    click.echo("ready: runtime serve")


def _checks() -> Iterator[list[Finding]]:
    """Check one thing after the other, so that each line is there as soon as it is known."""
    yield [_python()]
    try:
        settings = load_settings(quiet=True, strict=False)
    except SettingsError as exc:
        yield [Finding("fail", "settings", exc.message)]
        return
    yield _settings(settings)
    yield _port(settings)
    yield _disk(settings)
    yield from _rooms(settings)


def _show(findings: Iterable[Finding]) -> None:
    for finding in findings:
        click.echo(f"{finding.level:<5} {finding.subject:<10} {finding.detail}")
        if finding.advice:
            click.echo(f"{'':<17}what to do: {finding.advice}")


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < PYTHON:
        needed = ".".join(map(str, PYTHON))
        return Finding("fail", "python", version, f"install Python {needed} or newer")
    return Finding("ok", "python", version)


def _settings(settings: Settings) -> list[Finding]:
    from runtime_core.settings import unknown_variables

    found = [
        Finding("warn", "settings", text, "rename or remove the variable")
        for text in unknown_variables(settings.environ)
    ]
    return found or [Finding("ok", "settings", "every value is allowed")]


def _port(settings: Settings) -> list[Finding]:
    from runtime_core.http import check_bind

    where = f"{settings.addr} port {settings.port}"
    try:
        check_bind(settings)
    except SettingsError as exc:
        return [Finding("fail", "port", exc.message)]
    try:
        check_port(settings.addr, settings.port)
    except StartupError as exc:
        if _answers(settings.addr, settings.port):
            return [Finding("ok", "port", f"a server answers on {where} already")]
        return [Finding("fail", "port", exc.message)]
    return [Finding("ok", "port", f"{where} is free")]


def _answers(addr: str, port: int) -> bool:
    """Say whether what listens there is a server of this kind."""
    connection = HTTPConnection(addr, port, timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _disk(settings: Settings) -> list[Finding]:
    directory = _data_directory(settings)
    if not directory.is_dir():
        return [
            Finding("fail", "directory", f"{directory} does not exist", f"mkdir -p {directory}")
        ]
    if not os.access(directory, os.W_OK | os.X_OK):
        return [
            Finding(
                "fail",
                "directory",
                f"{directory} cannot be written",
                "give this user the right, or set DATABASE_URL to another place",
            )
        ]
    free = shutil.disk_usage(directory).free
    level: Literal["ok", "warn", "fail"] = "ok"
    if free < DISK_WARN:
        level = "fail" if free < DISK_FAIL else "warn"
    advice = "" if level == "ok" else "make room, or set DATABASE_URL to another place"
    return [
        Finding("ok", "directory", f"{directory} can be written"),
        Finding(level, "disk", f"{free // MEBIBYTE} MiB free in {directory}", advice),
    ]


def _data_directory(settings: Settings) -> Path:
    """Return where a database in a file would be, else where temporary files go."""
    scheme, _, rest = settings.database_url.partition(":///")
    in_file = "://" not in scheme and rest not in ("", ":memory:")
    if not in_file or "@" in settings.database_url or "?" in rest:
        return Path(tempfile.gettempdir())
    return (Path.cwd() / rest).parent


def _rooms(settings: Settings) -> Iterator[list[Finding]]:
    """Build the server as a start would, without starting it, and try each of its parts."""
    from runtime_core.app import compose, load_plugins

    plugins = load_plugins(settings)
    yield _plugins(plugins)
    try:
        kernel = compose(settings, plugins)
    except StartupError as exc:
        yield [Finding("fail", "start", exc.message)]
        return
    yield asyncio.run(_try(kernel))


def _plugins(plugins: Plugins) -> list[Finding]:
    active = [report.name for report in plugins.reports if report.status == "active"]
    found = [Finding("ok", "plugins", f"{len(active)} active: {', '.join(active) or '-'}")]
    if not active:
        found = [Finding("warn", "plugins", "none is active", "pip install -r requirements.txt")]
    found += [
        Finding("fail", "plugins", f"{one.name} ({one.distribution}): {one.error}", one.advice)
        for one in plugins.quarantined
    ]
    return found + [Finding("warn", "plugins", text, "correct it") for text in plugins.warnings]


async def _try(kernel: Kernel) -> list[Finding]:
    checks: dict[str, Callable[[Kernel], Awaitable[Sequence[Finding]]]] = {
        "database": _database,
        "bus": _bus,
        "tokenizer": _tokenizer,
        "backends": _backends,
    }
    try:
        results = await asyncio.gather(
            *(asyncio.wait_for(check(kernel), TIMEOUT_S) for check in checks.values()),
            return_exceptions=True,
        )
    finally:
        await asyncio.gather(
            kernel.client.aclose(),
            kernel.bus.aclose(),
            kernel.database.aclose(),
            return_exceptions=True,
        )
    findings: list[Finding] = []
    for subject, result in zip(checks, results, strict=True):
        findings += [_broken(subject, result)] if isinstance(result, BaseException) else result
    return findings


def _broken(subject: str, reason: BaseException) -> Finding:
    if isinstance(reason, TimeoutError):
        return Finding(
            "fail", subject, f"no answer within {TIMEOUT_S:g} s", "is its address right?"
        )
    if isinstance(reason, RuntimeCoreError):
        return Finding("fail", subject, reason.message)
    return Finding("fail", subject, f"{type(reason).__name__}: {reason}")


async def _database(kernel: Kernel) -> list[Finding]:
    state = await kernel.database.schema()
    if state.revision is None:
        return [Finding("ok", "database", "empty: the first start makes the tables")]
    way_out = "start the newer release, or set DATABASE_URL to another database"
    found = [_schema("tables", "this program", state, way_out)]
    for name, one in (await kernel.database.plugin_schemas(kernel.plugins.tables)).items():
        way_out = f"install the newer release, or add {name} to RUNTIME_DISABLE_PLUGINS"
        found.append(_schema(f"tables of plugin {name}", "the plugin", one, way_out))
    return [*found, *await _sealing(kernel)] if state.revision == state.head else found


async def _sealing(kernel: Kernel) -> list[Finding]:
    """Say whether credentials are in the database as everybody can read them."""
    from runtime_core.app import DEFAULT_TENANT

    if kernel.settings.secret_key:
        return []
    keys = await kernel.database.provider_configs.list(DEFAULT_TENANT, limit=1)
    secrets = await kernel.database.secrets.list(DEFAULT_TENANT, limit=1)
    if not keys.items and not secrets.items:
        return []
    detail = "keys of providers and secrets are stored in clear"
    return [Finding("warn", "database", detail, "set RUNTIME_SECRET_KEY, then set them again")]


def _schema(whose: str, wants: str, state: SchemaState, way_out: str) -> Finding:
    """Compare the revision of tables with the one that is wanted."""
    there = f"{whose} are at revision {state.revision}"
    if state.revision == state.head:
        return Finding("ok", "database", there)
    if state.revision is None:
        return Finding("ok", "database", f"{whose} are not there: the next start makes them")
    if state.revision > state.head:
        return Finding("fail", "database", f"{there}, newer than {wants} ({state.head})", way_out)
    advice = "runtime migrate (a start does it too)"
    return Finding("warn", "database", f"{there}, {wants} wants {state.head}", advice)


async def _bus(kernel: Kernel) -> list[Finding]:
    try:
        await kernel.bus.ping()
    except UpstreamUnavailable as exc:
        advice = "start it, or correct RUNTIME_BUS_URL; until then replicas tell each other nothing"
        return [Finding("fail", "bus", exc.message, advice)]
    return [Finding("ok", "bus", "takes messages")]


async def _tokenizer(kernel: Kernel) -> list[Finding]:
    """Load it as a start would, and say what counts."""
    async with kernel.tokens as tokens:
        await tokens.settled(TOKENIZER_TIMEOUT_S)
        if tokens.exact:
            return [Finding("ok", "tokenizer", f"{tokens.name} counts tokens")]
        if not tokens.problem:
            return [Finding("ok", "tokenizer", "estimate: a token per four bytes")]
        detail = f"{tokens.name} {tokens.problem}; a token per four bytes is estimated instead"
        return [
            Finding("warn", "tokenizer", detail, "repair it, or set RUNTIME_TOKENIZER=estimate")
        ]


async def _backends(kernel: Kernel) -> list[Finding]:
    schema = await kernel.database.schema()
    if schema.revision == schema.head:
        await kernel.reconciler.load()
    async with kernel.catalog as catalog:
        await catalog.refresh()
        found = []
        for backend in catalog.backends:
            name = f"{backend.config.name} ({backend.config.base_url or backend.config.type})"
            if not backend.error:
                found.append(Finding("ok", "backend", f"{name}: {len(backend.models)} models"))
            elif backend.config.implicit:
                detail = f"{name}: not there; its address is a default, nobody asked for it"
                found.append(Finding("ok", "backend", detail))
            else:
                advice = "start it, or correct its address and key"
                found.append(Finding("fail", "backend", f"{name}: {backend.error}", advice))
    if any(backend.models for backend in catalog.backends):
        return found
    advice = "add a [[backends]] table to runtime.toml, or start a model server"
    return [*found, Finding("warn", "backend", "no model can be asked", advice)]
