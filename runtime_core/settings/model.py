"""One frozen `Settings`: the environment beats ``runtime.toml``, which beats the defaults.

A small loader of ours over pydantic, because pydantic-settings costs 60 ms of every start and its
errors name fields where a user wrote a variable, a flag, or a key of a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    ValidationError,
)

from runtime_core.errors import SettingsError
from runtime_core.settings import sources, values
from runtime_core.settings.errors import Allowed, explain, masked_url
from runtime_core.settings.fields import (
    Address,
    Bytes,
    Count,
    CountOrOff,
    DriverURL,
    Names,
    Origins,
    Port,
    Seconds,
    SecretKeys,
    Switch,
    Token,
    Tokens,
)
from runtime_core.types import BackendConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ("BackendSettings", "Settings", "unknown_variables")


class BackendSettings(BaseModel):
    """One ``[[backends]]`` table: where a provider's models are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(min_length=1)
    name: str = ""
    base_url: str = ""
    api_key: SecretStr | None = None
    priority: int = 0
    options: dict[str, Any] = Field(default_factory=dict)

    def config(self) -> BackendConfig:
        """Return the domain's shape; a backend without a name goes by its type."""
        return BackendConfig(
            name=self.name or self.type,
            type=self.type,
            base_url=self.base_url,
            api_key=self.api_key.get_secret_value() if self.api_key else None,
            priority=self.priority,
            options=self.options,
        )


def _distinct(backends: tuple[BackendSettings, ...]) -> tuple[BackendSettings, ...]:
    names = [backend.name or backend.type for backend in backends]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"every backend needs a name of its own; used twice: {', '.join(twice)}")
    return backends


class Settings(BaseModel):
    """Everything an operator can set; every field has a default that works.

    Times are in seconds, sizes in bytes.  ``environ`` is the environment the settings were read
    from: plugins and drivers read it instead of `os.environ`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    # Where it listens, and who may ask
    addr: Address = "127.0.0.1"
    port: Port = 8081
    token: Token = None
    allow_anonymous: Switch = False
    cors_origins: Origins = ()
    max_body: Bytes = 10 * 1024 * 1024
    sse_heartbeat: Seconds = 15.0
    shutdown_timeout: Seconds = 20.0

    # What it stands on
    database_url: DriverURL = "sqlite:///runtime.db"
    bus_url: DriverURL = "memory://"
    secret_key: SecretKeys = None

    # Models
    chat_model: str = ""
    task_model: str = ""
    embed_model: str = ""
    chat_provider: str = ""
    task_provider: str = ""
    embed_provider: str = ""
    chat_model_context_length: Tokens = None
    task_model_context_length: Tokens = None
    embed_model_context_length: Tokens = None
    backends: Annotated[
        tuple[BackendSettings, ...], BeforeValidator(values.json_text), AfterValidator(_distinct)
    ] = ()
    upstream_connect_timeout: Seconds = 5.0
    upstream_timeout: Seconds = 300.0
    catalog_refresh: Seconds = 30.0
    router: Annotated[
        str,
        BeforeValidator(values.lower),
        Field(min_length=1),
        Allowed("an installed policy's name"),
    ] = "preference"
    route_attempts: Count = 5
    route_timeout: Seconds = 60.0
    breaker_failures: CountOrOff = 5
    breaker_cooldown: Seconds = 1.0
    download_parallelism: Count = 4
    download_parallelism_per_backend: Count = 1
    prune_models: Switch = False

    # Chains
    chat_chain: Annotated[str, Field(min_length=1), Allowed("the id of a chain")] = "chat"
    max_steps: Count = 200
    tool_timeout: Seconds = 60.0
    tool_result_limit: Count = 100_000
    tokenizer: Annotated[
        str,
        BeforeValidator(values.lower),
        Field(min_length=1),
        Allowed("auto or an installed tokenizer's name"),
    ] = "auto"

    # What tools may call
    egress_operator_private: Switch = True
    egress_untrusted_private: Switch = False

    # Plugins
    disable_plugins: Names = ()
    strict: Switch = False
    plugin_timeout: Seconds = 10.0
    plugins: Annotated[Mapping[str, dict[str, Any]], BeforeValidator(values.json_text)] = Field(
        default_factory=dict, repr=False
    )

    # Logs
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(values.lower)
    ] = "info"
    log_format: Annotated[Literal["text", "json"], BeforeValidator(values.lower)] = "text"

    environ: SkipValidation[Mapping[str, str]] = Field(
        default_factory=lambda: MappingProxyType({}), repr=False, exclude=True
    )

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        flags: Mapping[str, object] | None = None,
    ) -> Self:
        """Read the settings.

        :param environ: variables; the process's by default.
        :param directory: where ``runtime.toml`` is looked for; the current one by default.
        :param flags: values from a command line by field name; they beat everything, None is unset.
        :raises SettingsError: names every wrong value, what was given, and what is allowed.
        """
        environ = MappingProxyType(dict(os.environ if environ is None else environ))
        given, problems = sources.gather(_configurable(), environ, directory, flags or {})
        try:
            settings = cls.model_validate(
                {name: one.value for name, one in given.items()} | {"environ": environ}
            )
        except ValidationError as exc:
            problems += explain(exc, cls, lambda loc: sources.written(given, loc))
        if problems:
            raise SettingsError(_summary(problems))
        return settings

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked_url(value) if name in ("database_url", "bus_url") else value


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Name the variables that look like a mistyped setting, each with the one that was meant."""
    return sources.mistyped(environ, _configurable())


def _configurable() -> list[str]:
    return [name for name in Settings.model_fields if name != "environ"]


def _summary(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"a setting is wrong: {problems[0]}"
    return "\n".join([f"{len(problems)} settings are wrong:", *(f"- {one}" for one in problems)])
