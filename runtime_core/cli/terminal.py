"""What models write, on its way to somebody's terminal."""

from __future__ import annotations

import io
import sys

import click

__all__ = ("INTERRUPTED", "Terminal")

#: The exit code of a command that Ctrl-C ended, as shells have it.
INTERRUPTED = 130

#: Characters that move the cursor, colour what follows, or worse; line breaks and tabs may stay.
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))


class Terminal:
    """Writes an answer piece by piece to standard output.

    A terminal gets no control characters: a model's text must not act on it.  A file or a pipe
    gets the text as it is.
    """

    def __init__(self) -> None:
        self._guarded = sys.stdout.isatty()
        #: Whether the line begun last is still without its end.
        self.midline = False
        if isinstance(sys.stdout, io.TextIOWrapper):
            # a terminal that knows few characters is no reason to lose an answer
            sys.stdout.reconfigure(errors="replace")

    def write(self, text: str) -> None:
        """Write a piece."""
        if self._guarded:
            text = text.translate(_CONTROL)
        if text:
            click.echo(text, nl=False)
            self.midline = not text.endswith("\n")

    def end_line(self) -> None:
        """Begin a new line, unless one has just begun."""
        if self.midline:
            click.echo()
            self.midline = False
