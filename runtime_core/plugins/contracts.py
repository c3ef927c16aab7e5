"""What each hook must return, checked once, while starting.

A checker takes what a hookimpl returned and gives back a frozen copy, or raises
`PluginInvalid` with words for the plugin's author.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from runtime_core.errors import PluginInvalid
from runtime_core.protocols import HookSource
from runtime_core.types import DATA_TYPES, BackendConfig, TableSet, table_prefix, version_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ("CHECKS", "HOOKS", "check_table_names", "names_of_tables", "routes_of")

_DATA_TYPES = ", ".join(sorted(DATA_TYPES))


def _settings_model(value: object) -> type[BaseModel]:
    if not (isinstance(value, type) and issubclass(value, BaseModel)):
        raise PluginInvalid(f"must return a pydantic model class, not {_kind(value)}")
    if needed := [name for name, field in value.model_fields.items() if field.is_required()]:
        raise PluginInvalid(f"every field of its model needs a default: {', '.join(needed)}")
    return value


def _providers(value: object) -> Mapping[str, Any]:
    found = _mapping(value, "provider factories by backend type")
    for name, factory in found.items():
        if not callable(factory) or inspect.iscoroutinefunction(factory):
            raise PluginInvalid(
                f"{name!r} must be a factory, an ordinary callable, not {_kind(factory)}"
            )
    return found


def _backends(value: object) -> Sequence[BackendConfig]:
    found = _sequence(value, "backends")
    for backend in found:
        if not isinstance(backend, BackendConfig):
            raise PluginInvalid(f"every item must be a BackendConfig, not {_kind(backend)}")
        texts = (backend.name, backend.type, backend.base_url)
        if not all(isinstance(text, str) for text in texts) or not (backend.name and backend.type):
            raise PluginInvalid(f"{backend!r} needs a name, a type and a base_url, as text")
    return found


def _hook_sources(value: object) -> Mapping[str, Any]:
    found = _mapping(value, "hook sources by name")
    for name, source in found.items():
        _no_class(name, source)
        if not isinstance(source, HookSource):
            raise PluginInvalid(f"{name!r} needs the methods hooks and call of a hook source")
        if not inspect.iscoroutinefunction(source.hooks):
            raise PluginInvalid(f"{name!r}: its method hooks must be async")
    return found


def _task_handlers(value: object) -> Mapping[str, Any]:
    found = _mapping(value, "task handlers by name")
    for name, handler in found.items():
        _no_class(name, handler)
        missing = [
            part
            for part in ("accepts", "returns", "transitions", "run")
            if not hasattr(handler, part)
        ]
        if missing:
            raise PluginInvalid(f"task handler {name!r} lacks {', '.join(missing)}")
        _task_handler(name, handler)
    return found


def _task_handler(name: str, handler: Any) -> None:
    if not isinstance(handler.accepts, frozenset) or not handler.accepts <= DATA_TYPES:
        raise PluginInvalid(f"task handler {name!r}: accepts must be a frozenset of {_DATA_TYPES}")
    if handler.returns is not None and handler.returns not in DATA_TYPES:
        raise PluginInvalid(f"task handler {name!r}: returns must be None or one of {_DATA_TYPES}")
    if not callable(handler.run) or inspect.iscoroutinefunction(handler.run):
        raise PluginInvalid(
            f"task handler {name!r}: run must be an async generator, yielding its outcome last"
        )


def _tables(value: object) -> TableSet:
    if not isinstance(value, TableSet):
        raise PluginInvalid(f"must return a TableSet, not {_kind(value)}")
    tables = getattr(value.metadata, "tables", None)
    if not tables:
        raise PluginInvalid("its metadata must be SQLAlchemy's, with tables in it")
    if not re.fullmatch("[0-9]{4}", value.head):
        raise PluginInvalid(f"head must be four digits such as 0001, not {value.head!r}")
    if not re.fullmatch(r"\w+(\.\w+)+", value.migrations):
        raise PluginInvalid(
            f"migrations must name a package such as runtime_acme.migrations, "
            f"not {value.migrations!r}"
        )
    for name, table in tables.items():
        key = [column.name for column in table.primary_key]
        if key[:1] != ["tenant_id"]:
            raise PluginInvalid(f"the primary key of table {name!r} must begin with tenant_id")
    return value


def check_table_names(plugin: str, tables: TableSet) -> None:
    """Raise unless every table is called like its plugin, or like it and more."""
    prefix = table_prefix(plugin)
    for name in tables.metadata.tables:
        if name != prefix and not name.startswith(f"{prefix}_"):
            raise PluginInvalid(
                f"register_tables: table {name!r} must be called {prefix!r}, or begin with "
                f"'{prefix}_'"
            )


def names_of_tables(plugin: str, tables: TableSet) -> Iterator[str]:
    """Yield the names that a plugin takes in the database."""
    yield from tables.metadata.tables
    yield version_table(plugin)


def _routes(value: object) -> Sequence[object]:
    found = _sequence(value, "route handlers, controllers or routers")
    for route in found:
        if not any(True for _ in routes_of(route)):
            raise PluginInvalid(
                f"every item must be a route handler, controller or router, not {_kind(route)}"
            )
    return found


#: The checker of every hook, in the order the hooks are called.
CHECKS: Mapping[str, Callable[[object], Any]] = MappingProxyType(
    {
        "settings_model": _settings_model,
        "register_providers": _providers,
        "register_backends": _backends,
        "register_hook_sources": _hook_sources,
        "register_task_handlers": _task_handlers,
        "register_routes": _routes,
        "register_tables": _tables,
    }
)

#: Every hook there is, in the order they are called.
HOOKS: Sequence[str] = tuple(CHECKS)


def routes_of(item: Any) -> Iterator[str]:
    """Yield ``METHOD /path`` for everything a handler, controller or router answers.

    Goes by shape, since only the HTTP room knows the framework.  Path parameters lose their
    names: ``/a/{x:int}`` and ``/a/{y:int}`` are the same route.
    """
    if isinstance(item, type):
        handlers = (part for _, part in inspect.getmembers_static(item) if _is_handler(part))
        for handler in handlers:
            yield from _of_handler(handler, getattr(item, "path", None) or "")
    elif _is_handler(item):
        yield from _of_handler(item, "")
    else:
        for route in getattr(item, "routes", ()):
            # The framework adds OPTIONS to every path by itself.
            methods = set(getattr(route, "methods", None) or ("ANY",)) - {"OPTIONS"}
            yield from _lines(methods, route.path)


def _is_handler(item: Any) -> bool:
    return not isinstance(item, type) and hasattr(item, "paths")


def _of_handler(handler: Any, prefix: str) -> Iterator[str]:
    for path in handler.paths or ("/",):
        yield from _lines(getattr(handler, "http_methods", None) or ("ANY",), f"{prefix}/{path}")


def _lines(methods: Iterable[Any], path: str) -> Iterator[str]:
    parts = [part for part in path.split("/") if part]
    template = "/".join(_plain(part) if part.startswith("{") else part for part in parts)
    for method in methods:
        yield f"{getattr(method, 'value', method)} /{template}"


def _plain(parameter: str) -> str:
    """Return a path parameter without its name: ``{:int}``."""
    _, _, kind = parameter.strip("{}").partition(":")
    return f"{{:{kind}}}"


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PluginInvalid(f"must return a mapping, {what}, not {_kind(value)}")
    found = dict(value)
    for name in found:
        if not isinstance(name, str) or not name.strip():
            raise PluginInvalid(f"must return {what}; {name!r} is not a name")
    return MappingProxyType(found)


def _sequence(value: object, what: str) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise PluginInvalid(f"must return a sequence of {what}, not {_kind(value)}")
    return tuple(value)


def _no_class(name: str, value: object) -> None:
    if isinstance(value, type):
        raise PluginInvalid(f"{name!r} is the class {value.__name__}; return an instance of it")


def _kind(value: object) -> str:
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine (hooks are not async; await in what they return)"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
