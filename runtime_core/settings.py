"""One frozen `Settings`: the environment beats ``runtime.toml``, which beats the defaults.

A small loader of ours over pydantic, because pydantic-settings costs 60 ms of every start and its
errors name fields where a user wrote a variable, a flag, or a key of a file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping  # noqa: TC003 (pydantic resolves annotations)
from dataclasses import dataclass
from pathlib import Path
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

from runtime_core import _settings_values as values
from runtime_core._settings_errors import Allowed, explain, masked_url, suggest
from runtime_core._settings_values import scheme_of
from runtime_core.errors import SettingsError
from runtime_core.types import BackendConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ("BackendSettings", "Settings", "scheme_of", "unknown_variables")

CONFIG_FILE = "runtime.toml"
CONFIG_VARIABLE = "RUNTIME_CONFIG"
_PREFIX = "RUNTIME_"

# Variables that are no setting of the kernel's but start like one.
_OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, "RUNTIME_PRUNE_MODELS"})

# Names from before the RUNTIME_ prefix; where both are set, the prefixed one wins.
_ALIASES: Mapping[str, str] = {
    "addr": "ADDR",
    "bus_url": "NATS_URL",
    "chat_model": "CHAT_MODEL",
    "chat_model_context_length": "CHAT_MODEL_CONTEXT_LENGTH",
    "chat_provider": "CHAT_PROVIDER",
    "database_url": "DATABASE_URL",
    "embed_model": "EMBED_MODEL",
    "embed_model_context_length": "EMBED_MODEL_CONTEXT_LENGTH",
    "embed_provider": "EMBED_PROVIDER",
    "port": "PORT",
    "task_model": "TASK_MODEL",
    "task_model_context_length": "TASK_MODEL_CONTEXT_LENGTH",
    "task_provider": "TASK_PROVIDER",
    "token": "TOKEN",
}

Port = Annotated[
    int,
    BeforeValidator(values.no_boolean),
    Field(ge=0, le=65535),
    Allowed("a whole number from 0 to 65535 (0: any free port)"),
]
Address = Annotated[
    str, AfterValidator(values.address), Allowed("an IP address or a host name, without a port")
]
DriverURL = Annotated[
    str,
    AfterValidator(values.driver_url),
    Allowed("a URL whose scheme names an installed driver, as sqlite:///runtime.db or memory://"),
]
Seconds = Annotated[
    float,
    BeforeValidator(values.no_boolean),
    Field(gt=0, le=86_400, allow_inf_nan=False),
    Allowed("a number of seconds above 0, at most 86400"),
]
CountOrOff = Annotated[
    int,
    BeforeValidator(values.no_boolean),
    Field(ge=0, le=1_000_000),
    Allowed("a whole number from 0 to 1000000 (0: off)"),
]
Count = Annotated[
    int,
    BeforeValidator(values.no_boolean),
    Field(ge=1, le=1_000_000),
    Allowed("a whole number from 1 to 1000000"),
]
Tokens = Annotated[
    int | None,
    BeforeValidator(values.no_boolean),
    Field(ge=1, le=1_000_000_000),
    Allowed("a whole number of tokens above 0"),
]
Bytes = Annotated[
    int,
    BeforeValidator(values.byte_count),
    Field(ge=1, le=1 << 40),
    Allowed("a number of bytes above 0, as 10485760, 10MiB or 20MB"),
]
Switch = Annotated[bool, Allowed("1 or 0, true or false, yes or no, on or off")]
Token = Annotated[
    SecretStr | None,
    BeforeValidator(values.empty_is_none),
    AfterValidator(values.header_safe),
    Allowed("printable ASCII characters without spaces"),
]
SecretKeys = Annotated[
    SecretStr | None,
    BeforeValidator(values.empty_is_none),
    AfterValidator(values.header_safe),
    AfterValidator(values.secret_keys),
    Allowed(
        "secrets of at least 16 printable ASCII characters without spaces, separated by commas"
    ),
]
Names = Annotated[
    tuple[str, ...], BeforeValidator(values.comma_list), Allowed("names, separated by commas")
]
Origins = Annotated[
    tuple[str, ...],
    BeforeValidator(values.comma_list),
    AfterValidator(values.origins),
    Allowed("* or origins as https://example.org:8443, separated by commas"),
]


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

    # Chains
    chat_chain: Annotated[str, Field(min_length=1), Allowed("the id of a chain")] = "chat"
    max_steps: Count = 200

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
        given, problems = _from_file(_variables(environ), directory or Path.cwd())
        given |= _from_variables(_variables(environ))
        given |= {
            name: _Given(value, f"--{name.replace('_', '-')}")
            for name, value in (flags or {}).items()
            if value is not None
        }
        problems += _refuse_environ(given)
        try:
            settings = cls.model_validate(
                {name: one.value for name, one in given.items()} | {"environ": environ}
            )
        except ValidationError as exc:
            problems += explain(exc, cls, lambda loc: _written(given, loc))
        if problems:
            raise SettingsError(_summary(problems))
        return settings

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked_url(value) if name in ("database_url", "bus_url") else value


@dataclass(frozen=True, slots=True)
class _Given:
    """A value and its name as the user wrote it."""

    value: object
    written: str


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Name the variables that look like a mistyped setting, each with the one that was meant."""
    fields = {name.upper() for name in _configurable()}
    known = fields | {name.removeprefix(_PREFIX) for name in _OTHER_VARIABLES}
    words = {
        name: name.upper().removeprefix(_PREFIX)
        for name in sorted(environ)
        if name.upper().startswith(_PREFIX)
    }
    return [
        f"{name} is not a setting{hint}"
        for name, word in words.items()
        if word not in known and (hint := suggest(word, known, prefix=_PREFIX))
    ]


def _configurable() -> list[str]:
    return [name for name in Settings.model_fields if name != "environ"]


def _variables(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Return the variables by upper-case name, which wins over others; empty ones are not set."""
    found = {}
    for name in sorted(environ, key=str.isupper):
        if value := environ[name].strip():
            found[name.upper()] = _Given(value, name)
    return found


def _from_variables(variables: Mapping[str, _Given]) -> dict[str, _Given]:
    found = {}
    for field in _configurable():
        for name in (f"{_PREFIX}{field.upper()}", _ALIASES.get(field, "")):
            if one := variables.get(name):
                found[field] = one
                break
    return found


def _from_file(
    variables: Mapping[str, _Given], directory: Path
) -> tuple[dict[str, _Given], list[str]]:
    """Return what the file says, and what is wrong with the file itself."""
    named = variables.get(CONFIG_VARIABLE)
    path = directory / str(named.value if named else CONFIG_FILE)
    if not named and not path.exists():
        return {}, []
    where = f"{CONFIG_VARIABLE}: {path}" if named else str(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        return {}, [f"{where}: cannot be read: {exc.strerror}; name a TOML file"]
    except UnicodeDecodeError as exc:
        return {}, [f"{where}: is not UTF-8 at byte {exc.start}; save it as UTF-8"]
    except tomllib.TOMLDecodeError as exc:
        return {}, [f"{where}: is not TOML: {exc}"]
    return {name: _Given(value, f"{name} in {path}") for name, value in table.items()}, []


def _refuse_environ(given: dict[str, _Given]) -> list[str]:
    """Take out the one field that only the process itself provides."""
    refused = given.pop("environ", None)
    return [f"{refused.written}: is not a setting"] if refused else []


def _written(given: Mapping[str, _Given], loc: Sequence[str | int]) -> str:
    """Return a value's name: the top-level one as written, then the way into the table."""
    top = given[str(loc[0])].written
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    name, _, place = top.partition(" in ")
    return f"{name}{inner} in {place}" if place else f"{name}{inner}"


def _summary(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"a setting is wrong: {problems[0]}"
    return "\n".join([f"{len(problems)} settings are wrong:", *(f"- {one}" for one in problems)])
