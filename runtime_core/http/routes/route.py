"""``/route/explain`` says who would answer a request, and why the others would not."""

from typing import cast, get_args

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from runtime_core.errors import Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.wire.route import ExplainBody, ExplanationWire, explanation_wire
from runtime_core.protocols import ModelGateway
from runtime_core.types import ModelRole, Wanted

__all__ = ("ROUTE",)


@post(
    "/route/explain",
    status_code=200,
    tags=["Backends"],
    summary="Explain a routing decision",
    opt={"example": {"role": "chat", "model": "llama3.2"}},
)
async def explain_route(
    data: JSONBody[ExplainBody], models: NamedDependency[ModelGateway]
) -> Response[ExplanationWire]:
    """Name who would be asked, in order, and say of all others why they would not; asks nobody."""
    wanted = _wanted(data)
    return answer(explanation_wire(wanted.role, await models.explain(wanted)))


ROUTE = (explain_route,)


def _wanted(data: ExplainBody) -> Wanted:
    role = data.role or "chat"
    roles = get_args(ModelRole)
    if role not in roles:
        raise Unprocessable(
            f"role: {role[:40]!r} is none; use one of {', '.join(roles)}", param="role"
        )
    tokens = data.context_tokens or 0
    if tokens < 0:
        raise Unprocessable("contextTokens: must not be below 0", param="contextTokens")
    named = [data.model] if data.model else []
    return Wanted(
        cast("ModelRole", role),
        models=tuple(dict.fromkeys([*named, *(data.models or ())])),
        providers=tuple(data.providers or ()),
        context_tokens=tokens,
    )
