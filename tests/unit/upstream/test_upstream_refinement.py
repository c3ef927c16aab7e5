"""Services whose bodies say more than their statuses have the last word."""

from __future__ import annotations

import httpx
import pytest

from runtime_core import errors
from runtime_core.upstream import Endpoint


def about_the_key(error: errors.UpstreamError, body: bytes) -> errors.UpstreamError:
    assert type(error) is errors.UpstreamRejected
    return errors.UpstreamUnauthenticated(f"{error.message} ({body[:5].decode()})", retry_after=3)


async def test_an_endpoint_asks_what_an_error_is() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=b"x" * 100_000)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        endpoint = Endpoint("svc", client, "http://svc.test/v1", refine=about_the_key)
        with pytest.raises(errors.UpstreamUnauthenticated, match=r"^svc .*\(xxxxx\)$") as caught:
            await endpoint.get(dict)
        assert caught.value.retry_after == 3
        plain = Endpoint("svc", client, "http://svc.test/v1")
        with pytest.raises(errors.UpstreamRejected) as rejected:
            await plain.get(dict)
        assert type(rejected.value) is errors.UpstreamRejected
