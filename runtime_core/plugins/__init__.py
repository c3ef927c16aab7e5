"""Find, check, call and report plugins; the only room that knows pluggy."""

from runtime_core.plugins.contracts import HOOKS
from runtime_core.plugins.host import Plugins

__all__ = ("HOOKS", "Plugins")
