"""Every hook a plugin can implement.

All hooks are synchronous, do no I/O, are called once, while the server starts, plugin by plugin,
and return declarations: factories and objects.  Whatever must be awaited lives in the objects
they return (see `runtime_core.protocols`).  A hookimpl may leave out arguments it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core._markers import hookspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from litestar.types import ControllerRouterHandler
    from pydantic import BaseModel

    from runtime_core.protocols import HookSource, ProviderFactory, TaskHandler
    from runtime_core.types import BackendConfig, PluginContext, TableSet

# -------------------------------------------------------------------------
# Before anything else
# -------------------------------------------------------------------------


@hookspec
def settings_model() -> type[BaseModel]:  # type: ignore[empty-body]
    """Return the pydantic model of this plugin's ``[plugins.<name>]`` table in ``runtime.toml``.

    Called first; an instance, validated, is ``context.settings`` in every other hook.

    :returns: a model class whose every field has a default.
    """


# -------------------------------------------------------------------------
# What a plugin contributes
# -------------------------------------------------------------------------


@hookspec
def register_providers(context: PluginContext) -> Mapping[str, ProviderFactory]:  # type: ignore[empty-body]
    """Return model providers, by the name a backend's ``type`` field refers to them with.

    :param context: this plugin's name, settings and environment.
    :returns: factories; the kernel calls one per backend.
    """


@hookspec
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:  # type: ignore[empty-body]
    """Return the backends that the settings and the environment already name.

    :param context: this plugin's name, settings and environment.
    :returns: backends of this plugin's own types; mark a mere default address ``implicit``.
    """


@hookspec
def register_hook_sources(context: PluginContext) -> Mapping[str, HookSource]:  # type: ignore[empty-body]
    """Return sources of tools for chains and models, by the source's name.

    :param context: this plugin's name, settings and environment.
    :returns: hook sources; hooks of earlier names shadow equal hook names of later ones.
    """


@hookspec
def register_task_handlers(context: PluginContext) -> Mapping[str, TaskHandler]:  # type: ignore[empty-body]
    """Return task handlers, by the name a task's ``handler`` field refers to them with.

    The engine's own handlers are registered through this hook too.

    :param context: this plugin's name, settings and environment.
    :returns: handler objects; one serves all runs.
    """


@hookspec
def register_routes(context: PluginContext) -> Sequence[ControllerRouterHandler]:  # type: ignore[empty-body]
    """Return Litestar handlers, controllers or routers to mount on the server.

    They get the kernel's rooms by parameter name (see `runtime_core.http`), are behind its
    authentication, and appear in its OpenAPI document.

    :param context: this plugin's name, settings and environment.
    :returns: route handlers.
    """


@hookspec
def register_tables(context: PluginContext) -> TableSet:  # type: ignore[empty-body]
    """Return the tables that this plugin keeps in the server's database.

    They are called like the plugin, or begin with its name and a ``_``; their primary keys begin
    with ``tenant_id``.  They are there, at the newest revision, before anything of the plugin
    runs, and stay when the plugin is disabled or removed.

    :param context: this plugin's name, settings and environment.
    :returns: tables and their migrations (see `runtime_core.tables`); hook sources use them with
        the ``database`` of their `Services`.
    """
