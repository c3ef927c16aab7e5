"""The live state as JSON, the same whether it was encoded before or not."""

from __future__ import annotations

import msgspec
import pytest

from runtime_core.http.wire import states
from runtime_core.http.wire.fleet import state_wire
from runtime_core.http.wire.states import StateEncoder
from runtime_core.types import BackendState, ModelInfo

MODELS = (
    ModelInfo("é", 7, size=3, digest="d", details={"family": "f", "families": ["x"]}),
    ModelInfo("n"),
)


def state(backend_id: str = "b", models: tuple[ModelInfo, ...] = MODELS) -> BackendState:
    return BackendState(
        id=backend_id, name="n", type="t", base_url="u", reachable=True, models=models
    )


@pytest.fixture
def encoded_models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were encoded; patched, since work has no other trace."""
    names: list[str] = []
    real = states.pull_status_wire

    def count(model: ModelInfo) -> object:
        names.append(model.name)
        return real(model)

    monkeypatch.setattr(states, "pull_status_wire", count)
    return names


def test_it_says_what_the_state_says() -> None:
    encoder = StateEncoder()
    plain = msgspec.json.encode(state_wire(state()))
    assert encoder.encode(state()) == encoder.encode(state()) == plain
    assert msgspec.json.encode(encoder.wire(state())) == plain
    assert encoder.encode("b") == b'{"id":"b","removed":true}'


def test_models_are_encoded_once_for_all_who_watch(encoded_models: list[str]) -> None:
    encoder = StateEncoder()
    for error in ("", "down", ""):
        for _watcher in range(5):
            encoder.encode(msgspec.structs.replace(state(), error=error))
    assert encoded_models == ["é", "n"]


def test_other_models_are_told(encoded_models: list[str]) -> None:
    encoder = StateEncoder()
    encoder.encode(state())
    fewer = state(models=(ModelInfo("n", 9),))
    assert encoder.encode(fewer) == msgspec.json.encode(state_wire(fewer))
    assert b'"pulledModels":[]' in encoder.encode(state(models=()))
    other = state("c", models=(ModelInfo("z"),))
    assert encoder.encode(other) == msgspec.json.encode(state_wire(other))


def test_backends_that_are_gone_are_forgotten(
    encoded_models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = StateEncoder()
    encoder.encode(state())
    encoder.encode("b")
    encoder.encode(state())
    assert encoded_models == ["é", "n"] * 2
    monkeypatch.setattr(states, "MOST", 2)
    for name in "bcdb":
        encoder.encode(state(name))
    assert encoded_models == ["é", "n"] * 5
