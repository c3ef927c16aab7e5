"""``/embed`` turns texts into vectors, ``/defaultmodel`` names the model that does."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from runtime_core.errors import Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.disconnect import until_disconnected
from runtime_core.http.runs import route_headers
from runtime_core.http.wire.execution import DefaultModel, EmbedAnswer, EmbedBody
from runtime_core.protocols import ModelGateway
from runtime_core.types import Wanted

__all__ = ("EMBED",)


@post(
    "/embed",
    status_code=200,
    tags=["Execution"],
    summary="Turn texts into vectors",
    opt={"asks": True, "example": {"text": "The quick brown fox"}},
)
async def embed(
    request: Request[Any, Any, Any],
    data: JSONBody[EmbedBody],
    models: NamedDependency[ModelGateway],
) -> Response[EmbedAnswer]:
    """Return the vector of `text`, or one vector for each of `texts`."""
    texts = _texts(data)
    routed, embeddings = await until_disconnected(request, models.embed(Wanted("embed"), texts))
    headers = route_headers(routed)
    if data.texts is None:
        return answer(EmbedAnswer(vector=embeddings.vectors[0]), headers=headers)
    return answer(EmbedAnswer(vectors=embeddings.vectors), headers=headers)


@get("/defaultmodel", tags=["Execution"], summary="Name the embedding model")
async def default_model(models: NamedDependency[ModelGateway]) -> Response[DefaultModel]:
    """Return the model that texts are embedded with."""
    return answer(DefaultModel(models.default_model("embed")))


def _texts(data: EmbedBody) -> list[str]:
    if data.text is not None and data.texts is not None:
        raise Unprocessable("send either text or texts, not both", param="texts")
    if data.texts is None:
        if not data.text:
            raise Unprocessable("text: must not be empty", param="text")
        return [data.text]
    if not data.texts:
        raise Unprocessable("texts: must not be empty", param="texts")
    for index, text in enumerate(data.texts):
        if not text:
            raise Unprocessable(f"texts.{index}: must not be empty", param=f"texts.{index}")
    return data.texts


EMBED = (embed, default_model)
