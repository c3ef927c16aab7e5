"""How a backend of type ``openai`` is spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from runtime_openai_wire import Dialect, OpenAIWireProvider, describe_model
from runtime_openai_wire.settings import explain

from runtime_core.errors import SettingsError

if TYPE_CHECKING:
    import httpx
    from runtime_openai_wire import MaxTokensField, WireModel

    from runtime_core.types import BackendConfig, ModelInfo

__all__ = ("OPENAI_URL", "OpenAIOptions", "openai_provider")

OPENAI_URL = "https://api.openai.com/v1"

#: What OpenAI lists beside its chat and embedding models, by parts of names.
_OTHER_USES = (
    "dall-e",
    "gpt-image",
    "moderation",
    "realtime",
    "sora",
    "transcribe",
    "tts",
    "whisper",
)


class OpenAIOptions(BaseModel):
    """Options of one backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    organization: str = ""
    project: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    include_usage: bool = True
    embed_dimensions: int | None = Field(default=None, ge=1)


def openai_provider(config: BackendConfig, client: httpx.AsyncClient) -> OpenAIWireProvider:
    """Return the provider of a backend; without a ``base_url`` that is OpenAI itself.

    :raises SettingsError: an option is unknown or has a wrong value.
    :raises UpstreamUnavailable: the ``base_url`` is no URL.
    """
    try:
        options = OpenAIOptions.model_validate(config.options)
    except ValidationError as exc:
        raise SettingsError(f"backend {config.name!r} (openai): {explain(exc)}") from exc
    base_url = config.base_url or OPENAI_URL
    dialect = _dialect(options, official=_is_official(base_url))
    return OpenAIWireProvider(config, client, base_url=base_url, dialect=dialect)


openai_provider.default_url = OPENAI_URL  # type: ignore[attr-defined]


def _is_official(base_url: str) -> bool:
    try:
        return urlsplit(base_url).hostname == urlsplit(OPENAI_URL).hostname
    except ValueError:  # no URL at all, which the provider will say
        return False


def _dialect(options: OpenAIOptions, *, official: bool) -> Dialect:
    headers = dict(options.headers)
    if options.organization:
        headers["openai-organization"] = options.organization
    if options.project:
        headers["openai-project"] = options.project
    extra: dict[str, Any] = {}
    if options.embed_dimensions is not None:
        extra["dimensions"] = options.embed_dimensions
    return Dialect(
        auth_header=options.auth_header,
        auth_scheme=options.auth_scheme,
        headers=headers,
        query=options.query,
        max_tokens_field=_max_tokens_field(options, official=official),
        include_usage=options.include_usage,
        embeddings_extra=extra,
        describe=_describe_official if official else describe_model,
    )


def _max_tokens_field(options: OpenAIOptions, *, official: bool) -> MaxTokensField:
    """Return the field's name: OpenAI's newer models know only the new one, others the old one."""
    if options.max_tokens_field == "auto":
        return "max_completion_tokens" if official else "max_tokens"
    return options.max_tokens_field


def _describe_official(model: WireModel) -> ModelInfo:
    described = describe_model(model)
    if not any(part in model.id for part in _OTHER_USES):
        return described
    return msgspec.structs.replace(
        described, can_chat=False, can_embed=False, can_prompt=False, can_stream=False
    )
