"""What can be set for one backend."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime_core.errors import SettingsError

__all__ = ("GeminiOptions",)


class GeminiOptions(BaseModel):
    """Options of one backend, in the API's own words where they go into requests.

    ``generation_config`` and ``safety_settings`` are for each chat; what a request asks for wins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generation_config: dict[str, Any] = Field(default_factory=dict)
    safety_settings: list[dict[str, Any]] = Field(default_factory=list)
    headers: dict[str, str] = Field(default_factory=dict)
    embed_dimensions: int | None = Field(default=None, ge=1)
    embed_task_type: str = ""

    @classmethod
    def of(cls, backend: str, options: dict[str, Any]) -> Self:
        """Return the options of a backend.

        :raises SettingsError: one is unknown or has a wrong value.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as exc:
            raise SettingsError(f"backend {backend!r} (gemini): {_explain(exc)}") from exc


def _explain(exc: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
        for error in exc.errors(include_url=False, include_input=False)
    )
