"""``echo`` and ``print``."""

from __future__ import annotations

import msgspec

from runtime_core.errors import TaskFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    Message,
    Role,
    Tool,
    ToolRequest,
    Value,
    text_of,
)
from runtime_core.types.interchange import chat_request_to_wire, completion_to_wire

__all__ = ("ECHO", "PRINT", "echo", "print_message")

ECHO = Tool(
    "echo",
    "Returns its input. In a conversation: adds the user's last message as an answer.",
    {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "what to return"}},
        "required": ["input"],
    },
)
PRINT = Tool(
    "print",
    "Returns a message. In a conversation: adds it as a system message.",
    {
        "type": "object",
        "properties": {"message": {"type": "string", "description": "the message"}},
        "required": ["message"],
    },
)


async def echo(request: ToolRequest) -> Value:
    """Return the argument ``input``, else the task's input, as text.

    A conversation is answered with ``Echo:`` and the user's last message.
    """
    if "input" in request.arguments:
        return Value(_text(request.arguments["input"]), "string")
    if request.input is None:
        raise TaskFailed("echo needs the argument 'input'")
    data = request.input.data
    if isinstance(data, ChatHistory):
        return _appended(data, "assistant", f"Echo: {_last_of_user(data) or 'nothing to echo'}")
    return Value(_text(data), "string")


async def print_message(request: ToolRequest) -> Value:
    """Return the argument ``message``; a conversation gets it as a system message."""
    message = request.arguments.get("message")
    if message is None:
        raise TaskFailed("print needs the argument 'message'")
    text = _text(message)
    if request.input is not None and isinstance(request.input.data, ChatHistory):
        return _appended(request.input.data, "system", text)
    return Value(text, "string")


def _last_of_user(history: ChatHistory) -> str:
    users = (message for message in reversed(history.messages) if message.role == "user")
    return next((text_of(message) for message in users), "")


def _appended(history: ChatHistory, role: Role, text: str) -> Value:
    message = Message(role=role, content=text)
    longer = msgspec.structs.replace(history, messages=(*history.messages, message))
    return Value(longer, "chat_history")


def _text(data: object) -> str:
    if isinstance(data, str):
        # half a surrogate pair, which no JSON can hold, is "?"
        return data if data.isascii() else data.encode("utf-8", "replace").decode()
    if isinstance(data, ChatRequest):
        data = chat_request_to_wire(data)
    elif isinstance(data, ChatCompletion):
        data = completion_to_wire(data)
    try:
        return msgspec.json.encode(data).decode()
    except (UnicodeError, RecursionError, TypeError, ValueError) as error:
        raise TaskFailed(f"the value cannot be written as JSON: {error}") from error
