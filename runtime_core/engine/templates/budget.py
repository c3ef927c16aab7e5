"""What one rendering may cost, so that no template, however hostile, holds the server up."""

from __future__ import annotations

import time
from typing import Any

from jinja2 import Undefined

from runtime_core.engine.templates.fields import text
from runtime_core.errors import TemplateFailed

__all__ = ("MAX_TEXT", "Budget")

#: Steps (about one node of the template, executed once) of one rendering.
MAX_STEPS = 500_000
#: Characters of one rendering, and of any text made on the way.
MAX_TEXT = 16 * 1024 * 1024
#: Processor time of one rendering, in seconds: the backstop behind the other two.
MAX_SECONDS = 0.5
#: Bits of a whole number.
MAX_BITS = 4096

_STEPS_BETWEEN_CHECKS = 20_000
_CHARGES_BETWEEN_CHECKS = 16
#: Characters that count as one step where text is handled as a whole, and where it is made of data.
_TEXT_STEP = 1024
_JSON_STEP = 32


class Budget:
    """The running account of one rendering."""

    __slots__ = ("_charges", "_next_check", "_started", "_steps")

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._next_check = MAX_STEPS
        self._charges = 0
        self._started: float | None = None

    def charge(self, steps: int) -> None:
        """Take *steps* from the account.

        :raises TemplateFailed: the steps, or the processor time, are used up.
        """
        self._steps -= steps
        self._charges += 1
        if self._steps < self._next_check or self._charges >= _CHARGES_BETWEEN_CHECKS:
            self._check()

    def charge_for(self, value: object) -> None:
        """Take what handling *value* as a whole costs."""
        if isinstance(value, str):
            self.charge(1 + len(value) // _TEXT_STEP)
        elif isinstance(value, (list, tuple, dict)):
            self.charge(1 + len(value))
        else:
            self.charge(1)

    def write(self, value: object) -> str:
        """Return the text a value is rendered as, and take what making it costs."""
        if isinstance(value, str):
            self.charge(1 + len(value) // _TEXT_STEP)
            return value
        made = text(value)
        self.charge(1 + len(made) // _JSON_STEP)
        return made

    def text(self, length: int) -> None:
        """Refuse a text of *length* characters that is too long to be made.

        :raises TemplateFailed: it is.
        """
        if length > MAX_TEXT:
            raise TemplateFailed(
                f"the template makes a text of more than {MAX_TEXT} characters (its text budget)"
            )
        self.charge(1 + length // _TEXT_STEP)

    def built(self, data: Any) -> Any:
        """Measure a list or object the template built, and return it.

        A few lines can nest lists in lists until they unfold to more than any memory: what is
        built is therefore measured unfolded.
        """
        nodes, characters = self._measure(data, 0, 0)
        self.charge(nodes)
        self.text(characters)
        return data

    def number(self, number: Any) -> Any:
        """Refuse a whole number that is too large, and return the others.

        :raises TemplateFailed: it is.
        """
        if isinstance(number, int) and number.bit_length() > MAX_BITS:
            raise TemplateFailed(f"the template makes a number of more than {MAX_BITS} bits")
        return number

    def _measure(self, data: object, nodes: int, characters: int) -> tuple[int, int]:
        nodes += 1
        if nodes > self._steps:
            self.charge(nodes)
        if isinstance(data, str):
            return nodes, characters + len(data)
        if isinstance(data, Undefined):
            raise TemplateFailed(data._undefined_message)
        if isinstance(data, dict):
            characters += sum(map(len, data))
            data = data.values()
        elif not isinstance(data, (list, tuple)):
            return nodes, characters
        for item in data:
            nodes, characters = self._measure(item, nodes, characters)
        return nodes, characters

    def _check(self) -> None:
        self._next_check = self._steps - _STEPS_BETWEEN_CHECKS
        self._charges = 0
        if self._steps < 0:
            raise TemplateFailed(
                f"the template takes more than {MAX_STEPS} steps (its step budget): loop over less"
            )
        # the thread's own time: a busy machine must not fail a harmless template
        now = time.thread_time()
        if self._started is None:
            self._started = now
        elif now - self._started > MAX_SECONDS:
            raise TemplateFailed(
                f"the template computes for more than {MAX_SECONDS} seconds (its time budget)"
            )
