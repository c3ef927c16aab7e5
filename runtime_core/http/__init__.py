"""The HTTP server: one module a resource.

What is exported here is public: plugin routes stream, fail and answer with it.  Handlers get the
kernel's rooms by parameter name, annotated ``NamedDependency[...]``.
"""

from runtime_core.http.context import request_id
from runtime_core.http.disconnect import ClientDisconnected, disconnected, until_disconnected
from runtime_core.http.errors import RunFailed, describe, envelope, error_headers
from runtime_core.http.feed import Feed
from runtime_core.http.sse import EventStream, error_frame, sse_frame

__all__ = (
    "ClientDisconnected",
    "EventStream",
    "Feed",
    "RunFailed",
    "describe",
    "disconnected",
    "envelope",
    "error_frame",
    "error_headers",
    "request_id",
    "sse_frame",
    "until_disconnected",
)
