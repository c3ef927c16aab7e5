"""Which plugins are installed, and whether their own metadata lets them run here."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from runtime_core._version import __version__
from runtime_core.errors import PluginIncompatible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from email.message import Message
    from importlib.metadata import Distribution, EntryPoint

__all__ = ("Candidate", "Requirements", "installed")

GROUP = "runtime_core.plugins"
KERNEL = "runtime-core"
_UNNAMED = "unnamed"

# What reading the files of a damaged installation raises.
_DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin before it was imported; ``damage`` says why its metadata cannot be read."""

    name: str
    distribution: str
    version: str
    target: str
    load: Callable[[], object]
    requires: Sequence[str] = ()
    damage: str = ""

    @property
    def owner(self) -> str:
        """The plugin's name and where it comes from, for messages."""
        return f"{self.name!r} ({self.distribution} {self.version})"


def installed() -> list[Candidate]:
    """Return every installed plugin, in the order of their distributions' names."""
    seen: set[str] = set()
    found: list[Candidate] = []
    for one in distributions():
        if not _mentions_group(one):
            continue
        headers = _headers(one)
        name = canonicalize_name(headers["Name"] or "")
        # The first on the path shadows others of the same name, as it does for imports.
        if not name or name not in seen:
            seen.add(name)
            found += _candidates(one, headers)
    return sorted(found, key=lambda one: (canonicalize_name(one.distribution), one.name))


class Requirements:
    """Compares plugins' ``Requires-Dist`` with what is installed, before they are imported.

    Looks up each installed version once, so make a new one for each start.
    """

    def __init__(self) -> None:
        self._version = cache(_installed_version)

    def check(self, candidate: Candidate) -> None:
        """Check what a plugin needs.

        :raises PluginIncompatible: it excludes this kernel, or something it needs is not there.
        """
        for text in candidate.requires:
            try:
                requirement = Requirement(text)
            except InvalidRequirement as exc:
                message = f"its metadata has a malformed requirement: {exc}"
                raise PluginIncompatible(message) from exc
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                self._check(requirement, candidate)

    def _check(self, requirement: Requirement, candidate: Candidate) -> None:
        if canonicalize_name(requirement.name) == KERNEL:
            if not requirement.specifier.contains(__version__, prereleases=True):
                raise PluginIncompatible(
                    f"it needs {requirement}, this is {KERNEL} {__version__}",
                    advice=f"install a version made for {KERNEL} {__version__}: "
                    f"pip install --upgrade {candidate.distribution}",
                )
            return
        present = self._version(requirement.name)
        if present is None or not _satisfies(requirement, present):
            state = f"installed is {present}" if present else "which is not installed"
            raise PluginIncompatible(
                f"it needs {requirement}, {state}", advice=f"pip install '{requirement}'"
            )


def _installed_version(name: str) -> str | None:
    try:
        return _headers(distribution(name))["Version"]
    except PackageNotFoundError:
        return None


def _satisfies(requirement: Requirement, present: str) -> bool:
    try:
        return requirement.specifier.contains(present, prereleases=True)
    except InvalidVersion:
        return not requirement.specifier


def _mentions_group(installed: Distribution) -> bool:
    """Look before parsing: most installed distributions are no plugins."""
    try:
        return GROUP in (installed.read_text("entry_points.txt") or "")
    except _DAMAGED:
        return False


def _headers(installed: Distribution) -> Message:
    """Return the metadata without its description, whose parsing would take the most time."""
    text = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    return HeaderParser().parsestr(text, headersonly=True)


def _candidates(installed: Distribution, headers: Message) -> Iterator[Candidate]:
    name, version = headers["Name"] or _UNNAMED, headers["Version"] or "?"
    try:
        if name == _UNNAMED or version == "?":
            raise ValueError("it has no Name or no Version")
        for point in installed.entry_points:
            if point.group == GROUP:
                requires = headers.get_all("Requires-Dist", [])
                yield _candidate(point, name, version, requires)
    except _DAMAGED as exc:
        damage = f"its metadata cannot be read: {type(exc).__name__}: {exc}"
        yield Candidate(name, name, version, "", object, damage=damage)


def _candidate(
    point: EntryPoint, distribution: str, version: str, requires: Sequence[str]
) -> Candidate:
    damage = ""
    if not point.pattern.match(point.value):
        damage = f"its entry point {point.value!r} is not of the form module or module:object"
    return Candidate(point.name, distribution, version, point.value, point.load, requires, damage)
