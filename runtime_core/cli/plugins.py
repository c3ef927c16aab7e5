"""``runtime plugins``: what is installed, what is in use, what is out and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runtime_core.cli.common import read_settings, startup_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.types import PluginReport

__all__ = ("plugins",)


@click.command()
@click.option("--hooks", is_flag=True, help="List every hook with the plugins that implement it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as GET /plugins answers.")
def plugins(*, hooks: bool, as_json: bool) -> None:
    """List the installed plugins; the exit code is 1 when one is quarantined."""
    settings = read_settings(quiet=True, strict=False)
    from runtime_core.app import load_plugins

    with startup_errors():
        reports = load_plugins(settings).reports
    if as_json:
        click.echo(_as_json(reports))
    elif hooks:
        click.echo(_by_hook(reports))
    else:
        click.echo(_by_plugin(reports))
    if any(report.status == "quarantined" for report in reports):
        raise SystemExit(1)


def _as_json(reports: Sequence[PluginReport]) -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(list(reports)), indent=2)


def _by_hook(reports: Sequence[PluginReport]) -> str:
    from runtime_core.plugins import HOOKS

    lines = []
    for hook in HOOKS:
        names = [report.name for report in reports if hook in report.hooks]
        lines.append(f"{hook:<24} {', '.join(names) or '-'}")
    return "\n".join(lines)


def _by_plugin(reports: Sequence[PluginReport]) -> str:
    if not reports:
        return "no plugins are installed; the first-party ones: pip install -r requirements.txt"
    name_width = max(len(report.name) for report in reports)
    from_width = max(len(f"{one.distribution} {one.version}") for one in reports)
    lines = []
    for one in reports:
        origin = f"{one.distribution} {one.version}"
        line = f"{one.name:<{name_width}}  {origin:<{from_width}}  {one.status:<11}"
        lines.append(f"{line}  {', '.join(one.hooks)}".rstrip())
        if one.error:
            lines += [f"  {one.error}", f"  what to do: {one.advice}"]
    return "\n".join(lines)
