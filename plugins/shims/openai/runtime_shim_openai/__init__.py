"""OpenAI-compatible routes over task chains and models.

``/openai/{chain}/v1`` answers with a stored chain; ``/v1`` with the model, or the chain
(``chain:ID``), that the request names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.types import ControllerRouterHandler

__all__ = ("register_routes",)


@hookimpl
def register_routes() -> Sequence[ControllerRouterHandler]:
    """Mount the routes of a chain and those of the whole server."""
    from runtime_shim_openai.routes import routers

    return routers()
