"""The routes: chat completions, models and embeddings, for one chain and for the whole server."""

import time
from typing import Annotated, Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from runtime_core.errors import RuntimeCoreError
from runtime_core.http import (
    ClientDisconnected,
    EventStream,
    Feed,
    RunFailed,
    answer,
    collect,
    describe,
    error_headers,
    last_route,
    new_run_id,
    route_headers,
    run_headers,
    sse_frame,
    step_wire,
    until_disconnected,
)
from runtime_core.protocols import ChainRunner, ChainStore, ModelGateway
from runtime_core.types import Chain, ChatRequest, RunRequest, Value, Wanted
from runtime_core.types.interchange import (
    ChatBody,
    WireBody,
    completion_to_wire,
    read_chat_body,
)
from runtime_shim_openai.answers import CompletionStream, begins, completion_of
from runtime_shim_openai.described import EXAMPLE, Completion, OpenAIError
from runtime_shim_openai.targets import (
    CHAIN_PREFIX,
    chain_for,
    find_target,
    question_of,
    require_embedder,
)
from runtime_shim_openai.wire import (
    EmbeddingList,
    EmbeddingRequest,
    Model,
    ModelList,
    embeddings_to_wire,
    error_to_wire,
    texts_of,
)

__all__ = ("routers",)

StackTrace = Annotated[
    str | None,
    QueryParameter(
        name="stackTrace",
        description="`true` adds the run's steps to a plain answer.",
        required=False,
    ),
]

_COMPLETES = {"asks": True, "streams": True, "answer": Completion, "example": EXAMPLE}


@post("/chat/completions", status_code=200, opt=_COMPLETES)
async def complete_with_chain(
    request: Request[Any, Any, Any],
    chain_id: FromPath[str],
    data: JSONBody[WireBody],
    tenant_id: NamedDependency[str],
    chains: NamedDependency[ChainStore],
    models: NamedDependency[ModelGateway],
    runner: NamedDependency[ChainRunner],
    settings: NamedDependency[Any],
    stack_trace: StackTrace = None,
) -> Response[Any]:
    """Answer a conversation with a stored task chain, plainly or as a stream."""
    chain = (await chains.get(tenant_id, chain_id)).chain
    body = read_chat_body(data)
    question = await question_of(body.request, chain, models)
    run = _run(chain, question, tenant_id, live=body.stream)
    if body.stream:
        return await _stream(request, runner, run, body, settings.sse_heartbeat)
    return await _complete(request, runner, run, body, stack_trace)


@post("/chat/completions", status_code=200, opt=_COMPLETES)
async def complete_with_model(
    request: Request[Any, Any, Any],
    data: JSONBody[WireBody],
    tenant_id: NamedDependency[str],
    chains: NamedDependency[ChainStore],
    models: NamedDependency[ModelGateway],
    runner: NamedDependency[ChainRunner],
    settings: NamedDependency[Any],
    stack_trace: StackTrace = None,
) -> Response[Any]:
    """Answer a conversation with the model, or the chain (`chain:ID`), that is named."""
    chain = await chain_for(data.model or "", tenant_id, chains=chains, models=models)
    body = read_chat_body(data)
    question = await question_of(body.request, chain, models)
    run = _run(chain, question, tenant_id, live=body.stream)
    if body.stream:
        return await _stream(request, runner, run, body, settings.sse_heartbeat)
    return await _complete(request, runner, run, body, stack_trace)


def _run(chain: Chain, question: ChatRequest, tenant_id: str, *, live: bool) -> RunRequest:
    return RunRequest(
        chain=chain,
        input=Value(question, "openai_chat"),
        run_id=new_run_id(),
        tenant_id=tenant_id,
        live=live,
    )


async def _complete(
    request: Request[Any, Any, Any],
    runner: ChainRunner,
    run: RunRequest,
    body: ChatBody,
    stack_trace: str | None,
) -> Response[Any]:
    finished = await until_disconnected(request, collect(runner, run))
    completion = completion_to_wire(completion_of(finished.output, body.request.model))
    if stack_trace in ("true", "True"):
        completion["stackTrace"] = [step_wire(step) for step in finished.steps]
    return answer(completion, headers=run_headers(run.run_id, finished.route))


async def _stream(
    request: Request[Any, Any, Any],
    runner: ChainRunner,
    run: RunRequest,
    body: ChatBody,
    heartbeat: float,
) -> Response[Any]:
    """Begin to stream once there is something to say: until then an error has its status."""
    feed = Feed(runner.run(run))
    try:
        await until_disconnected(request, feed.head(begins))
    except RuntimeCoreError as error:
        raise RunFailed(error, run.run_id) from error
    stream = CompletionStream(body.request.model, include_usage=body.include_usage)
    return EventStream(
        feed,
        stream.encode,
        finish=stream.finish,
        error=lambda error: sse_frame(error_to_wire(error)),
        heartbeat=heartbeat,
        headers=run_headers(run.run_id, last_route(feed.pending)),
    )


@get("/models")
async def list_models(
    models: NamedDependency[ModelGateway],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> ModelList:
    """List the models of all backends, and the stored chains as `chain:ID`."""
    return await _listing(models, chains, tenant_id)


@post("/models", status_code=200)
async def list_models_again(
    models: NamedDependency[ModelGateway],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> ModelList:
    """Answer as `GET` does: some clients ask this way."""
    return await _listing(models, chains, tenant_id)


@get("/models/{model_id:path}")
async def show_model(
    model_id: FromPath[str],
    models: NamedDependency[ModelGateway],
    chains: NamedDependency[ChainStore],
    tenant_id: NamedDependency[str],
) -> Model:
    """Show one model, or the chain `chain:ID`."""
    name = model_id.removeprefix("/")
    await find_target(name, tenant_id, chains=chains, models=models)
    return Model(id=name, created=int(time.time()))


@post(
    "/embeddings",
    status_code=200,
    opt={"asks": True, "example": {"model": "echo-embed", "input": ["Hello!"]}},
)
async def embed(
    request: Request[Any, Any, Any],
    data: JSONBody[EmbeddingRequest],
    models: NamedDependency[ModelGateway],
) -> Response[EmbeddingList]:
    """Turn texts into vectors."""
    texts = texts_of(data)
    wanted = Wanted("embed", (data.model,) if data.model else ())
    if data.model:
        await require_embedder(data.model, models)
    routed, found = await until_disconnected(request, models.embed(wanted, texts))
    packed = data.encoding_format == "base64"
    return answer(
        embeddings_to_wire(found, data.model or routed.model, packed=packed),
        headers=route_headers(routed),
    )


async def _listing(models: ModelGateway, chains: ChainStore, tenant_id: str) -> ModelList:
    now = int(time.time())
    names = dict.fromkeys(model.name for _, model in await models.models())
    listed = [Model(id=name, created=now) for name in names]
    page = await chains.list(tenant_id, limit=1000)
    listed += [
        Model(id=CHAIN_PREFIX + stored.chain.id, created=int(stored.created_at.timestamp()))
        for stored in page.items
    ]
    return ModelList(data=listed)


def _answer_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    if isinstance(exc, ClientDisconnected):
        return Response(b"", status_code=499, media_type="application/json")
    error = describe(exc)
    headers = error_headers(error)
    if isinstance(exc, RunFailed):
        headers |= run_headers(exc.run_id)
    return Response(
        error_to_wire(error),
        status_code=error.status,
        headers=headers,
        media_type="application/json",
    )


def routers() -> list[Router]:
    """Return the routes of one chain, of the whole server, and a listing's older address."""
    shared: dict[str, Any] = {
        "exception_handlers": {Exception: _answer_error},
        "opt": {"error": OpenAIError},
        "tags": ["OpenAI"],
    }
    common = [list_models, list_models_again, show_model, embed]
    return [
        Router(
            "/openai/{chain_id:str}/v1", route_handlers=[complete_with_chain, *common], **shared
        ),
        Router("/v1", route_handlers=[complete_with_model, *common], **shared),
        Router("/openai/v1", route_handlers=[list_models, list_models_again], **shared),
    ]
