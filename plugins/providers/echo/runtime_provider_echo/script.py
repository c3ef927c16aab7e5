"""Which answer a conversation gets."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import TypeAdapter, ValidationError

from runtime_core.errors import UpstreamRejected
from runtime_core.types import text_of
from runtime_provider_echo.options import Answer, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime_core.types import Message
    from runtime_provider_echo.options import EchoOptions

__all__ = ("Chosen", "Script", "echo_of")

_DIRECTIVE = re.compile(r"^[ \t]*/echo[ \t]+(?=\{)", re.MULTILINE)
_SCRIPTED_ID = re.compile(r"_s(\d+)_(\d+)$")
_JSON = json.JSONDecoder()


class Chosen:
    """An answer, the text it echoes, and the suffix of the ids of its tool calls.

    The suffix lets a later request say which entry of a script it goes on with, so that
    conversations at the same time do not mix.
    """

    __slots__ = ("answer", "echo", "suffix")

    def __init__(self, answer: Answer, echo: str, suffix: str = "") -> None:
        self.answer = answer
        self.echo = echo
        self.suffix = suffix


class Script:
    """Chooses answers: a directive in the prompt, then the script, then the echo."""

    def __init__(self, options: EchoOptions) -> None:
        self._options = options
        self._entries: Sequence[Answer] | None = None if options.script_file else options.script
        self._calls = count()

    async def choose(self, messages: Sequence[Message]) -> Chosen:
        """Return the answer that *messages* get now; with a script, each call takes the next.

        :raises UpstreamRejected: a directive or the script file makes no sense.
        """
        if self._options.directives and (found := _directive(messages)) is not None:
            answer, echo = found
            return Chosen(self._follow(answer, _answers_given(messages)), echo)
        if self._entries is None:
            self._entries = await asyncio.to_thread(_load, self._options.script_file)
        echo = echo_of(messages)
        if not self._entries:
            return Chosen(self._options, echo)
        return self._scripted(self._entries, messages, echo)

    def _scripted(
        self, entries: Sequence[Answer], messages: Sequence[Message], echo: str
    ) -> Chosen:
        if (place := _continued(messages)) is not None:
            entry, step = place
            if entry < len(entries) and step < len(entries[entry].then):
                answer = entries[entry].then[step]
                return Chosen(answer.over(self._options), echo, f"_s{entry}_{step + 1}")
        number = next(self._calls)
        if number >= len(entries):
            if self._options.after_script == "echo":
                return Chosen(self._options, echo)
            repeat = self._options.after_script == "repeat"
            number = len(entries) - 1 if repeat else number % len(entries)
        return Chosen(entries[number].over(self._options), echo, f"_s{number}_0")

    def _follow(self, answer: Answer, step: int) -> Answer:
        if step == 0:
            return answer.over(self._options)
        if step <= len(answer.then):
            return answer.then[step - 1].over(self._options)
        return self._options


def echo_of(messages: Sequence[Message]) -> str:
    """Return what is echoed: the tool results at the end, or the last user message's text."""
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        results.append(text_of(message))
    if results:
        return "\n".join(reversed(results))
    asked = _last_user(messages)
    return text_of(messages[asked if asked is not None else -1]) if messages else ""


def _last_user(messages: Sequence[Message]) -> int | None:
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), None)


def _answers_given(messages: Sequence[Message]) -> int:
    start = _last_user(messages) or 0
    return sum(message.role == "assistant" for message in messages[start:])


def _directive(messages: Sequence[Message]) -> tuple[Answer, str] | None:
    """Return the directive of the last user message or of a system message, and the echo."""
    asked = _last_user(messages)
    if asked is not None and (found := _read(text_of(messages[asked]))) is not None:
        answer, rest = found
        return answer, echo_of(messages) if messages[-1].role == "tool" else rest
    for message in messages:
        if message.role not in ("system", "developer"):
            continue
        if (found := _read(text_of(message))) is not None:
            return found[0], echo_of(messages)
    return None


def _read(text: str) -> tuple[Answer, str] | None:
    if "/echo" not in text or (match := _DIRECTIVE.search(text)) is None:
        return None
    try:
        data, end = _JSON.raw_decode(text, match.end())
        answer = Answer.model_validate(data)
    except ValidationError as exc:
        raise UpstreamRejected(f"echo: the /echo directive in the prompt: {explain(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise UpstreamRejected(
            f"echo: the /echo directive in the prompt is not JSON: {exc}"
        ) from exc
    before, after = text[: match.start()], text[end:]
    if after.startswith("\n"):
        after = after[1:]
    elif not after:
        before = before.removesuffix("\n")
    return answer, before + after


def _continued(messages: Sequence[Message]) -> tuple[int, int] | None:
    """Return entry and step of the script whose tool calls the last message answers."""
    if not messages or messages[-1].role != "tool":
        return None
    match = _SCRIPTED_ID.search(messages[-1].tool_call_id or "")
    return (int(match[1]), int(match[2])) if match else None


def _load(path: str) -> tuple[Answer, ...]:
    try:
        entries = yaml.safe_load(Path(path).read_text("utf-8"))
        if not isinstance(entries, list):
            raise UpstreamRejected(f"echo: the script file {path} must be a list of answers")
        texts = [{"text": entry} if isinstance(entry, str) else entry for entry in entries]
        return tuple(TypeAdapter(list[Answer]).validate_python(texts))
    except ValidationError as exc:
        raise UpstreamRejected(f"echo: the script file {path}: {explain(exc)}") from exc
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise UpstreamRejected(f"echo: the script file {path} cannot be read: {exc}") from exc
