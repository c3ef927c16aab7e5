"""The HTTP server: one module a resource.

What is exported here is public: plugin routes stream, fail and answer with it.  Handlers get the
kernel's rooms by parameter name, annotated ``NamedDependency[...]``: those of `build.ROOMS`,
``metrics``, ``tenant_id`` and ``page``.  A parameter ``data`` is the body, JSON or YAML, decoded
into its annotated type.
"""

from runtime_core.http.answers import answer
from runtime_core.http.auth import Authenticator, Principal, check_bind
from runtime_core.http.build import TENANCY, Api, build, check_routes
from runtime_core.http.context import request_id
from runtime_core.http.disconnect import ClientDisconnected, disconnected, until_disconnected
from runtime_core.http.errors import RunFailed, describe, envelope, error_headers
from runtime_core.http.feed import Feed
from runtime_core.http.metrics import Metrics
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.routes import kernel_routes
from runtime_core.http.runs import (
    Finished,
    collect,
    last_route,
    new_run_id,
    route_headers,
    run_headers,
)
from runtime_core.http.sse import EventStream, error_frame, sse_frame
from runtime_core.http.wire.hooks import HookRow, hook_row, tool_wire
from runtime_core.http.wire.runs import step_wire

__all__ = (
    "TENANCY",
    "Api",
    "Authenticator",
    "ClientDisconnected",
    "EventStream",
    "Feed",
    "Finished",
    "HookRow",
    "Metrics",
    "PageQuery",
    "Principal",
    "RunFailed",
    "answer",
    "build",
    "check_bind",
    "check_routes",
    "collect",
    "describe",
    "disconnected",
    "envelope",
    "error_frame",
    "error_headers",
    "hook_row",
    "kernel_routes",
    "last_route",
    "listing",
    "new_run_id",
    "request_id",
    "route_headers",
    "run_headers",
    "sse_frame",
    "step_wire",
    "tool_wire",
    "until_disconnected",
)
