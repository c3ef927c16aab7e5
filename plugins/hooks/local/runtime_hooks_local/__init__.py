"""Hooks that run in the server's own process: ``echo`` and ``print``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_hooks_local.source import LocalHooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.protocols import HookSource

__all__ = ("register_hook_sources",)


@hookimpl
def register_hook_sources() -> Mapping[str, HookSource]:
    """Contribute the source named ``local``."""
    return {"local": LocalHooks()}
