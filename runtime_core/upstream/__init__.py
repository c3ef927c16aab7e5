"""Outgoing HTTP: to the services of backends, and to what tools call.

A provider builds its `Endpoint` objects once and then, for each call::

    async with endpoint.stream(body) as response:
        async for line in ndjson(response):
            yield chunk_of(line)

A tool calls addresses that others have chosen, through one of the clients of the `Egress`::

    answer = await egress.untrusted.request("GET", url, timeout=10)
"""

from runtime_core.upstream.answers import Answer, StreamedAnswer
from runtime_core.upstream.client import create_client
from runtime_core.upstream.egress import Egress, EgressClient, create_egress
from runtime_core.upstream.endpoint import Endpoint
from runtime_core.upstream.failures import read_error, reported_error, upstream_errors
from runtime_core.upstream.framing import MAX_EVENT_BYTES, ndjson, sse_data
from runtime_core.upstream.requests import RESERVED_HEADERS

__all__ = (
    "MAX_EVENT_BYTES",
    "RESERVED_HEADERS",
    "Answer",
    "Egress",
    "EgressClient",
    "Endpoint",
    "StreamedAnswer",
    "create_client",
    "create_egress",
    "ndjson",
    "read_error",
    "reported_error",
    "sse_data",
    "upstream_errors",
)
