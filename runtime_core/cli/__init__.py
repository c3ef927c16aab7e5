"""The ``runtime`` command; each of its commands is imported when it is asked for.

To add one: a module here with a click command, and a line in `COMMANDS`.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from runtime_core._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("COMMANDS", "runtime")

#: Name → where the command is (``module:attribute``) and its line in ``runtime --help``.
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "demo": (
            "runtime_core.cli.demo:demo",
            "Start the server, show an answer, say what to try.",
        ),
        "serve": ("runtime_core.cli.serve:serve", "Start the server."),
        "run": ("runtime_core.cli.run:run", "Run a prompt through a chain."),
        "chat": ("runtime_core.cli.chat:chat", "Hold a conversation in the terminal."),
        "chain": ("runtime_core.cli.chain:chain", "Check, store, list, show and delete chains."),
        "backend": (
            "runtime_core.cli.backend:backend",
            "Register, list, show and delete backends.",
        ),
        "model": ("runtime_core.cli.model:model", "Declare, list, delete and fetch models."),
        "group": ("runtime_core.cli.group:group", "Say which backends serve which models."),
        "hook": ("runtime_core.cli.hook:hook", "Register, look at and call hooks and their tools."),
        "secret": ("runtime_core.cli.secret:secret", "Store, list and delete secrets of hooks."),
        "plugins": ("runtime_core.cli.plugins:plugins", "List the installed plugins."),
        "doctor": ("runtime_core.cli.doctor:doctor", "Check that everything needed is there."),
        "migrate": ("runtime_core.cli.migrate:migrate", "Bring the database's tables up to date."),
    }
)


class LazyGroup(click.Group):
    """Knows its commands by name, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command *cmd_name*."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: Any = getattr(import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="runtime", message="%(prog)s %(version)s")
def runtime() -> None:
    """Turn language models, tools, events and functions into workflows other software can call.

    Settings come from the environment and from runtime.toml in the current directory.
    """
