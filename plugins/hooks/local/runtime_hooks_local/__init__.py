"""Hooks that run in the server's own process.

``echo``, ``print`` and ``time`` need nothing; ``webhook`` and ``http_get`` call addresses that
chains and models choose, within the bounds of the server's egress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_hooks_local.settings import LocalHooksSettings
from runtime_hooks_local.source import LocalHooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from runtime_core.protocols import HookSource
    from runtime_core.types import PluginContext

__all__ = ("register_hook_sources", "settings_model")


@hookimpl
def settings_model() -> type[BaseModel]:
    """Describe ``[plugins.local-hooks]``."""
    return LocalHooksSettings


@hookimpl
def register_hook_sources(context: PluginContext) -> Mapping[str, HookSource]:
    """Contribute the source named ``local``."""
    return {"local": LocalHooks(context.settings)}
