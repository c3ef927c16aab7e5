"""Conversations with models: what is asked, and what comes back piece by piece."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

__all__ = (
    "ChatChunk",
    "ChatCompletion",
    "ChatHistory",
    "ChatRequest",
    "ContentPart",
    "Embeddings",
    "FinishReason",
    "FunctionCall",
    "Message",
    "Role",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "text_of",
)

Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

#: One part of a multi-part message in OpenAI's shape, e.g. ``{"type": "text", "text": "…"}`` or
#: ``{"type": "image_url", "image_url": {"url": "data:…"}}``; passed to the provider as it came.
ContentPart = dict[str, Any]


class FunctionCall(Struct, frozen=True):
    """The function a model asks for; ``arguments`` is JSON text, exactly as the model wrote it."""

    name: str
    arguments: str = ""


class ToolCall(Struct, frozen=True):
    """A complete tool call of a model."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ToolCallDelta(Struct, frozen=True):
    """A piece of a streamed tool call.

    The first piece of an ``index`` carries ``id`` and ``name``; the ``arguments`` of all its
    pieces, joined, are the call's JSON text.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Message(Struct, frozen=True, kw_only=True):
    """One message of a conversation.

    ``id`` and ``timestamp`` (RFC 3339) belong to stored histories and are never sent to models.
    """

    role: Role
    content: str | list[ContentPart] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    id: str = ""
    timestamp: str = ""


class Tool(Struct, frozen=True):
    """A function offered to a model; ``parameters`` is a JSON Schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Usage(Struct, frozen=True):
    """Tokens, as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class ChatHistory(Struct, frozen=True):
    """A conversation as it passes between tasks; token counts are 0 when not known.

    ``finish_reason`` is why the model's last answer ended, ``earlier`` what the answers of the
    same run before it used; neither is part of the wire format.
    """

    messages: tuple[Message, ...] = ()
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    finish_reason: FinishReason | None = None
    earlier: Usage = Usage()


class ChatCompletion(Struct, frozen=True):
    """One whole answer to a chat client (data type ``openai_chat_response``).

    ``created`` is in unix seconds; ``message`` is None when the history was empty.
    """

    id: str
    created: int
    model: str
    message: Message | None
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()


class ChatRequest(Struct, frozen=True, kw_only=True):
    """What a provider is asked for.

    ``tool_choice`` and ``response_format`` have OpenAI's shapes; ``extra`` holds further
    provider-specific body fields and wins over everything else.  Without ``stream`` nobody looks
    at the answer before it is whole: a provider may ask for it in one piece, which costs less.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = True
    tools: tuple[Tool, ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ChatChunk(Struct, frozen=True):
    """A piece of an answer.

    A stream is any number of chunks without ``finish_reason``, then exactly one that has it, and
    that one also carries ``usage`` when the provider reported it.  Text is exact: joined, the
    chunks are the answer to the byte.
    """

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    reasoning: str = ""


class Embeddings(Struct, frozen=True):
    """One vector a text, in the order of the texts."""

    vectors: list[list[float]]
    model: str = ""
    usage: Usage | None = None


def text_of(message: Message) -> str:
    """Return a message's text; of content parts, the text parts joined by newlines."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(
        str(part.get("text", "")) for part in message.content or () if part.get("type") == "text"
    )
