"""A fake upstream in a process of its own, as the benchmarks start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.processes import UpstreamProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def upstream_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with UpstreamProcess(tmp_path_factory.mktemp("upstream"), ()) as upstream:
        yield upstream.port
