"""What the ``model`` of a request means: a model, or a stored chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.errors import InvalidRequest, ModelNotFound, NotFound
from runtime_core.types import Branch, Chain, ExecuteConfig, Task, Transition

if TYPE_CHECKING:
    from runtime_core.protocols import ChainStore, ModelGateway
    from runtime_core.types import ChatRequest

__all__ = ("CHAIN_PREFIX", "DIRECT", "chain_for", "question_of")

CHAIN_PREFIX = "chain:"

#: What a request that names a model runs: one task that asks that model.
DIRECT = Chain(
    id="direct",
    description="One answer of the model that the request names.",
    tasks=(
        Task(
            id="answer",
            handler="chat_completion",
            execute_config=ExecuteConfig(pass_clients_tools=True),
            transition=Transition(branches=(Branch(operator="default", goto="end"),)),
        ),
    ),
)


async def chain_for(
    model: str, tenant_id: str, *, chains: ChainStore, models: ModelGateway
) -> Chain:
    """Return the chain that answers a request for *model* on ``/v1``.

    :raises ModelNotFound: no backend has the model, no chain has the id.
    """
    if not model:
        raise InvalidRequest(
            "name a model: one of GET /v1/models, or chain:ID for a task chain", param="model"
        )
    if model.startswith(CHAIN_PREFIX):
        try:
            return (await chains.get(tenant_id, model.removeprefix(CHAIN_PREFIX))).chain
        except NotFound as error:
            raise ModelNotFound(error.message, param="model") from error
    if await models.find(model) is None:
        raise ModelNotFound(
            f"no backend has the model {model!r} now; GET /v1/models lists what there is",
            param="model",
        )
    return DIRECT


def question_of(request: ChatRequest) -> ChatRequest:
    """Return the request as a chain gets it: the name of a chain is not that of a model."""
    return replace(request, model="") if request.model.startswith(CHAIN_PREFIX) else request
