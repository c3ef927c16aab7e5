"""One frozen `Settings`, read from the environment and ``runtime.toml``."""

from __future__ import annotations

from runtime_core.settings.model import BackendSettings, Settings, unknown_variables
from runtime_core.settings.values import scheme_of

__all__ = ("BackendSettings", "Settings", "scheme_of", "unknown_variables")
