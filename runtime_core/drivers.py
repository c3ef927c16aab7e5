"""Exactly one of a kind, by the name a setting gives; the only module that knows stevedore."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from stevedore import DriverManager

from runtime_core.errors import DriverNotFound
from runtime_core.settings.errors import suggest

__all__ = ("driver_names", "load_driver")

_GROUP = "runtime_core.drivers."


def load_driver(kind: str, name: str) -> Any:
    """Return the class or factory that an installed distribution registers as *name*.

    :param kind: what it drives: ``database``, ``bus``, ...
    :raises DriverNotFound: there is none, or more than one, or it cannot be imported.
    """
    found = [point for point in _installed(kind) if point.name == name]
    if not found:
        raise DriverNotFound(_unknown(kind, name))
    if len(found) > 1:
        raise DriverNotFound(
            f"{kind} driver {name!r} comes from more than one distribution: "
            f"{', '.join(sorted(map(_owner, found)))}; uninstall all but one"
        )
    try:
        return _Drivers(_GROUP + kind, name, on_missing_entrypoints_callback=None).driver
    # Loading a plugin: whatever its import raises, the reason belongs into one message.
    except (Exception, SystemExit) as exc:
        others = [other for other in driver_names(kind) if other != name]
        raise DriverNotFound(
            f"{kind} driver {name!r} ({_owner(found[0])}) cannot be imported: "
            f"{type(exc).__name__}: {exc}; repair its installation, or choose another: "
            f"{', '.join(others) or 'there is no other'}"
        ) from exc


def driver_names(kind: str) -> list[str]:
    """Return the names of the installed drivers of a kind."""
    return sorted({point.name for point in _installed(kind)})


class _Drivers(DriverManager[Any]):
    """Reads the installed metadata itself.

    stevedore's own way is a cache in the home directory and another in the process; both go on
    naming a distribution's old drivers after it was reinstalled.
    """

    def list_entry_points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.namespace))


def _installed(kind: str) -> list[EntryPoint]:
    return list(entry_points(group=_GROUP + kind))


def _unknown(kind: str, name: str) -> str:
    known = driver_names(kind)
    return (
        f"no {kind} driver {name!r} is installed{suggest(name, known) or '.'} "
        f"Installed: {', '.join(known) or 'none'}. Correct the {kind} setting, or install a "
        f"distribution with an entry point {name!r} in the group {_GROUP}{kind}"
    )


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
