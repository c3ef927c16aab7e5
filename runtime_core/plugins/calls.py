"""Import one plugin, check its hookimpls against the hookspecs, call them."""

from __future__ import annotations

import importlib
import inspect
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from pydantic import ValidationError

import runtime_core
from runtime_core import hookspecs
from runtime_core._markers import PROJECT
from runtime_core.errors import PluginError, PluginInvalid, PluginLoadError
from runtime_core.plugins.contracts import CHECKS, check_table_names
from runtime_core.plugins.guard import Failed, Overdue, run_within
from runtime_core.settings.errors import explain, suggest
from runtime_core.types import PluginContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel

    from runtime_core.plugins.discovery import Candidate
    from runtime_core.settings import Settings

__all__ = ("Contribution", "contribution_of")

_MARKER = f"{PROJECT}_impl"
_LONGEST = 300

# Frames of these belong to the way to the plugin's code.
_NOT_THE_PLUGINS = (
    str(Path(runtime_core.__file__).parent),
    str(Path(pluggy.__file__).parent),
    str(Path(importlib.__file__).parent),
    "<frozen importlib",
)


@dataclass(slots=True)
class Contribution:
    """Everything one plugin returned, by hook, checked; ``stage`` is what it is at."""

    plugin: str
    hooks: tuple[str, ...] = ()
    results: dict[str, Any] = field(default_factory=dict)
    stage: str = "importing it"


def contribution_of(
    candidate: Candidate,
    settings: Settings,
    check_routes: Callable[[Sequence[Any]], object] | None = None,
) -> Contribution:
    """Load a plugin and call its hooks, within the time budget; all of it or nothing.

    :param check_routes: raises when the plugin's routes cannot be mounted.
    :raises PluginError: with the reason; the plugin's code may have run in part.
    """
    made = Contribution(candidate.name, stage=f"importing {candidate.target}")

    def work() -> None:
        _collect(candidate, settings, made)
        if check_routes and (routes := made.results.get("register_routes")):
            made.stage = "mounting its routes"
            check_routes(routes)

    outcome = run_within(settings.plugin_timeout, work, name=f"plugin {candidate.name}")
    if isinstance(outcome, Overdue):
        raise PluginLoadError(
            f"{made.stage} took longer than {settings.plugin_timeout:g} s "
            "(RUNTIME_PLUGIN_TIMEOUT); imports and hooks declare, they do not wait"
        )
    if isinstance(outcome, Failed):
        raise _error(outcome.reason, made.stage) from outcome.reason
    return made


def _collect(candidate: Candidate, settings: Settings, made: Contribution) -> None:
    module = candidate.load()
    made.stage = "checking its hooks"
    manager = _registered(module, candidate.name)
    made.hooks = tuple(hook for hook in CHECKS if getattr(manager.hook, hook).get_hookimpls())
    context = PluginContext(candidate.name, environ=settings.environ)
    table = settings.plugins.get(candidate.name, {})
    if table and "settings_model" not in made.hooks:
        raise PluginInvalid(f"[plugins.{candidate.name}] is set, but this plugin has no settings")
    for hook in made.hooks:
        made.stage = hook
        made.results[hook] = value = _call(manager, hook, context)
        if hook == "settings_model":
            checked = _plugin_settings(value, table, candidate.name)
            context = PluginContext(candidate.name, checked, settings.environ)
    _check_backend_types(made.results)
    if tables := made.results.get("register_tables"):
        check_table_names(candidate.name, tables)


def _registered(module: object, name: str) -> pluggy.PluginManager:
    """Return a manager that knows this plugin and nothing else: no plugin can affect another."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name)
    except pluggy.PluginValidationError as exc:
        # The rest of pluggy's first line is the plugin's name, which the caller says already.
        raise PluginInvalid(" ".join(str(exc).split("\n")[1:]) or str(exc)) from exc
    for hook, caller in vars(manager.hook).items():
        for impl in caller.get_hookimpls():
            _check_hookimpl(hook, impl, known=caller.has_spec())
        if len(caller.get_hookimpls()) > 1:
            raise PluginInvalid(f"{hook} is implemented twice")
    _check_undecorated(module)
    return manager


def _check_hookimpl(hook: str, impl: pluggy.HookImpl, *, known: bool) -> None:
    if not known and not impl.optionalhook:
        raise PluginInvalid(f"there is no hook {hook}{suggest(hook, CHECKS)}")
    if impl.wrapper or impl.hookwrapper:
        raise PluginInvalid(f"{hook} must not be a wrapper: no plugin changes another's results")
    function = impl.function
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginInvalid(f"{hook} must not be async; await in the objects it returns")


def _check_undecorated(module: object) -> None:
    for hook in CHECKS:
        found = inspect.getattr_static(module, hook, None)
        if (
            inspect.isfunction(found)
            and found.__module__ == getattr(module, "__name__", None)
            and not hasattr(found, _MARKER)
        ):
            raise PluginInvalid(f"{hook} is not decorated with @hookimpl")


def _call(manager: pluggy.PluginManager, hook: str, context: PluginContext) -> Any:
    caller = getattr(manager.hook, hook)
    arguments = {"context": context} if "context" in caller.spec.argnames else {}
    results: Sequence[object] = caller(**arguments)
    # pluggy leaves None out of its results.
    value = results[0] if results else None
    try:
        return CHECKS[hook](value)
    except PluginInvalid as exc:
        raise PluginInvalid(f"{hook}: {exc.message}") from exc


def _plugin_settings(model: type[BaseModel], table: Mapping[str, Any], name: str) -> BaseModel:
    problems = []
    if model.model_config.get("extra", "ignore") == "ignore":
        known = {field.alias or key for key, field in model.model_fields.items()}
        known |= set(model.model_fields)
        problems = [
            f"[plugins.{name}].{key}: is not a setting{suggest(key, known)}"
            for key in table
            if key not in known
        ]
    try:
        settings = model.model_validate(table)
    except ValidationError as exc:
        problems += explain(exc, model, lambda loc: f"[plugins.{name}].{'.'.join(map(str, loc))}")
    if problems:
        raise PluginInvalid("; ".join(problems), advice=f"correct [plugins.{name}]")
    return settings


def _check_backend_types(results: Mapping[str, Any]) -> None:
    own = results.get("register_providers", {})
    for backend in results.get("register_backends", ()):
        if backend.type not in own:
            raise PluginInvalid(
                f"register_backends: backend {backend.name!r} is of type {backend.type!r}, "
                "which this plugin does not provide"
            )


def _error(reason: BaseException, stage: str) -> PluginError:
    """Say what the plugin raised, and where in its code."""
    if isinstance(reason, PluginError):
        return reason
    kind = PluginLoadError if stage.startswith("importing") else PluginInvalid
    return kind(f"{stage} raised {_in_words(reason)}{_where(reason)}")


def _in_words(reason: BaseException) -> str:
    if isinstance(reason, SyntaxError):
        return f"{type(reason).__name__}: {reason.msg}"
    text = " ".join("".join(traceback.format_exception_only(reason)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _where(reason: BaseException) -> str:
    if isinstance(reason, SyntaxError):
        return f" ({reason.filename}, line {reason.lineno})"
    for frame in reversed(traceback.extract_tb(reason.__traceback__)):
        if not frame.filename.startswith(_NOT_THE_PLUGINS):
            return f" ({frame.filename}, line {frame.lineno})"
    return ""
