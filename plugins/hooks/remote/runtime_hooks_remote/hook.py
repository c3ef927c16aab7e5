"""A remote hook, as an operator registers it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves annotations at run time

from msgspec import Struct

from runtime_hooks_remote.injection import Injection

__all__ = ("Draft", "Options", "RemoteHook")


class Options(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What most hooks do without.

    ``document_url`` is where the document is, when not under the endpoint.  ``max_response_bytes``
    0 is the server's own limit.  ``shape`` holds JMESPath expressions by tool name, ``*`` for
    every tool without one.  ``property_in`` is the place of the injected property, in the words
    it was registered with.
    """

    document_url: str = ""
    max_response_bytes: int = 0
    shape: dict[str, str] = {}
    property_in: str = ""


class Draft(Struct, frozen=True, kw_only=True):
    """A hook before it is stored.  ``injection`` may hold ``{{secret:NAME}}`` in its values."""

    id: str
    name: str
    endpoint_url: str
    timeout_ms: int
    injection: Injection = Injection()
    options: Options = Options()

    @property
    def document_url(self) -> str:
        """Where its OpenAPI document is."""
        return self.options.document_url or f"{self.endpoint_url.rstrip('/')}/openapi.json"

    @property
    def timeout(self) -> float:
        """Seconds that a call may take, its document's loading included."""
        return self.timeout_ms / 1000

    def shape_of(self, tool: str) -> str:
        """Return the JMESPath expression for a tool's results, "" for none."""
        return self.options.shape.get(tool) or self.options.shape.get("*", "")


class RemoteHook(Draft, frozen=True, kw_only=True):
    """A stored hook."""

    created_at: datetime
    updated_at: datetime
