"""What can be said about answers: by settings, by a backend's options, by a script, by a prompt."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

__all__ = ("Answer", "EchoOptions", "EchoSettings", "Fault", "ScriptedCall", "Tokens", "explain")

#: HTTP statuses, and faults that have none.
Fault = Literal[
    "400",
    "401",
    "403",
    "404",
    "408",
    "429",
    "500",
    "502",
    "503",
    "504",
    "529",
    "context_length",
    "disconnect",
    "garbage",
    "hang",
    "timeout",
    "truncate",
]

Milliseconds = Annotated[float, Field(ge=0, le=60_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedCall(_Strict):
    """A tool call to make; arguments that are no text are sent as JSON."""

    name: str = Field(min_length=1)
    arguments: Any = Field(default_factory=dict)
    id: str = ""


class Tokens(_Strict):
    """Token counts to report."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Answer(_Strict):
    """How to answer; what is not set comes from the backend's options, and then from here.

    ``text`` None stands for the echo, JSON that is no text for its encoding; ``pieces`` say the
    text with the chunks it comes in.  ``fail_after`` counts chunks.  ``then`` are the answers to
    the results of this one's tool calls, in turn.
    """

    text: Any = None
    pieces: tuple[str, ...] | None = None
    reasoning: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
    usage: Tokens | bool = True
    delay_ms: Milliseconds = 0
    tokens_per_second: float | None = Field(default=None, ge=0.1, le=1e9)
    chunk_size: int = Field(default=1, ge=1)
    fail: Fault | None = None
    fail_after: int = Field(default=0, ge=0)
    retry_after: float | None = Field(default=None, ge=0)
    then: tuple[Answer, ...] = ()

    @field_validator("fail", mode="before")
    @classmethod
    def _status(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("then", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        return _answers(value)

    def over(self, base: Answer) -> Answer:
        """Return this answer with what it does not say taken from *base*."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return Answer.model_construct(
            **{name: getattr(base, name) for name in Answer.model_fields} | said
        )


class EchoOptions(Answer):
    """Options of one backend: how it answers, and what models it claims to have."""

    chat_models: tuple[str, ...] = ("echo",)
    embed_models: tuple[str, ...] = ("echo-embed",)
    dimensions: int = Field(default=64, ge=1, le=65_536)
    context_length: int | None = Field(default=None, ge=1)
    directives: bool = True
    script: tuple[Answer, ...] = ()
    script_file: str = ""
    after_script: Literal["cycle", "repeat", "echo"] = "cycle"

    @field_validator("script", mode="before")
    @classmethod
    def _script(cls, value: object) -> object:
        return _answers(value)

    @classmethod
    def read(cls, base_url: str, options: dict[str, Any]) -> Self:
        """Return the options in *base_url*'s query (``echo://local?fail=503``) and *options*.

        :raises ValueError: an option is unknown or has a wrong value; the message names it.
        """
        query = parse_qs(urlsplit(base_url).query)
        given: dict[str, Any] = {
            name: values if name in ("chat_models", "embed_models") else values[-1]
            for name, values in query.items()
        }
        try:
            return cls.model_validate({**given, **options})
        except ValidationError as exc:
            raise ValueError(explain(exc)) from exc


class EchoSettings(EchoOptions):
    """The table ``[plugins.echo]``: all options, and what they have no say in."""

    backend: bool = True
    priority: int = 1000


def explain(exc: ValidationError) -> str:
    """Return pydantic's findings in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'answer'}: {error['msg']}"
        for error in exc.errors(include_url=False)
    )


def _answers(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    return tuple({"text": entry} if isinstance(entry, str) else entry for entry in value)
