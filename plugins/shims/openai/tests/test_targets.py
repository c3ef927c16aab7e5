"""What the model of a request stands for, and that answers are as they are described."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from runtime_shim_openai.described import Completion, OpenAIError
from runtime_shim_openai.targets import DIRECT, chain_for, find_target
from runtime_shim_openai.wire import error_to_wire

from runtime_core.errors import InvalidRequest, ModelNotFound, NotFound, RateLimited
from runtime_core.types import Chain, ChatCompletion, Message, ModelInfo, StoredChain, Usage
from runtime_core.types.interchange import completion_to_wire

CHAIN = Chain(id="org/ask")


class Chains:
    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        if (tenant_id, chain_id) != ("ours", "org/ask"):
            raise NotFound(f"there is no chain {chain_id!r}")
        now = datetime.now(UTC)
        return StoredChain(chain=CHAIN, created_at=now, updated_at=now)


class Models:
    found = (
        ModelInfo("m1"),
        ModelInfo("e1", can_chat=False, can_prompt=False, can_embed=True),
        ModelInfo("both", can_embed=True),
        ModelInfo("odd", can_chat=False, can_prompt=False),
        ModelInfo("prompts", can_chat=False, can_embed=True),
    )

    async def find(self, name: str) -> ModelInfo | None:
        return next((model for model in self.found if model.name == name), None)

    def missing(self, name: str) -> ModelNotFound:
        return ModelNotFound(f"no backend has the model {name!r}", param="model")


ROOMS: dict[str, Any] = {"chains": Chains(), "models": Models()}


@pytest.mark.parametrize("name", ["m1", "both", "odd", "prompts"])
async def test_a_model_is_asked_directly(name: str) -> None:
    """What no backend says of a model is left to the model: only a clear no is one."""
    assert await chain_for(name, "ours", **ROOMS) is DIRECT


async def test_a_model_that_only_embeds_is_found_but_does_not_chat() -> None:
    target = await find_target("e1", "ours", **ROOMS)
    assert isinstance(target, ModelInfo)
    with pytest.raises(InvalidRequest, match="POST /v1/embeddings") as caught:
        await chain_for("e1", "ours", **ROOMS)
    assert caught.value.param == "model"


async def test_a_chain_is_a_model_of_its_tenant() -> None:
    assert await chain_for("chain:org/ask", "ours", **ROOMS) is CHAIN
    with pytest.raises(ModelNotFound):
        await chain_for("chain:org/ask", "theirs", **ROOMS)


@pytest.mark.parametrize("name", ["none", "chain:none", "org/ask", "chain:"])
async def test_nothing_of_that_name(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await chain_for(name, "ours", **ROOMS)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_no_name() -> None:
    with pytest.raises(InvalidRequest, match="name a model") as caught:
        await chain_for("", "ours", **ROOMS)
    assert caught.value.param == "model"


def test_a_completion_is_as_described() -> None:
    completion = ChatCompletion(
        id="x",
        created=1,
        model="m1",
        message=Message(role="assistant", content="hi"),
        finish_reason="stop",
        usage=Usage(1, 2),
    )
    wire = completion_to_wire(completion)
    assert msgspec.to_builtins(msgspec.convert(wire, Completion)) == wire


def test_an_error_is_as_described() -> None:
    wire = error_to_wire(RateLimited("later", retry_after=3))
    read = msgspec.json.decode(wire, type=OpenAIError)
    assert msgspec.to_builtins(read) == msgspec.json.decode(wire)
    assert read.error.param is None
