"""Templates of chains: Go forms and Jinja expressions, sandboxed and budgeted."""

from runtime_core.engine.templates.template import Template

__all__ = ("Template",)
