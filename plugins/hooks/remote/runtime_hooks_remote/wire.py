"""Remote hooks on the wire."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType, field

from runtime_hooks_remote.masks import REFERENCE, is_sensitive
from runtime_hooks_remote.texts import plain

if TYPE_CHECKING:
    from runtime_core.types import HookInfo, Tool
    from runtime_hooks_remote.hook import RemoteHook
    from runtime_hooks_remote.injection import Injection

__all__ = (
    "HookBody",
    "HookWire",
    "LintBody",
    "LocalHookWire",
    "PropertyBody",
    "PropertyWire",
    "ToolWire",
    "hook_wire",
    "is_mask",
    "local_hook_wire",
    "masked",
    "tool_wire",
)


class PropertyBody(Struct, frozen=True):
    """A value that goes into each call: ``in`` path, query, header, cookie, else the body."""

    name: str | None = None
    value: Any = None
    place: str | None = field(name="in", default=None)

    def __repr__(self) -> str:
        return f"PropertyBody({self.name!r})"


class HookBody(Struct, frozen=True, rename="camel"):
    """A remote hook to register.

    ``documentUrl`` is where its OpenAPI document is, when not at ``{endpointUrl}/openapi.json``;
    ``shape`` holds JMESPath expressions by tool name, ``*`` for every other tool.
    """

    id: str | None = None
    name: str | None = None
    endpoint_url: str | None = None
    timeout_ms: int | None = None
    headers: dict[str, str | None] | None = None
    properties: PropertyBody | None = None
    document_url: str | None = None
    max_response_bytes: int | None = None
    shape: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"HookBody({self.name!r})"


class LintBody(HookBody, frozen=True, rename="camel"):
    """What to look at: a hook by its ``name``, one to be, or just a ``document``."""

    document: dict[str, Any] | str | None = None

    def __repr__(self) -> str:
        return f"LintBody({self.name!r})"


class PropertyWire(Struct, frozen=True):
    """The value that goes into each call; credentials are masked."""

    name: str = ""
    value: Any = None
    place: str = field(name="in", default="")


class HookWire(Struct, frozen=True, rename="camel", kw_only=True):
    """A remote hook; credentials are masked.

    ``error`` says what was wrong with its document when it was last asked for.
    """

    id: str
    name: str
    endpoint_url: str
    timeout_ms: int
    headers: dict[str, str] | UnsetType = UNSET
    properties: PropertyWire
    document_url: str | UnsetType = UNSET
    max_response_bytes: int | UnsetType = UNSET
    shape: dict[str, str] | UnsetType = UNSET
    created_at: str
    updated_at: str
    error: str | UnsetType = UNSET


class FunctionWire(Struct, frozen=True):
    """A function as models are told of it."""

    name: str
    description: str
    parameters: dict[str, Any] | None


class ToolWire(Struct, frozen=True, kw_only=True):
    """A tool as models are told of it."""

    type: str = "function"
    function: FunctionWire


class LocalHookWire(Struct, frozen=True, kw_only=True):
    """A hook that runs in the server itself."""

    name: str
    description: str
    type: str = "local"
    tools: list[ToolWire] | UnsetType = UNSET


def hook_wire(hook: RemoteHook, error: str = "") -> HookWire:
    """Return the wire form of *hook*."""
    options = hook.options
    return HookWire(
        id=hook.id,
        name=hook.name,
        endpoint_url=hook.endpoint_url,
        timeout_ms=hook.timeout_ms,
        headers={k: masked(k, v) for k, v in hook.injection.headers.items()} or UNSET,
        properties=_property(hook.injection, options.property_in),
        document_url=options.document_url or UNSET,
        max_response_bytes=options.max_response_bytes or UNSET,
        shape=options.shape or UNSET,
        created_at=_time(hook.created_at),
        updated_at=_time(hook.updated_at),
        error=error or UNSET,
    )


def tool_wire(tool: Tool) -> ToolWire:
    """Return the wire form of *tool*."""
    function = FunctionWire(tool.name, tool.description, tool.parameters)
    return ToolWire(function=function)


def local_hook_wire(hook: HookInfo) -> LocalHookWire:
    """Return the wire form of a hook of this process."""
    tools = [tool_wire(tool) for tool in hook.tools] or UNSET
    return LocalHookWire(name=hook.name, description=hook.description, tools=tools)


def masked(name: str, value: Any) -> Any:
    """Return a header's or property's value as it may be shown.

    A credential, which may be a number, is shown as ``Bearer sk-…abcd``; references to secrets,
    and what is no credential, as they are.
    """
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return value
    text = plain(value)
    if not is_sensitive(name, text) or _is_reference(text):
        return value
    scheme, space, rest = text.partition(" ")
    if space and scheme.isalpha():
        return f"{scheme} {_hidden(rest)}"
    return _hidden(text)


def is_mask(name: str, text: str) -> bool:
    """Whether *text* is how `masked` shows some credential, and cannot be one."""
    return is_sensitive(name, text) and _MASK.fullmatch(text.strip()) is not None


_MASK = re.compile(r"(?:[A-Za-z]+ )?(?:.{3}….{4}|…)", re.DOTALL)
_LONE = re.compile(rf"(?:[A-Za-z]+ +)?{REFERENCE.pattern}")

#: A credential shorter than this is hidden whole: seven characters would be too much of it.
_SHOWABLE = 16


def _is_reference(value: str) -> bool:
    return _LONE.fullmatch(value.strip()) is not None


def _hidden(value: str) -> str:
    return f"{value[:3]}…{value[-4:]}" if len(value) >= _SHOWABLE else "…"


def _property(injection: Injection, place: str) -> PropertyWire:
    value = masked(injection.name, injection.value) if injection.name else None
    return PropertyWire(injection.name, value, place)


def _time(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
