"""What a hook is told about the plugin it belongs to, and what the server reports of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

__all__ = ("PluginContext", "PluginReport")


class PluginContext(Struct, frozen=True):
    """The plugin's name, its validated settings, and the process environment.

    ``settings`` is an instance of the model from `settings_model`, or None without one.
    ``environ`` is a snapshot: plugins read it and never `os.environ`.
    """

    name: str
    settings: Any = None
    environ: Mapping[str, str] = field(default_factory=dict)


class PluginReport(Struct, frozen=True, kw_only=True):
    """One installed plugin, as ``GET /plugins`` shows it.

    ``error`` and ``advice`` say why a quarantined plugin is out and what to do.
    """

    name: str
    distribution: str
    version: str
    status: Literal["active", "disabled", "quarantined"]
    hooks: tuple[str, ...] = ()
    error: str = ""
    advice: str = ""
