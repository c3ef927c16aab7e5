"""What tasks can do: one file a family, registered by one function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.engine.handlers.backstage import Backstage
from runtime_core.engine.handlers.calling import ToolLimits
from runtime_core.engine.handlers.chat import ChatCompletionHandler
from runtime_core.engine.handlers.embedding import EmbeddingHandler
from runtime_core.engine.handlers.hook import HookHandler
from runtime_core.engine.handlers.prompts import prompt_handlers
from runtime_core.engine.handlers.response import ChatResponseHandler
from runtime_core.engine.handlers.texts import (
    NoopHandler,
    ParseCommandHandler,
    ParseKeyValueHandler,
    RaiseErrorHandler,
)
from runtime_core.engine.handlers.tools import ToolCallsHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.protocols import TaskHandler

__all__ = ("ALIASES", "ToolLimits", "builtin_handlers")

#: Names that older chains use.
ALIASES = {
    "raw_string": "prompt_to_string",
    "condition_key": "prompt_to_condition",
    "parse_number": "prompt_to_int",
    "parse_score": "prompt_to_float",
    "parse_range": "prompt_to_range",
    "embedding": "text_to_embedding",
    "model_execution": "chat_completion",
    "parse_transition": "parse_command",
}


def builtin_handlers(limits: ToolLimits | None = None) -> Mapping[str, TaskHandler]:
    """Return the engine's own handlers by name, older names included.

    :param limits: of the tools that models call.
    """
    backstage = Backstage()
    handlers: dict[str, TaskHandler] = {
        **prompt_handlers(),
        "text_to_embedding": EmbeddingHandler(),
        "chat_completion": ChatCompletionHandler(backstage),
        "execute_tool_calls": ToolCallsHandler(backstage, limits or ToolLimits()),
        "convert_to_openai_chat_response": ChatResponseHandler(),
        "hook": HookHandler(),
        "noop": NoopHandler(),
        "raise_error": RaiseErrorHandler(),
        "parse_command": ParseCommandHandler(),
        "parse_key_value": ParseKeyValueHandler(),
    }
    return handlers | {alias: handlers[name] for alias, name in ALIASES.items()}
