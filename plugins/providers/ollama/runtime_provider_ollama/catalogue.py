"""The models of one Ollama server, and what each of them can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from runtime_core.errors import TimedOut, UpstreamError
from runtime_core.types import ModelInfo

if TYPE_CHECKING:
    from runtime_core.upstream import Endpoint

__all__ = ("Catalogue",)

#: How many models are asked about at once, and the seconds each may take.
_AT_ONCE = 4
_SHOW_SECONDS = 10.0


class _Details(Struct):
    family: str | None = ""
    families: list[str] | None = None
    parameter_size: str | None = ""
    quantization_level: str | None = ""
    format: str | None = ""


class _Listed(Struct):
    name: str
    modified_at: str = ""
    size: int | None = None
    digest: str = ""
    details: _Details = field(default_factory=_Details)


class _Tags(Struct):
    models: list[_Listed] | None


class _Loaded(Struct):
    name: str


class _Memory(Struct):
    models: list[_Loaded] | None


class _Shown(Struct):
    model_info: dict[str, Any] | None = None
    capabilities: list[str] | None = None


class Catalogue:
    """Lists models; what ``/api/show`` says of one is asked once for each digest."""

    def __init__(self, tags: Endpoint, show: Endpoint, memory: Endpoint) -> None:
        self._tags = tags
        self._show = show
        self._memory = memory
        self._known: dict[str, _Shown] = {}

    async def models(self) -> list[ModelInfo]:
        """Return the models, those included of which nothing more can be learnt now."""
        listed = (await self._tags.get(_Tags)).models or []
        free = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._shown(model, free)) for model in listed]
        shown = [task.result() for task in asked]
        self._known = {
            _identity(model): about
            for model, about in zip(listed, shown, strict=True)
            if about is not None
        }
        return [_info(model, about or _Shown()) for model, about in zip(listed, shown, strict=True)]

    async def loaded(self) -> list[str]:
        """Return the names of the models in memory."""
        return [model.name for model in (await self._memory.get(_Memory)).models or []]

    async def _shown(self, model: _Listed, free: asyncio.Semaphore) -> _Shown | None:
        known = self._known.get(_identity(model))
        if known is not None:
            return known
        async with free:
            try:
                async with asyncio.timeout(_SHOW_SECONDS):
                    return await self._show.post({"model": model.name}, _Shown)
            except (UpstreamError, TimedOut, TimeoutError):
                return None


def _identity(model: _Listed) -> str:
    return model.digest or f"{model.name} {model.modified_at}"


def _info(model: _Listed, shown: _Shown) -> ModelInfo:
    can_chat, can_embed = _abilities(model, shown)
    return ModelInfo(
        name=model.name,
        context_length=_context_length(shown.model_info or {}),
        can_chat=can_chat,
        can_embed=can_embed,
        can_prompt=can_chat,
        can_stream=can_chat,
        size=model.size,
        digest=model.digest,
        modified_at=model.modified_at,
        details={
            "format": model.details.format or "",
            "family": model.details.family or "",
            "families": model.details.families or [],
            "parameter_size": model.details.parameter_size or "",
            "quantization_level": model.details.quantization_level or "",
            "capabilities": shown.capabilities or [],
        },
    )


def _abilities(model: _Listed, shown: _Shown) -> tuple[bool, bool]:
    """Return whether a model chats and embeds; old servers do not say, so its family must."""
    if shown.capabilities:
        return "completion" in shown.capabilities, "embedding" in shown.capabilities
    embeds = "bert" in (model.details.family or "") or "embed" in model.name
    return not embeds, embeds


def _context_length(model_info: dict[str, Any]) -> int | None:
    architecture = model_info.get("general.architecture", "")
    length = model_info.get(f"{architecture}.context_length")
    return length if isinstance(length, int) and length > 0 else None
