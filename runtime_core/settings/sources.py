"""Where settings come from: a command line's flags, variables, and ``runtime.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime_core.settings.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ("ALIASES", "Given", "gather", "mistyped", "written")

CONFIG_FILE = "runtime.toml"
CONFIG_VARIABLE = "RUNTIME_CONFIG"
_PREFIX = "RUNTIME_"

# Variables that are no setting of the kernel's but start like one.
_OTHER_VARIABLES = frozenset({CONFIG_VARIABLE})

# Names from before the RUNTIME_ prefix; where both are set, the prefixed one wins.
ALIASES: Mapping[str, str] = {
    "addr": "ADDR",
    "bus_url": "NATS_URL",
    "chat_model": "CHAT_MODEL",
    "chat_model_context_length": "CHAT_MODEL_CONTEXT_LENGTH",
    "chat_provider": "CHAT_PROVIDER",
    "database_url": "DATABASE_URL",
    "embed_model": "EMBED_MODEL",
    "embed_model_context_length": "EMBED_MODEL_CONTEXT_LENGTH",
    "embed_provider": "EMBED_PROVIDER",
    "port": "PORT",
    "task_model": "TASK_MODEL",
    "task_model_context_length": "TASK_MODEL_CONTEXT_LENGTH",
    "task_provider": "TASK_PROVIDER",
    "token": "TOKEN",
}


@dataclass(frozen=True, slots=True)
class Given:
    """A value and its name as the user wrote it."""

    value: object
    written: str


def gather(
    fields: Collection[str],
    environ: Mapping[str, str],
    directory: Path | None,
    flags: Mapping[str, object],
) -> tuple[dict[str, Given], list[str]]:
    """Return the given value of each field that has one, and what is wrong with the file.

    A flag beats a variable, which beats the file.
    """
    variables = _variables(environ)
    given, problems = _from_file(variables, directory or Path.cwd())
    given |= _from_variables(variables, fields)
    given |= {
        name: Given(value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    }
    return given, problems + _refuse_environ(given)


def written(given: Mapping[str, Given], loc: Sequence[str | int]) -> str:
    """Return a value's name: the top-level one as written, then the way into the table."""
    top = given[str(loc[0])].written
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    name, _, place = top.partition(" in ")
    return f"{name}{inner} in {place}" if place else f"{name}{inner}"


def mistyped(environ: Mapping[str, str], fields: Collection[str]) -> list[str]:
    """Name the variables that are no field but look like one, each with the one that was meant."""
    known = {name.upper() for name in fields}
    known |= {name.removeprefix(_PREFIX) for name in _OTHER_VARIABLES}
    words = {
        name: name.upper().removeprefix(_PREFIX)
        for name in sorted(environ)
        if name.upper().startswith(_PREFIX)
    }
    return [
        f"{name} is not a setting{hint}"
        for name, word in words.items()
        if word not in known and (hint := suggest(word, known, prefix=_PREFIX))
    ]


def _variables(environ: Mapping[str, str]) -> dict[str, Given]:
    """Return the variables by upper-case name, which wins over others; empty ones are not set."""
    found = {}
    for name in sorted(environ, key=str.isupper):
        if value := environ[name].strip():
            found[name.upper()] = Given(value, name)
    return found


def _from_variables(variables: Mapping[str, Given], fields: Collection[str]) -> dict[str, Given]:
    found = {}
    for field in fields:
        for name in (f"{_PREFIX}{field.upper()}", ALIASES.get(field, "")):
            if one := variables.get(name):
                found[field] = one
                break
    return found


def _from_file(
    variables: Mapping[str, Given], directory: Path
) -> tuple[dict[str, Given], list[str]]:
    """Return what the file says, and what is wrong with the file itself."""
    named = variables.get(CONFIG_VARIABLE)
    path = directory / str(named.value if named else CONFIG_FILE)
    if not named and not path.exists():
        return {}, []
    where = f"{CONFIG_VARIABLE}: {path}" if named else str(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        return {}, [f"{where}: cannot be read: {exc.strerror}; name a TOML file"]
    except UnicodeDecodeError as exc:
        return {}, [f"{where}: is not UTF-8 at byte {exc.start}; save it as UTF-8"]
    except tomllib.TOMLDecodeError as exc:
        return {}, [f"{where}: is not TOML: {exc}"]
    return {name: Given(value, f"{name} in {path}") for name, value in table.items()}, []


def _refuse_environ(given: dict[str, Given]) -> list[str]:
    """Take out the one field that only the process itself provides."""
    refused = given.pop("environ", None)
    return [f"{refused.written}: is not a setting"] if refused else []
