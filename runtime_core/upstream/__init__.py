"""Outgoing HTTP: one tuned client, prepared endpoints, and failures as the kernel's errors.

A provider builds its `Endpoint` objects once and then, for each call::

    async with endpoint.stream(body) as response:
        async for line in ndjson(response):
            yield chunk_of(line)
"""

from runtime_core.upstream.client import create_client
from runtime_core.upstream.endpoint import Endpoint
from runtime_core.upstream.failures import read_error, reported_error, upstream_errors
from runtime_core.upstream.framing import MAX_EVENT_BYTES, ndjson, sse_data

__all__ = (
    "MAX_EVENT_BYTES",
    "Endpoint",
    "create_client",
    "ndjson",
    "read_error",
    "reported_error",
    "sse_data",
    "upstream_errors",
)
