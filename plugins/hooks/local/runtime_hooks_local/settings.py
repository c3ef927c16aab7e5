"""The table ``[plugins.local-hooks]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from runtime_hooks_local.hosts import parse_host

__all__ = ("LocalHooksSettings",)


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        parse_host(name)
    return names


class LocalHooksSettings(BaseModel):
    """What ``webhook`` and ``http_get`` may do.

    ``private_hosts`` are hosts, as ``name:port`` or ``name`` for every port, that may be called
    although their addresses are private.  ``timeout`` is seconds for a whole call, ``max_bytes``
    the largest answer, decompressed, ``max_characters`` how much of a text a model is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = ()
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    max_bytes: Annotated[int, Field(ge=1024, le=256 * 1024 * 1024)] = 256 * 1024
    max_characters: Annotated[int, Field(ge=100)] = 32_000
