"""One vLLM server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from runtime_openai_wire import Dialect, OpenAIWireProvider, describe_model
from runtime_openai_wire.settings import explain

from runtime_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx
    from runtime_openai_wire import WireModel

    from runtime_core.types import BackendConfig, ChatChunk, ChatRequest, ModelInfo

__all__ = ("VLLMOptions", "VLLMProvider")

#: Fields of a chat that are the conversation itself, not how to sample its next message.
_NO_SAMPLING = frozenset(
    {"messages", "model", "n", "stream", "stream_options", "tool_choice", "tools"}
)


class VLLMOptions(BaseModel):
    """Options of one backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampling: dict[str, Any] = Field(default_factory=dict)
    task: Literal["auto", "generate", "embed"] = "auto"
    headers: dict[str, str] = Field(default_factory=dict)
    embed_dimensions: int | None = Field(default=None, ge=1)

    @field_validator("sampling")
    @classmethod
    def _check_sampling(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        if wrong := sorted(_NO_SAMPLING & sampling.keys()):
            raise ValueError(f"{', '.join(wrong)} cannot be set here, requests say it themselves")
        return sampling


class VLLMProvider(OpenAIWireProvider):
    """The models of one server; with ``sampling`` for what requests leave open.

    :raises SettingsError: an option is unknown or has a wrong value.
    :raises UpstreamUnavailable: the ``base_url`` is no URL.
    """

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        try:
            options = VLLMOptions.model_validate(config.options)
        except ValidationError as exc:
            raise SettingsError(f"backend {config.name!r} (vllm): {explain(exc)}") from exc
        dialect = _dialect(options)
        super().__init__(config, client, base_url=_versioned(config.base_url), dialect=dialect)
        self._sampling = options.sampling

    def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Stream an answer."""
        return super().chat(self._sampled(request) if self._sampling else request)

    def _sampled(self, request: ChatRequest) -> ChatRequest:
        """Return the request with the backend's sampling where it has none of its own."""
        left_open = {
            name: value
            for name, value in self._sampling.items()
            if getattr(request, name, None) in (None, ())
        }
        return msgspec.structs.replace(request, extra=left_open | request.extra)


def _versioned(base_url: str) -> str:
    base_url = base_url.rstrip("/")
    return base_url if base_url.endswith("/v1") else f"{base_url}/v1"


def _dialect(options: VLLMOptions) -> Dialect:
    extra: dict[str, Any] = {}
    if options.embed_dimensions is not None:
        extra["dimensions"] = options.embed_dimensions
    describe = _describe_as(options.task == "embed") if options.task != "auto" else describe_model
    return Dialect(headers=options.headers, embeddings_extra=extra, describe=describe)


def _describe_as(embeds: bool) -> Callable[[WireModel], ModelInfo]:
    return lambda model: _with_use(describe_model(model), embeds=embeds)


def _with_use(described: ModelInfo, *, embeds: bool) -> ModelInfo:
    chats = not embeds
    return msgspec.structs.replace(
        described, can_chat=chats, can_embed=embeds, can_prompt=chats, can_stream=chats
    )
