"""What the commands share: settings, logs, and how a failure is told."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from runtime_core.errors import SettingsError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime_core.settings import Settings

__all__ = (
    "FAILED",
    "MISUSED",
    "fail",
    "load_settings",
    "only_warnings",
    "read_settings",
    "startup_errors",
)

#: Exit codes: what was asked cannot be done; what was given is wrong.
FAILED, MISUSED = 1, 2


def read_settings(*, quiet: bool = False, **flags: object) -> Settings:
    """Do as `load_settings`, but a wrong setting ends the process with its message and code 2."""
    with startup_errors():
        return load_settings(quiet=quiet, **flags)


def load_settings(*, quiet: bool = False, **flags: object) -> Settings:
    """Read the settings and set up the logs.

    :param quiet: drop the logs, for a command that reports what they would say.
    :param flags: values from the command line, by field name; None is not given.
    :raises SettingsError: a value is wrong.
    """
    # Imported here so that a command's --help does without pydantic.
    from runtime_core import logs
    from runtime_core.settings import Settings

    settings = Settings.load(flags=flags)
    if quiet:
        logs.drop()
    else:
        logs.configure(settings, _request_id)
    return settings


def only_warnings(settings: Settings) -> None:
    """Keep the log's ordinary lines from mixing with what a command prints, unless asked for."""
    if settings.log_level == "info":
        logging.getLogger().setLevel(logging.WARNING)


@contextmanager
def startup_errors() -> Iterator[None]:
    """Turn what must stop the start into a message and an exit code, without a traceback."""
    try:
        yield
    except SettingsError as exc:
        fail(exc.message, MISUSED)
    except StartupError as exc:
        fail(exc.message)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say why, and end the process."""
    click.echo(f"error: {message}", err=True)
    raise SystemExit(code)


def _request_id() -> str:
    from runtime_core.http.context import request_id

    return request_id.get()
