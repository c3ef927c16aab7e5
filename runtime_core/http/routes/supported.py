"""``/supported`` lists the hooks there are."""

from litestar import Response, get
from litestar.di import NamedDependency

from runtime_core.http.answers import answer
from runtime_core.protocols import Toolbox

__all__ = ("SUPPORTED",)


@get("/supported", tags=["Hooks"], summary="List hook names")
async def supported(
    toolbox: NamedDependency[Toolbox], tenant_id: NamedDependency[str]
) -> Response[list[str]]:
    """Return the name of every hook that chains can use."""
    return answer([hook.name for hook in await toolbox.hooks(tenant_id)])


SUPPORTED = (supported,)
