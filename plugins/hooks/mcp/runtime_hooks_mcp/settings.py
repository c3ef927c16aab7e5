"""The table ``[plugins.mcp-hooks]``: MCP servers to use, and what is offered at ``/mcp``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ("MCPSettings", "ServerSettings")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _named(servers: dict[str, ServerSettings]) -> dict[str, ServerSettings]:
    for name in servers:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} cannot be the name of a hook: use 1 to 64 of the characters "
                "A-Z a-z 0-9 _ -"
            )
    return servers


class ServerSettings(BaseModel):
    """One ``[plugins.mcp-hooks.servers.NAME]`` table: a program to start, or a URL.

    Values of ``env`` and ``headers`` may hold ``{{secret:NAME}}``.  ``tools`` are the names, as
    the server has them, of the tools to use; empty means all.  ``max_message`` is the largest
    message read from the server, ``max_result`` the largest result passed on, both in bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    description: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    tools: tuple[str, ...] = ()
    timeout: Seconds = 60.0
    connect_timeout: Seconds = 30.0
    refresh: Seconds = 60.0
    max_message: Annotated[int, Field(ge=4096)] = 16 * _MIB
    max_result: Annotated[int, Field(ge=1024)] = _MIB

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("set either command, to start a program, or url, to connect to one")
        if self.url:
            _check_url(self.url)
            _refuse(self, ("args", "env", "cwd"), "url")
        else:
            _refuse(self, ("headers",), "command")
        return self

    @property
    def transport(self) -> Literal["stdio", "http"]:
        """How the server is spoken to."""
        return "http" if self.url else "stdio"


class MCPSettings(BaseModel):
    """MCP servers by name, and what this server offers as one.

    ``chains`` are the ids of the chains to offer; empty means all.  ``offer_mcp`` also offers the
    hooks that come from MCP servers.  ``allowed_origins`` are further origins of web pages that
    may use ``/mcp``, ``allowed_hosts`` further names it may be addressed by without a key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: Annotated[dict[str, ServerSettings], AfterValidator(_named)] = Field(
        default_factory=dict
    )
    offer_chains: bool = True
    chains: tuple[str, ...] = ()
    offer_hooks: bool = False
    offer_mcp: bool = False
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url must be like https://example.com/mcp, not {url!r}")
    if "@" in parts.netloc:
        raise ValueError("url must not hold a user or a password: send them as headers")


def _refuse(settings: ServerSettings, names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if getattr(settings, name):
            raise ValueError(f"{name} has no meaning beside {kind}")
