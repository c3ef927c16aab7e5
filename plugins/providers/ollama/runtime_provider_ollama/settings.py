"""The table ``[plugins.ollama]`` of ``runtime.toml``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ("OllamaSettings",)


class OllamaSettings(BaseModel):
    """Where the server is, and what is sent along with each request to it."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(default="", description="Address, in any form of OLLAMA_HOST, which wins.")
    keep_alive: str | int | None = Field(
        default=None, description="How long models stay loaded, such as '10m', or -1 for ever."
    )
    think: bool | str | None = Field(
        default=None, description="Whether, or how hard, models that can think do so."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Model options for each request, such as num_ctx."
    )

    def backend_options(self) -> dict[str, Any]:
        """Return what is set, in the shape of `BackendConfig.options`."""
        given = {"keep_alive": self.keep_alive, "think": self.think, "options": self.options}
        return {name: value for name, value in given.items() if value not in (None, {})}
