"""What the plugins of this protocol have in common in their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel, SecretStr, ValidationError

from runtime_core.types import BackendConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("BackendTable", "explain")


class BackendTable(BaseModel):
    """Where a plugin's one backend is; what a subclass adds are the backend's options."""

    variables: ClassVar[Mapping[str, str]] = {}

    api_key: SecretStr | None = None
    base_url: str = ""
    priority: int = 0

    @property
    def key(self) -> str:
        """The key, "" without one."""
        return self.api_key.get_secret_value() if self.api_key is not None else ""

    def with_environment(self, environ: Mapping[str, str]) -> Self:
        """Return the settings with what the ``variables`` in *environ* say, which wins."""
        said = {
            name: environ[variable].strip()
            for name, variable in self.variables.items()
            if environ.get(variable, "").strip()
        }
        own = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**own, **said})

    def backend(self, name: str, default_url: str = "") -> BackendConfig:
        """Return the backend *name*, of the type of that name, with the options that are set."""
        options = self.model_dump(exclude_unset=True, exclude=set(BackendTable.model_fields))
        return BackendConfig(
            name=name,
            type=name,
            base_url=self.base_url or default_url,
            api_key=self.key or None,
            priority=self.priority,
            options=options,
        )


def explain(exc: ValidationError) -> str:
    """Say which options are wrong, and why, without what was given."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
        for error in exc.errors(include_url=False, include_input=False)
    )
