"""What a setting can be: each type with its limits, and the words for what it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from runtime_core.settings import values
from runtime_core.settings.errors import Allowed

__all__ = (
    "Address",
    "Bytes",
    "Count",
    "CountOrOff",
    "DriverURL",
    "Names",
    "Origins",
    "Port",
    "Seconds",
    "SecretKeys",
    "Switch",
    "Token",
    "Tokens",
)

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
