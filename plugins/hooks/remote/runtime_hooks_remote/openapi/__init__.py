"""OpenAPI documents: bytes in, callable operations with their tools out; no I/O."""

from runtime_hooks_remote.openapi.problems import UnreadableDocument
from runtime_hooks_remote.openapi.reading import read

__all__ = ("UnreadableDocument", "read")
