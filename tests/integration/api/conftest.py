"""A client of the real server, whose models are echoes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "a-key-of-ours"


@pytest.fixture(scope="module")
def client(start_server: Callable[..., str]) -> Iterator[httpx.Client]:
    url = start_server(
        TOKEN=KEY,
        RUNTIME_DISABLE_PLUGINS="ollama",
        EMBED_MODEL="echo-embed",
        RUNTIME_LOG_LEVEL="warning",
    )
    with httpx.Client(base_url=url, headers={"X-API-Key": KEY}, timeout=20) as client:
        yield client
