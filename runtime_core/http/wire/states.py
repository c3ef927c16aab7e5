"""The live state on the wire, of which what is dear is encoded once for all who look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from runtime_core.http.wire.fleet import (
    GoneWire,
    PullStatusWire,
    StateWire,
    pull_status_wire,
    state_wire,
)

if TYPE_CHECKING:
    from runtime_core.types import BackendState, ModelInfo

__all__ = ("StateEncoder",)

#: So many backends are remembered; beyond that, all are encoded anew once.
MOST = 4096


class StateEncoder:
    """Encodes states for all readers and watchers of one server.

    What a backend's models say is most of a state, and changes least: it is encoded once for as
    long as a state has the same models (the same object), however many watch.
    """

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._known: dict[str, tuple[tuple[ModelInfo, ...], msgspec.Raw]] = {}

    def wire(self, state: BackendState) -> StateWire:
        """Return the wire form of *state*, its models encoded already."""
        return state_wire(state, self._pulled(state))

    def encode(self, change: BackendState | str) -> bytes:
        """Return a state, or the id of a backend that is gone, as JSON."""
        if isinstance(change, str):
            self._known.pop(change, None)
            return self._encode(GoneWire(change))
        return self._encode(self.wire(change))

    def _pulled(self, state: BackendState) -> list[PullStatusWire]:
        known = self._known.get(state.id)
        if known is None or known[0] is not state.models:
            if len(self._known) >= MOST:
                self._known.clear()
            encoded = self._encode([pull_status_wire(model) for model in state.models])
            known = self._known[state.id] = (state.models, msgspec.Raw(encoded))
        # to the encoder one is as good as the other; the type is what clients see
        return cast("list[PullStatusWire]", known[1])
