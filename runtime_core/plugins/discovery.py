"""Which plugins are installed, and whether their own metadata lets them run here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from runtime_core._version import __version__
from runtime_core.errors import PluginIncompatible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.metadata import Distribution, EntryPoint

__all__ = ("Candidate", "check_requirements", "installed")

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
    for distribution in distributions():
        if not _mentions_group(distribution):
            continue
        name = _field(distribution, "Name")
        # The first on the path shadows others of the same name, as it does for imports.
        if not name or canonicalize_name(name) not in seen:
            seen.add(canonicalize_name(name))
            found += _candidates(distribution, name)
    return sorted(found, key=lambda one: (canonicalize_name(one.distribution), one.name))


def check_requirements(candidate: Candidate) -> None:
    """Compare the plugin's ``Requires-Dist`` with what is installed, before importing it.

    :raises PluginIncompatible: it excludes this kernel, or something it needs is not there.
    """
    for text in candidate.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as exc:
            raise PluginIncompatible(f"its metadata has a malformed requirement: {exc}") from exc
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _check(requirement, candidate)


def _check(requirement: Requirement, candidate: Candidate) -> None:
    if canonicalize_name(requirement.name) == KERNEL:
        if not requirement.specifier.contains(__version__, prereleases=True):
            raise PluginIncompatible(
                f"it needs {requirement}, this is {KERNEL} {__version__}",
                advice=f"install a version made for {KERNEL} {__version__}: "
                f"pip install --upgrade {candidate.distribution}",
            )
        return
    present = _installed_version(requirement.name)
    if present is None:
        raise PluginIncompatible(
            f"it needs {requirement}, which is not installed",
            advice=f"pip install '{requirement}'",
        )
    if not _satisfies(requirement, present):
        raise PluginIncompatible(
            f"it needs {requirement}, installed is {present}",
            advice=f"pip install '{requirement}'",
        )


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _satisfies(requirement: Requirement, present: str) -> bool:
    try:
        return requirement.specifier.contains(present, prereleases=True)
    except InvalidVersion:
        return not requirement.specifier


def _mentions_group(distribution: Distribution) -> bool:
    """Look before parsing: most installed distributions are no plugins."""
    try:
        return GROUP in (distribution.read_text("entry_points.txt") or "")
    except _DAMAGED:
        return False


def _field(distribution: Distribution, name: str) -> str:
    """Return a field of the metadata, "" without it."""
    try:
        # The protocol has no get() before Python 3.12, and [] warns about what is missing.
        metadata = distribution.metadata
        return metadata[name] if name in metadata else ""  # noqa: SIM401
    except _DAMAGED:
        return ""


def _candidates(distribution: Distribution, name: str) -> Iterator[Candidate]:
    name, version = name or _UNNAMED, _field(distribution, "Version")
    try:
        if name == _UNNAMED or not version:
            raise ValueError("it has no Name or no Version")
        points = [point for point in distribution.entry_points if point.group == GROUP]
        for point in points:
            yield _candidate(point, name, version, distribution.requires or ())
    except _DAMAGED as exc:
        damage = f"its metadata cannot be read: {type(exc).__name__}: {exc}"
        yield Candidate(name, name, version or "?", "", object, damage=damage)


def _candidate(
    point: EntryPoint, distribution: str, version: str, requires: Sequence[str]
) -> Candidate:
    damage = ""
    if not point.pattern.match(point.value):
        damage = f"its entry point {point.value!r} is not of the form module or module:object"
    return Candidate(point.name, distribution, version, point.value, point.load, requires, damage)
