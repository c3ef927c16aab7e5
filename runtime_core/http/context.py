"""What is known of a request from its first byte on, in one place."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ("ENDLESS", "HEAD", "TENANT", "request_id")

#: The id of the request being served ("" outside of one), for log lines and error envelopes.
request_id: ContextVar[str] = ContextVar("runtime_request_id", default="")

#: Scope key: the tenant whose key came with the request.
TENANT = "runtime.tenant_id"

#: Scope key: true for a GET that answers a HEAD, so that its stream ends with its headers.
HEAD = "runtime.head"

#: Scope key: the application's streams that end with the server only.
ENDLESS = "runtime.endless"
