"""Every fault of a backend, with every provider: another one stands in, or the client is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.faults import CELLS, Cell, Stand, stand
from bench.faulty import DIALECTS, FAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module", params=DIALECTS)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stand]:
    async with stand(request.param, tmp_path_factory.mktemp("faults")) as server:
        yield server


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_a_fault_is_never_half_an_answer(server: Stand, cell: Cell) -> None:
    outcome = await server.run(cell)
    assert outcome.problem == ""


def test_the_matrix_is_complete() -> None:
    assert len(FAULTS) == 12
    assert len(DIALECTS) == 4
    assert len({cell for cell in CELLS if cell.fault in FAULTS}) == 12 * 2 * 2 * 2
