"""The chains that a server starts with."""

from __future__ import annotations

from runtime_core.types import Branch, Chain, ExecuteConfig, Task, Transition

__all__ = ("chat_chain",)


def chat_chain(chain_id: str) -> Chain:
    """Return the default chain of ``POST /chat``."""
    task = Task(
        id="chat",
        description="One turn of the conversation.",
        handler="chat_completion",
        execute_config=ExecuteConfig(pass_clients_tools=True),
        transition=Transition(branches=(Branch(operator="default", goto="end"),)),
    )
    return Chain(id=chain_id, description="The default chain of POST /chat.", tasks=(task,))
