"""What the fake server refuses, and how it reads what it does not refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runtime_core.types import ChatRequest, FunctionCall, Message, Tool, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("Refused", "chat_request", "check_chat", "check_embeddings", "no_model")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_Json = dict[str, Any]


class Refused(Exception):
    """Answers with an error of OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}


def chat_request(body: _Json) -> ChatRequest:
    """Return what a body asks for."""
    return ChatRequest(
        model=body["model"],
        messages=tuple(_message(message) for message in body["messages"]),
        tools=tuple(Tool(**tool["function"]) for tool in body.get("tools", ())),
        tool_choice=body.get("tool_choice"),
        parallel_tool_calls=body.get("parallel_tool_calls"),
        response_format=body.get("response_format"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body.get("max_tokens", body.get("max_completion_tokens")),
        stop=tuple(body.get("stop", ())),
        seed=body.get("seed"),
        presence_penalty=body.get("presence_penalty"),
        frequency_penalty=body.get("frequency_penalty"),
    )


def _message(body: _Json) -> Message:
    calls = tuple(
        ToolCall(call["id"], FunctionCall(**call["function"]), call["type"])
        for call in body.get("tool_calls", ())
    )
    return Message(**{**body, "tool_calls": calls})


def check_chat(body: Any, models: Sequence[str]) -> None:
    """Raise `Refused` where OpenAI would refuse a chat."""
    _check_model(body, models)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Invalid 'messages': expected a non-empty array.", param="messages")
    asked: set[str] = set()
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]", asked)
    for tool in body.get("tools") or ():
        if not _TOOL_NAME.fullmatch(str(tool.get("function", {}).get("name", ""))):
            raise Refused(400, "Invalid 'tools[].function.name'.", param="tools")
    if "tool_choice" in body and not body.get("tools"):
        raise Refused(400, "'tool_choice' is only allowed when 'tools' are specified.")


def _check_message(message: _Json, param: str, asked: set[str]) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "developer", "user", "assistant", "tool"):
        raise Refused(400, f"Invalid value: {role!r}.", param=f"{param}.role")
    if content is None and not message.get("tool_calls"):
        raise Refused(400, "Invalid value for 'content': got null.", param=f"{param}.content")
    asked.update(call["id"] for call in message.get("tool_calls") or ())
    if role == "tool" and message.get("tool_call_id") not in asked:
        raise Refused(400, "A tool message must answer a tool call that precedes it.", param=param)


def check_embeddings(body: Any, models: Sequence[str]) -> list[str]:
    """Return the texts to embed, or raise `Refused`."""
    _check_model(body, models)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise Refused(400, "Invalid 'input': expected text or an array of texts.", param="input")
    return texts


def _check_model(body: Any, models: Sequence[str]) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(400, "you must provide a model parameter", param="model")
    if body["model"] not in models:
        raise no_model(body["model"])


def no_model(name: str) -> Refused:
    """Return the refusal of a model that does not exist."""
    return Refused(404, f"The model '{name}' does not exist.", "model_not_found", param="model")
