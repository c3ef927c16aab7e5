"""``/hooks`` and ``/supported``: the hooks that chains and models can use."""

from litestar import Response, get
from litestar.di import NamedDependency

from runtime_core.http.answers import answer
from runtime_core.http.wire.hooks import HookRow, hook_row
from runtime_core.protocols import Toolbox

__all__ = ("HOOKS",)


@get("/hooks", tags=["Hooks"], summary="List hooks with their tools")
async def list_hooks(
    toolbox: NamedDependency[Toolbox], tenant_id: NamedDependency[str]
) -> Response[list[HookRow]]:
    """Return every hook, wherever it comes from, with its tools, or why they cannot be had now."""
    return answer([hook_row(hook) for hook in await toolbox.hooks(tenant_id)])


@get("/supported", tags=["Hooks"], summary="List hook names")
async def supported(
    toolbox: NamedDependency[Toolbox], tenant_id: NamedDependency[str]
) -> Response[list[str]]:
    """Return the name of every hook that chains can use."""
    return answer([hook.name for hook in await toolbox.hooks(tenant_id)])


HOOKS = (list_hooks, supported)
