"""``/models``: the models that operators want their backends to have."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from runtime_core.errors import Forbidden, InvalidRequest, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.fleet import ModelBody, ModelWire, model_wire
from runtime_core.protocols import DownloadQueue, FleetState, ModelStore
from runtime_core.settings import Settings
from runtime_core.types import DeclaredModel

__all__ = ("MODELS",)

_TAGS = ["Models"]
_EXAMPLE = {
    "model": "llama3.2:3b",
    "contextLength": 8192,
    "canChat": True,
    "canPrompt": True,
    "canStream": True,
}
_BODY = {"example": _EXAMPLE, "refuses": ("409",)}
_LONGEST_CONTEXT = 2**31 - 1

Purge = Annotated[
    str | None,
    QueryParameter(
        name="purge",
        description="`true` removes the model's downloads too, running ones included.",
        required=False,
    ),
]


@post("/models", status_code=201, tags=_TAGS, summary="Declare a model", opt=_BODY)
async def create_model(
    data: JSONBody[ModelBody],
    model_store: NamedDependency[ModelStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[ModelWire]:
    """Declare a model; the backends of the groups it is assigned to shall have it."""
    created = await model_store.create(tenant_id, _declared(data, data.model or ""))
    await fleet.changed(tenant_id)
    return answer(model_wire(created), status=201)


@get("/models", tags=_TAGS, summary="List declared models")
async def list_models(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    model_store: NamedDependency[ModelStore],
    tenant_id: NamedDependency[str],
) -> Response[list[ModelWire]]:
    """Return declared models, newest first."""
    found = await model_store.list(tenant_id, limit=page.limit, cursor=page.cursor)
    return listing(request, [model_wire(one) for one in found.items], found.next_cursor)


@put(
    "/models/{model:str}",
    tags=_TAGS,
    summary="Replace a declared model",
    opt=_BODY,
)
async def update_model(
    model: FromPath[str],
    data: JSONBody[ModelBody],
    model_store: NamedDependency[ModelStore],
    fleet: NamedDependency[FleetState],
    tenant_id: NamedDependency[str],
) -> Response[ModelWire]:
    """Replace the declared model of an id; it stays in its groups."""
    if data.id not in (None, "", model):
        raise Unprocessable("id: must be empty or the id in the path", param="id")
    updated = await model_store.update(tenant_id, _declared(data, model))
    await fleet.changed(tenant_id)
    return answer(model_wire(updated))


@delete(
    "/models/{model:str}",
    status_code=200,
    tags=_TAGS,
    summary="Delete a declared model",
    opt={"refuses": ("403",)},
)
async def delete_model(
    model: FromPath[str],
    model_store: NamedDependency[ModelStore],
    downloads: NamedDependency[DownloadQueue],
    fleet: NamedDependency[FleetState],
    settings: NamedDependency[Settings],
    tenant_id: NamedDependency[str],
    purge: Purge = None,
) -> Response[str]:
    """Forget the declared model of a name; it stays on the backends that have it."""
    if model == settings.embed_model:
        raise Forbidden(
            f"the model {model!r} is the one that texts are embedded with (EMBED_MODEL), and "
            "cannot be deleted"
        )
    await model_store.delete_by_name(tenant_id, model)
    # while it is declared, a removed download would be queued again
    await fleet.changed(tenant_id)
    if purge == "true":
        await downloads.cancel(tenant_id, model=model)
    return answer("model removed")


MODELS = (create_model, list_models, update_model, delete_model)


def _declared(data: ModelBody, model_id: str) -> DeclaredModel:
    length = data.context_length or 0
    if not data.model:
        raise InvalidRequest("model: this field is required", param="model")
    if length < 0:
        raise Unprocessable("contextLength: must be above 0", param="contextLength")
    if not length:
        raise InvalidRequest("contextLength: this field is required", param="contextLength")
    if length > _LONGEST_CONTEXT:
        raise InvalidRequest(
            f"contextLength: must be at most {_LONGEST_CONTEXT}", param="contextLength"
        )
    if not (data.can_chat or data.can_embed or data.can_prompt or data.can_stream):
        raise InvalidRequest(
            "at least one of canChat, canEmbed, canPrompt and canStream has to be true",
            param="canChat",
        )
    now = datetime.now(UTC)
    return DeclaredModel(
        id=model_id,
        model=data.model,
        context_length=length,
        can_chat=bool(data.can_chat),
        can_embed=bool(data.can_embed),
        can_prompt=bool(data.can_prompt),
        can_stream=bool(data.can_stream),
        created_at=now,
        updated_at=now,
    )
