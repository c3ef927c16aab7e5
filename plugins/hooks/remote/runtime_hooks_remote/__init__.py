"""Any OpenAPI service as a hook: its operations become tools of chains and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_hooks_remote.settings import RemoteHooksSettings
from runtime_hooks_remote.source import RemoteHooks
from runtime_hooks_remote.store import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from litestar.types import ControllerRouterHandler
    from pydantic import BaseModel

    from runtime_core.protocols import HookSource
    from runtime_core.types import PluginContext, TableSet

__all__ = ("register_hook_sources", "register_routes", "register_tables", "settings_model")


@hookimpl
def settings_model() -> type[BaseModel]:
    """Describe ``[plugins.remote-hooks]``."""
    return RemoteHooksSettings


@hookimpl
def register_tables() -> TableSet:
    """Keep hooks in the server's database."""
    return TABLES


@hookimpl
def register_hook_sources(context: PluginContext) -> Mapping[str, HookSource]:
    """Contribute the source named ``remote``."""
    return {"remote": RemoteHooks(context.settings)}


@hookimpl
def register_routes() -> Sequence[ControllerRouterHandler]:
    """Mount the routes under ``/hooks``."""
    from runtime_hooks_remote.routes import ROUTES

    return ROUTES
