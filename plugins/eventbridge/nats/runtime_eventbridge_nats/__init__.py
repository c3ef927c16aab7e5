"""The ``nats`` and ``tls`` bus drivers: servers that share a database hear of each other's news."""

from __future__ import annotations

from runtime_eventbridge_nats.bus import NatsBus

__all__ = ("NatsBus",)
