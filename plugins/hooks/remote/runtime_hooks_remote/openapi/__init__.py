"""OpenAPI documents: bytes in, callable operations with their tools out; no I/O."""

from runtime_hooks_remote.errors import UnreadableDocument
from runtime_hooks_remote.openapi.loading import load
from runtime_hooks_remote.openapi.reading import read

__all__ = ("UnreadableDocument", "load", "read")
