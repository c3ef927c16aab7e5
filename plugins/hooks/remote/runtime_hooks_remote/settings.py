"""The table ``[plugins.remote-hooks]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ("RemoteHooksSettings",)

_MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=1024, le=256 * _MIB)]


class RemoteHooksSettings(BaseModel):
    """What holds for all remote hooks.

    ``document_ttl`` is how many seconds a document is fresh that does not say so itself.
    ``list_timeout`` is how many seconds a listing waits for documents that were never loaded.
    ``max_document`` and ``max_response`` are bytes, decompressed; a hook may have a
    ``maxResponseBytes`` of its own.  ``max_references`` is how many further documents one document
    may refer to.  ``retries`` is how often a call that may be repeated is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    document_ttl: Seconds = 60.0
    list_timeout: Seconds = 2.0
    max_document: Bytes = 32 * _MIB
    max_references: Annotated[int, Field(ge=0, le=1000)] = 32
    max_response: Bytes = _MIB
    retries: Annotated[int, Field(ge=0, le=10)] = 2
