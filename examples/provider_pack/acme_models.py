"""Models of the (imaginary) Acme service: a provider in one module.

Acme streams JSON lines: ``{"say": "..."}`` for each piece of an answer, then one
``{"end": "done", "tokens": {"in": 12, "out": 3}}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct
from pydantic import BaseModel

from runtime_core import hookimpl
from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import BackendConfig, ChatChunk, ModelInfo, Usage, text_of
from runtime_core.upstream import Endpoint, ndjson, reported_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx

    from runtime_core.protocols import ProviderFactory
    from runtime_core.types import ChatRequest, FinishReason, PluginContext

__all__ = (
    "AcmeProvider",
    "AcmeSettings",
    "register_backends",
    "register_providers",
    "settings_model",
)


class AcmeSettings(BaseModel):
    """The table ``[plugins.acme]`` of ``runtime.toml``."""

    base_url: str = ""
    api_key: str | None = None


@hookimpl
def settings_model() -> type[AcmeSettings]:
    """Say what can be set."""
    return AcmeSettings


@hookimpl
def register_providers() -> Mapping[str, ProviderFactory]:
    """Make backends of type ``acme`` possible."""
    return {"acme": AcmeProvider}


@hookimpl
def register_backends(context: PluginContext) -> Sequence[BackendConfig]:
    """Return the backend that the settings name, if they do."""
    settings: AcmeSettings = context.settings
    if not settings.base_url:
        return ()
    key = context.environ.get("ACME_API_KEY") or settings.api_key
    return [BackendConfig(name="acme", type="acme", base_url=settings.base_url, api_key=key)]


# -------------------------------------------------------------------------
# What Acme says
# -------------------------------------------------------------------------


class _Model(Struct):
    name: str
    window: int


class _Catalogue(Struct):
    models: list[_Model]


class _Tokens(Struct):
    used_in: int = msgspec.field(name="in")
    used_out: int = msgspec.field(name="out")


class _Line(Struct):
    say: str | None = None
    end: Literal["done", "full"] | None = None
    tokens: _Tokens | None = None
    problem: str | None = None


_FINISH: Mapping[str, FinishReason] = {"done": "stop", "full": "length"}


# -------------------------------------------------------------------------
# The provider
# -------------------------------------------------------------------------


class AcmeProvider:
    """One Acme server."""

    def __init__(self, config: BackendConfig, client: httpx.AsyncClient) -> None:
        self._name = config.name
        base = config.base_url.rstrip("/")
        headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._talk = Endpoint(config.name, client, f"{base}/talk", headers)
        self._catalogue = Endpoint(config.name, client, f"{base}/catalogue", headers)
        self._decode = msgspec.json.Decoder(_Line).decode

    async def models(self) -> Sequence[ModelInfo]:
        """List Acme's models."""
        found = await self._catalogue.get(_Catalogue)
        return [ModelInfo(model.name, context_length=model.window) for model in found.models]

    async def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Stream an answer."""
        async with self._talk.stream(_body(request)) as response:
            async for raw in ndjson(response):
                line = self._decode(raw)
                if line.problem is not None:
                    raise reported_error(self._name, line.problem, request=response.request)
                if line.end is not None:
                    yield ChatChunk(finish_reason=_FINISH[line.end], usage=_usage(line.tokens))
                    return
                if line.say is None:
                    raise UpstreamProtocolError(f"{self._name} sent a line that says nothing.")
                yield ChatChunk(line.say)
        raise UpstreamProtocolError(f"{self._name} ended its answer half-way.")

    async def aclose(self) -> None:
        """Hold nothing, let go of nothing: the client belongs to the kernel."""


def _body(request: ChatRequest) -> dict[str, Any]:
    turns = [{"by": one.role, "text": text_of(one)} for one in request.messages]
    body: dict[str, Any] = {"model": request.model, "turns": turns}
    if request.temperature is not None:
        body["heat"] = request.temperature
    if request.max_tokens is not None:
        body["room"] = request.max_tokens
    return body | request.extra


def _usage(tokens: _Tokens | None) -> Usage | None:
    return None if tokens is None else Usage(tokens.used_in, tokens.used_out)
