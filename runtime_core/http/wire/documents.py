"""Answers of the documents about the server itself."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

__all__ = ("Alive", "CheckWire", "Problems", "Readiness", "Version")


class Version(Struct, frozen=True):
    """Which server this is; ``nodeInstanceID`` is new at each start."""

    version: str
    node_instance_id: str = field(name="nodeInstanceID")
    tenancy: str


class Alive(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class CheckWire(Struct, frozen=True, omit_defaults=True):
    """One check; ``warn`` does not make the server unready."""

    status: Literal["ok", "warn", "fail"]
    reason: str = ""


class Readiness(Struct, frozen=True):
    """Whether the server can do its work, and each thing that was looked at."""

    status: Literal["ok", "fail"]
    checks: dict[str, CheckWire]


class Problems(Struct, frozen=True):
    """What keeps a chain from running; none means that it can."""

    valid: bool
    problems: list[str]
