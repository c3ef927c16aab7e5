"""A task of three tools, finished by LangChain's agent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

QUESTION = {"messages": [{"role": "user", "content": "Order two chairs; what do they cost?"}]}
FIND, PRICE, ORDER = (
    ("find", '{"name": "chair"}'),
    ("price", '{"id": "chair-1"}'),
    ("order", '{"id": "chair-1", "amount": 2}'),
)


@tool
def find(name: str) -> str:
    """Find the id of a thing."""
    return f"{name}-1"


@tool
def price(id: str) -> float:
    """Tell the price of a thing."""
    return 42.5


@tool
def order(id: str, amount: int) -> str:
    """Order a thing."""
    return f"ordered {amount} of {id}"


def agent(place: Any, *tools: Any, streaming: bool) -> Any:
    model = ChatOpenAI(
        model="agent",
        base_url=place.agent,
        api_key="none",
        max_retries=0,
        timeout=20,
        streaming=streaming,
    )
    return create_agent(model, list(tools))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("turns", [[[FIND], [PRICE], [ORDER]], [[FIND, PRICE], [ORDER]]])
async def test_an_agent_with_three_tools(place: Any, streaming: bool, turns: Any) -> None:
    for calls in turns:
        place.upstream.will_answer("Working.", tool_calls=calls)
    place.upstream.will_answer("85 in all.")
    done = await agent(place, find, price, order, streaming=streaming).ainvoke(QUESTION)
    assert done["messages"][-1].content == "85 in all."
    contents = [content for role, content in place.asked() if role == "tool"]
    assert contents == ["chair-1", "42.5", "ordered 2 of chair-1"]
    assert place.shop.calls == []


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_agent_does_not_notice_the_servers_tools(place: Any, streaming: bool) -> None:
    place.upstream.will_answer(tool_calls=[("shop_find", FIND[1])])
    place.upstream.will_answer(tool_calls=[("shop_price", PRICE[1]), ORDER])
    place.upstream.will_answer("85 in all.")
    done = await agent(place, order, streaming=streaming).ainvoke(QUESTION)
    assert [message.type for message in done["messages"]] == ["human", "ai", "tool", "ai"]
    assert done["messages"][-1].content == "85 in all."
    assert [name for name, _ in place.shop.calls] == ["find", "price"]
    asked = [content for role, content in place.asked() if role != "user"]
    assert asked == [
        ["shop_find"],
        '{"id":"chair-1"}',
        ["shop_price"],
        "42.5",
        ["order"],
        "ordered 2 of chair-1",
    ]
