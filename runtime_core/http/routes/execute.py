"""``/execute`` runs a prompt, ``/tasks`` a chain."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from runtime_core.engine.chain import decode_chain
from runtime_core.engine.values import to_value
from runtime_core.errors import InvalidRequest, Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.context import request_id
from runtime_core.http.disconnect import until_disconnected
from runtime_core.http.runs import collect, live_run, new_run_id, run_headers, run_output
from runtime_core.http.wire.execution import ExecuteAnswer, ExecuteBody, TasksAnswer, TasksBody
from runtime_core.http.wire.runs import step_wire
from runtime_core.protocols import ChainRunner, ChainStore
from runtime_core.settings import Settings
from runtime_core.types import (
    Branch,
    Chain,
    ExecuteConfig,
    RunRequest,
    Task,
    Transition,
    Value,
)

__all__ = ("EXECUTE",)

_INSTRUCTION = (
    "You are a task processor. Answer the request directly: no introduction, no questions back, "
    "no remarks about the answer."
)

_EXAMPLE = {
    "input": "What is the capital of France?",
    "inputType": "string",
    "chain": {
        "id": "ask",
        "tasks": [
            {
                "id": "answer",
                "handler": "prompt_to_string",
                "prompt_template": "{{.input}}",
                "transition": {"branches": [{"operator": "default", "goto": "end"}]},
            }
        ],
    },
}


@post(
    "/execute",
    status_code=200,
    tags=["Execution"],
    summary="Run a prompt",
    opt={"asks": True, "example": {"prompt": "What is the capital of France?"}},
)
async def execute(
    request: Request[Any, Any, Any],
    data: JSONBody[ExecuteBody],
    runner: NamedDependency[ChainRunner],
    tenant_id: NamedDependency[str],
) -> Response[ExecuteAnswer]:
    """Ask the default model for tasks, or the one named, and return its answer as it wrote it."""
    if not data.prompt:
        raise InvalidRequest("prompt: must not be empty", param="prompt")
    run = RunRequest(
        chain=_prompt_chain(data),
        input=Value(data.prompt, "string"),
        run_id=new_run_id(),
        tenant_id=tenant_id,
    )
    finished = await until_disconnected(request, collect(runner, run))
    response = finished.text or str(run_output(finished.output))
    return answer(
        ExecuteAnswer(run.run_id, response), headers=run_headers(run.run_id, finished.route)
    )


@post(
    "/tasks",
    status_code=200,
    tags=["Execution"],
    summary="Run a task chain",
    opt={"asks": True, "example": _EXAMPLE, "streams": True},
)
async def run_tasks(
    request: Request[Any, Any, Any],
    data: JSONBody[TasksBody],
    runner: NamedDependency[ChainRunner],
    chains: NamedDependency[ChainStore],
    settings: NamedDependency[Settings],
    tenant_id: NamedDependency[str],
) -> Response[TasksAnswer]:
    """Run the chain sent along, or the stored one named by `chainId`, with the given input.

    With `Accept: text/event-stream` the run's events are sent while they happen: `step_started`,
    `model_routed`, `delta`, `tool_call`, `step_finished` and, last, `run_finished`.
    """
    live = "text/event-stream" in request.headers.get("accept", "")
    run = RunRequest(
        chain=await _chain(data, chains, tenant_id),
        input=to_value(data.input, data.input_type),
        run_id=new_run_id(),
        tenant_id=tenant_id,
        template_vars={**(data.template_vars or {}), "request_id": request_id.get()},
        live=live,
    )
    if live:
        return await live_run(request, runner, run, heartbeat=settings.sse_heartbeat)
    finished = await until_disconnected(request, collect(runner, run))
    return answer(
        TasksAnswer(
            output=run_output(finished.output),
            output_type=finished.output.output_type,
            state=[step_wire(step) for step in finished.steps],
        ),
        headers=run_headers(run.run_id, finished.route),
    )


async def _chain(data: TasksBody, chains: ChainStore, tenant_id: str) -> Chain:
    if data.chain is not None and data.chain_id:
        raise Unprocessable("send either chain or chainId, not both", param="chainId")
    if data.chain_id:
        return (await chains.get(tenant_id, data.chain_id)).chain
    if data.chain is None:
        raise Unprocessable(
            "chain: send a chain, or the id of a stored one as chainId", param="chain"
        )
    try:
        return decode_chain(data.chain)
    except Unprocessable as error:
        param = f"chain.{error.param}" if error.param else "chain"
        raise Unprocessable(f"chain: {error.message}", param=param) from error


def _prompt_chain(data: ExecuteBody) -> Chain:
    task = Task(
        id="execute",
        handler="prompt_to_string",
        system_instruction=_INSTRUCTION,
        execute_config=ExecuteConfig(
            model=data.model_name or "", provider=data.model_provider or "", temperature=0.1
        ),
        transition=Transition(branches=(Branch(operator="default", goto="end"),)),
    )
    return Chain(id="execute", tasks=(task,))


EXECUTE = (execute, run_tasks)
