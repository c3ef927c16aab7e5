"""`Plugins`: what the plugins of one application contribute, frozen."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from packaging.utils import canonicalize_name

from runtime_core.errors import DuplicateName, PluginError, PluginLoadError
from runtime_core.plugins.calls import contribution_of
from runtime_core.plugins.contracts import names_of_tables, routes_of
from runtime_core.plugins.discovery import Candidate, Requirements, installed
from runtime_core.settings import Settings
from runtime_core.settings.errors import suggest
from runtime_core.types import BackendConfig, PluginReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runtime_core.plugins.calls import Contribution
    from runtime_core.protocols import HookSource, ProviderFactory, TaskHandler
    from runtime_core.types import TableSet

__all__ = ("Plugins",)

logger = logging.getLogger("runtime.plugins")

#: Hooks whose results have names that may be taken only once, and what such a thing is called.
_NAMED = MappingProxyType(
    {
        "register_providers": "provider",
        "register_hook_sources": "hook source",
        "register_task_handlers": "task handler",
        "register_routes": "route",
        "register_tables": "table",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """Everything that the plugins of one application contribute.

    A plugin that cannot be used is in ``reports`` with its error, and in nothing else.
    ``hook_sources`` are in the order in which they shadow each other; ``routes`` are without the
    kernel's own, ``task_handlers`` with them.  ``tables`` are by the plugin's name.  ``warnings``
    are settings that no plugin reads.
    """

    providers: Mapping[str, ProviderFactory]
    backends: Sequence[BackendConfig]
    hook_sources: Mapping[str, HookSource]
    task_handlers: Mapping[str, TaskHandler]
    routes: Sequence[Any]
    tables: Mapping[str, TableSet]
    reports: Sequence[PluginReport]
    warnings: Sequence[str] = ()

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        task_handlers: Mapping[str, TaskHandler] = MappingProxyType({}),
        routes: Sequence[object] = (),
        table_names: Sequence[str] = (),
        check_routes: Callable[[Sequence[Any]], object] | None = None,
    ) -> Self:
        """Find the installed plugins and call their hooks.

        Runs plugins' code: call it once, before the event loop's work begins.

        :param task_handlers: the kernel's own, whose names no plugin can take.
        :param routes: the kernel's own, likewise.
        :param table_names: those of the kernel's tables, likewise.
        :param check_routes: raises when one plugin's routes cannot be mounted.
        :raises PluginError: with ``settings.strict``, when a plugin cannot be used.
        """
        registry = _Registry(settings, check_routes)
        registry.claim_kernels(task_handlers, routes, table_names)
        return cls._of(installed(), registry, task_handlers)

    @classmethod
    def of(
        cls,
        plugins: Mapping[str, object],
        *,
        settings: Settings | None = None,
        task_handlers: Mapping[str, TaskHandler] = MappingProxyType({}),
        routes: Sequence[object] = (),
        table_names: Sequence[str] = (),
        check_routes: Callable[[Sequence[Any]], object] | None = None,
    ) -> Self:
        """Use these modules, or other objects with hookimpls, by name, in place of installed ones.

        :raises PluginError: as `load` does.
        """
        candidates = [_in_memory(name, plugin) for name, plugin in sorted(plugins.items())]
        registry = _Registry(settings or Settings(), check_routes)
        registry.claim_kernels(task_handlers, routes, table_names)
        return cls._of(candidates, registry, task_handlers)

    @property
    def quarantined(self) -> Sequence[PluginReport]:
        """The plugins that cannot be used."""
        return [report for report in self.reports if report.status == "quarantined"]

    @classmethod
    def _of(
        cls,
        candidates: Sequence[Candidate],
        registry: _Registry,
        task_handlers: Mapping[str, TaskHandler],
    ) -> Self:
        for candidate in candidates:
            registry.add(candidate)
        warnings = _unread(registry.settings, candidates)
        _tell(registry.reports, warnings, registry.settings)
        sources = registry.merged("register_hook_sources")
        return cls(
            providers=registry.merged("register_providers"),
            backends=registry.listed("register_backends"),
            hook_sources=MappingProxyType(dict(sorted(sources.items()))),
            task_handlers=MappingProxyType(
                {**task_handlers, **registry.merged("register_task_handlers")}
            ),
            routes=registry.listed("register_routes"),
            reports=tuple(sorted(registry.reports, key=lambda one: (one.name, one.distribution))),
            tables=registry.tables(),
            warnings=warnings,
        )


@dataclass(slots=True)
class _Registry:
    """What was taken so far, while plugins are added one by one: each as a whole or not at all."""

    settings: Settings
    check_routes: Callable[[Sequence[Any]], object] | None
    reports: list[PluginReport] = field(default_factory=list)
    _active: list[Contribution] = field(default_factory=list)
    _plugin_names: dict[str, str] = field(default_factory=dict)
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)
    _requirements: Requirements = field(default_factory=Requirements)

    def add(self, candidate: Candidate) -> None:
        """Load a plugin and report what became of it."""
        if _is_disabled(candidate, self.settings):
            self.reports.append(_report(candidate, "disabled"))
            return
        try:
            contribution = self._accepted(candidate)
        except PluginError as exc:
            logger.debug("plugin %s", candidate.owner, exc_info=exc)
            advice = exc.advice or _way_out(candidate, self.settings)
            self.reports.append(_report(candidate, "quarantined", error=exc.message, advice=advice))
            return
        self._active.append(contribution)
        self.reports.append(_report(candidate, "active", hooks=contribution.hooks))

    def claim_kernels(self, task_handlers: Any, routes: Any, table_names: Any) -> None:
        """Take the kernel's names before any plugin can."""
        self.claim("register_task_handlers", task_handlers, _KERNEL)
        self.claim("register_routes", routes, _KERNEL)
        self.claim("register_tables", table_names, _KERNEL)

    def claim(self, hook: str, result: Any, owner: str) -> None:
        """Take the names in a hook's result."""
        for name in _names(hook, result):
            self._owners[hook, name] = owner

    def merged(self, hook: str) -> Mapping[str, Any]:
        """Return the mappings of all active plugins as one."""
        found: dict[str, Any] = {}
        for one in self._active:
            found.update(one.results.get(hook, {}))
        return MappingProxyType(found)

    def listed(self, hook: str) -> Sequence[Any]:
        """Return the lists of all active plugins as one."""
        return tuple(item for one in self._active for item in one.results.get(hook, ()))

    def tables(self) -> Mapping[str, TableSet]:
        """Return the tables of the active plugins that have some, by the plugin's name."""
        found = {one.plugin: one.results.get("register_tables") for one in self._active}
        return MappingProxyType({name: tables for name, tables in found.items() if tables})

    def _accepted(self, candidate: Candidate) -> Contribution:
        if owner := self._plugin_names.get(candidate.name):
            raise DuplicateName(
                f"a plugin of the same name comes from {owner}",
                advice=_way_out(candidate, self.settings, by=candidate.distribution),
            )
        self._plugin_names[candidate.name] = f"{candidate.distribution} {candidate.version}"
        if candidate.damage:
            raise PluginLoadError(candidate.damage)
        self._requirements.check(candidate)
        contribution = contribution_of(candidate, self.settings, self.check_routes)
        results = {hook: contribution.results.get(hook, ()) for hook in _NAMED}
        if tables := contribution.results.get("register_tables"):
            results["register_tables"] = tuple(names_of_tables(candidate.name, tables))
        for hook, result in results.items():
            self._check_names(hook, result, candidate)
        for hook, result in results.items():
            self.claim(hook, result, candidate.owner)
        return contribution

    def _check_names(self, hook: str, result: Any, candidate: Candidate) -> None:
        own = set()
        for name in _names(hook, result):
            owner = candidate.owner if name in own else self._owners.get((hook, name))
            if owner:
                raise DuplicateName(
                    f"{hook}: the {_NAMED[hook]} {name!r} is taken by {owner}; "
                    f"{candidate.owner} cannot have it too"
                )
            own.add(name)


_KERNEL = "the kernel"


def _names(hook: str, result: Any) -> Iterator[str]:
    if hook != "register_routes":
        yield from result
        return
    for item in result:
        yield from routes_of(item)


def _in_memory(name: str, plugin: object) -> Candidate:
    return Candidate(name, "in memory", "0", name, lambda: plugin)


def _is_disabled(candidate: Candidate, settings: Settings) -> bool:
    """Take a plugin's name or its distribution's, which two plugins of one name do not share."""
    return candidate.name in settings.disable_plugins or canonicalize_name(
        candidate.distribution
    ) in map(canonicalize_name, settings.disable_plugins)


def _report(candidate: Candidate, status: Any, **more: Any) -> PluginReport:
    return PluginReport(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        status=status,
        **more,
    )


def _way_out(candidate: Candidate, settings: Settings, by: str = "") -> str:
    disabled = ",".join([*settings.disable_plugins, by or candidate.name])
    return (
        f"repair it, remove it (pip uninstall {candidate.distribution}), "
        f"or switch it off: RUNTIME_DISABLE_PLUGINS={disabled}"
    )


def _unread(settings: Settings, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Name the settings for plugins that are not installed."""
    names = {candidate.name for candidate in candidates}
    known = names | {canonicalize_name(candidate.distribution) for candidate in candidates}
    tables = [
        f"[plugins.{name}] is set, but no such plugin is installed{suggest(name, names)}"
        for name in settings.plugins
        if name not in names
    ]
    disabled = [
        f"RUNTIME_DISABLE_PLUGINS: no plugin {name!r} is installed{suggest(name, known)}"
        for name in settings.disable_plugins
        if name not in names and canonicalize_name(name) not in known
    ]
    return (*tables, *disabled)


def _tell(reports: Sequence[PluginReport], warnings: Sequence[str], settings: Settings) -> None:
    """Log what is out and how to get it back; in strict mode, refuse instead."""
    problems = [
        f"plugin {one.name!r} ({one.distribution} {one.version}): {one.error}. {one.advice}"
        for one in reports
        if one.status == "quarantined"
    ]
    if settings.strict and (problems or warnings):
        lines = [f"- {problem}" for problem in (*problems, *warnings)]
        raise PluginError("\n".join(["not everything can be used, and strict is set:", *lines]))
    for problem in problems:
        logger.error("quarantined: %s", problem)
    for warning in warnings:
        logger.warning("%s", warning)
