"""The kernel's own routes, one module a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.http.routes.affinity import AFFINITY
from runtime_core.http.routes.backends import BACKENDS
from runtime_core.http.routes.chat import CHAT
from runtime_core.http.routes.documents import DOCUMENTS
from runtime_core.http.routes.embed import EMBED
from runtime_core.http.routes.execute import EXECUTE
from runtime_core.http.routes.groups import GROUPS
from runtime_core.http.routes.hooks import HOOKS
from runtime_core.http.routes.models import MODELS
from runtime_core.http.routes.providers import PROVIDERS
from runtime_core.http.routes.queue import QUEUE
from runtime_core.http.routes.route import ROUTE
from runtime_core.http.routes.secrets import SECRETS
from runtime_core.http.routes.state import STATE
from runtime_core.http.routes.taskchains import TASK_CHAINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.handlers import HTTPRouteHandler

__all__ = ("kernel_routes",)


def kernel_routes() -> Sequence[HTTPRouteHandler]:
    """Return the handlers of every route that needs no plugin."""
    fleet = (*BACKENDS, *STATE, *MODELS, *GROUPS, *AFFINITY, *PROVIDERS, *ROUTE, *QUEUE)
    running = (*EXECUTE, *EMBED, *CHAT, *HOOKS)
    return (*DOCUMENTS, *running, *TASK_CHAINS, *fleet, *SECRETS)
