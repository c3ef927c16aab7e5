"""What arguments must not hold: references to secrets, which nobody here would put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.errors import TaskFailed

if TYPE_CHECKING:
    from runtime_core.types import ToolRequest
    from runtime_hooks_mcp.settings import ServerSettings

__all__ = ("refuse_secrets",)


def refuse_secrets(request: ToolRequest, settings: ServerSettings) -> None:
    """Refuse a call in whose arguments the chain names a secret.

    :raises TaskFailed: with where the credential belongs.
    """
    if not request.secrets:
        return
    argument, names = next(iter(request.secrets.items()))
    named = ", ".join(f"{{{{secret:{name}}}}}" for name in names)
    place = "headers" if settings.transport == "http" else "env"
    raise TaskFailed(
        f"the argument {argument!r} names {named}, and arguments for MCP servers are sent without "
        f"secrets: put the credential into {place} of [plugins.mcp-hooks.servers.{request.hook}]"
    )
