"""What the ``model`` of a request means: a model, or a stored chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.errors import InvalidRequest, ModelNotFound, NotFound
from runtime_core.types import Branch, Chain, ExecuteConfig, Task, Transition

if TYPE_CHECKING:
    from runtime_core.protocols import ChainStore, ModelGateway
    from runtime_core.types import ChatRequest, ModelInfo

__all__ = ("CHAIN_PREFIX", "DIRECT", "chain_for", "find_target", "question_of", "require_embedder")

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
    :raises NoBackendAvailable: a backend that may have the model cannot be reached.
    :raises InvalidRequest: the model only makes embeddings.
    """
    target = await find_target(model, tenant_id, chains=chains, models=models)
    if isinstance(target, Chain):
        return target
    if target.can_embed and not (target.can_chat or target.can_prompt):
        raise InvalidRequest(
            f"the model {model!r} does not chat, it makes embeddings: POST /v1/embeddings",
            param="model",
        )
    return DIRECT


async def find_target(
    model: str, tenant_id: str, *, chains: ChainStore, models: ModelGateway
) -> Chain | ModelInfo:
    """Return what *model* is the name of on ``/v1``.

    :raises ModelNotFound: no backend has the model, no chain has the id.
    :raises NoBackendAvailable: a backend that may have the model cannot be reached.
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
    found = await models.find(model)
    if found is None:
        raise models.missing(model)
    return found


async def require_embedder(model: str, models: ModelGateway) -> None:
    """Check that *model* can be asked for embeddings.

    :raises ModelNotFound: no backend has it.
    :raises NoBackendAvailable: a backend that may have it cannot be reached.
    :raises InvalidRequest: as far as is known, it only chats.
    """
    found = await models.find(model)
    if found is None:
        raise models.missing(model)
    if not found.can_embed:
        raise InvalidRequest(
            f"the model {model!r} is not known to make embeddings; if it does, declare it: "
            "EMBED_MODEL in the settings, or POST /models with canEmbed",
            param="model",
        )


async def question_of(request: ChatRequest, chain: Chain, models: ModelGateway) -> ChatRequest:
    """Return the request as a chain gets it.

    A client that names the chain where a model is expected leaves the choice to the chain.
    """
    named = request.model.startswith(CHAIN_PREFIX)
    if not named and request.model == chain.id:
        named = await models.find(request.model) is None
    return replace(request, model="") if named else request
