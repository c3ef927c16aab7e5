"""Go's ``printf`` for the verbs that templates use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runtime_core.engine.templates.fields import kind, text
from runtime_core.engine.values import json_text
from runtime_core.errors import TemplateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime_core.engine.templates.budget import Budget

__all__ = ("printf",)

_VERB = re.compile(
    r"%(?P<flags>[-+ 0#]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.|$)", re.DOTALL
)
#: Widths and precisions beyond this are somebody's attack or mistake.
_WIDEST = 1_000


def printf(form: object, arguments: Sequence[object], budget: Budget) -> str:
    """Format *arguments* after *form*: ``%s %v %q %d %x %X %o %b %c %t %e %f %g %%`` and widths.

    :raises TemplateFailed: an argument is missing, left over, or not what its verb needs.
    """
    if not isinstance(form, str):
        raise TemplateFailed(f"printf needs a format first, got {kind(form)}")
    rest = list(reversed(arguments))
    made = _VERB.sub(lambda found: _format(found, rest, budget), form)
    if rest:
        raise TemplateFailed(f"printf {form!r} leaves {len(rest)} of its arguments over")
    budget.text(len(made))
    return made


def _format(found: re.Match[str], rest: list[object], budget: Budget) -> str:
    verb = found["verb"]
    if verb == "%":
        return "%"
    write = _VERBS.get(verb)
    if write is None:
        raise TemplateFailed(f"printf does not know {found[0]!r}: use one of %{' %'.join(_VERBS)}")
    if not rest:
        raise TemplateFailed(f"printf has no argument left for {found[0]!r}")
    width, precision = int(found["width"][:5] or 0), found["precision"]
    if width > _WIDEST or int((precision or "0")[:5]) > _WIDEST:
        raise TemplateFailed(
            f"printf makes fields of at most {_WIDEST} characters, not {found[0]!r}"
        )
    argument = rest.pop()
    if verb in "svq":
        argument = budget.write(argument)
    made = write(argument, None if precision is None else int(precision or 0), found["flags"])
    budget.text(len(made))
    return _padded(made, found["flags"], width, numeric=verb in "dxXobeEfFgG")


def _padded(made: str, flags: str, width: int, *, numeric: bool) -> str:
    if numeric and "+" in flags and not made.startswith("-"):
        made = f"+{made}"
    elif numeric and " " in flags and not made.startswith("-"):
        made = f" {made}"
    if "-" in flags:
        return made.ljust(width)
    return made.zfill(width) if "0" in flags and numeric else made.rjust(width)


def _string(value: Any, precision: int | None, flags: str) -> str:
    return str(value) if precision is None else str(value)[:precision]


def _quoted(value: object, precision: int | None, flags: str) -> str:
    return json_text(value)


def _boolean(value: object, precision: int | None, flags: str) -> str:
    if not isinstance(value, bool):
        raise TemplateFailed(f"printf %t needs a boolean, got {kind(value)}")
    return text(value)


def _character(value: object, precision: int | None, flags: str) -> str:
    code = _whole(value, "c")
    if not 0 <= code <= 0x10FFFF:
        raise TemplateFailed(f"printf %c needs a character's code, got {code}")
    return chr(code)


def _integer(verb: str) -> Callable[[object, int | None, str], str]:
    def write(value: object, precision: int | None, flags: str) -> str:
        if verb in "xX" and isinstance(value, str):
            return value.encode().hex() if verb == "x" else value.encode().hex().upper()
        number = _whole(value, verb)
        return f"{number:#{verb}}" if "#" in flags else f"{number:{verb}}"

    return write


def _float(verb: str) -> Callable[[object, int | None, str], str]:
    def write(value: object, precision: int | None, flags: str) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TemplateFailed(f"printf %{verb} needs a number, got {kind(value)}")
        if precision is None and verb in "gG":
            return json_text(value)
        try:
            return f"{value:.{6 if precision is None else precision}{verb}}"
        except OverflowError as error:
            raise TemplateFailed(f"printf %{verb}: the number is too large") from error

    return write


def _whole(value: Any, verb: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TemplateFailed(f"printf %{verb} needs a whole number, got {kind(value)}")
    return value


_VERBS: dict[str, Callable[[object, int | None, str], str]] = {
    **{"s": _string, "v": _string, "q": _quoted, "t": _boolean, "c": _character},
    **{verb: _integer(verb) for verb in "dxXob"},
    **{verb: _float(verb) for verb in "eEfFgG"},
}
