"""What somebody asks ``runtime run`` for, from the words of the command line to a request."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from runtime_core.cli.chain import read_document
from runtime_core.cli.common import MISUSED, fail

__all__ = ("Wish", "chain_named", "text_of", "variables_of")

_CHAIN_SUFFIXES = (".json", ".yaml", ".yml")

#: Handlers that begin with a conversation: they are sent a prompt as its first message.
_CONVERSING = frozenset({"chat_completion", "model_execution"})
#: Input types whose values are text as it stands; all others are written as JSON.
_TEXTS = frozenset({"", "any", "string"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run: ``chain`` as a document, or the stored one of ``chain_id``.

    ``live`` says that pieces of the answer are shown as they come.
    """

    prompt: str
    input_type: str
    variables: dict[str, str]
    chain: dict[str, Any] | None
    chain_id: str
    live: bool

    def body(self, chain: dict[str, Any]) -> dict[str, Any]:
        """Return the request; *chain* is the one that will run."""
        body = {"chainId": self.chain_id} if self.chain is None else {"chain": self.chain}
        return {
            **body,
            **_input(self.prompt, self.input_type, chain),
            "templateVars": self.variables,
        }


def text_of(prompt: str) -> str:
    """Return the prompt's text; ``-`` stands for standard input."""
    try:
        raw = sys.stdin.buffer.read() if prompt == "-" else prompt.encode(errors="surrogateescape")
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the prompt is not UTF-8 at byte {error.start}") from error
    if prompt == "-":
        text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError("the prompt is empty")
    return text


def variables_of(given: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs."""
    variables = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--var {one}: write it as NAME=VALUE")
        variables[name] = value
    return variables


def chain_named(name: str | None, model: str) -> tuple[dict[str, Any] | None, str]:
    """Return a chain's document, or None and the id of a stored one."""
    if name is None:
        return _asking(model), ""
    file = Path(name)
    if not file.is_file() and file.suffix not in _CHAIN_SUFFIXES:
        return None, name
    try:
        return read_document(file), ""
    except ValueError as error:
        fail(f"{name}: {error}", MISUSED)


def _asking(model: str) -> dict[str, Any]:
    task = {
        "id": "answer",
        "handler": "chat_completion",
        "execute_config": {"model": model},
        "transition": {"branches": [{"operator": "default", "goto": "end"}]},
    }
    return {"id": "run", "tasks": [task]}


def _input(prompt: str, input_type: str, chain: dict[str, Any]) -> dict[str, Any]:
    """Return the request's input and its type."""
    if not input_type and _converses(chain):
        message = {"role": "user", "content": prompt}
        return {"input": {"messages": [message]}, "inputType": "chat_history"}
    if input_type in _TEXTS:
        return {"input": prompt, "inputType": input_type or "string"}
    try:
        value = json.loads(prompt)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(
            f"--input-type {input_type}: the prompt must be JSON: {error}"
        ) from error
    return {"input": value, "inputType": input_type}


def _converses(chain: dict[str, Any]) -> bool:
    """Say whether the first task takes a conversation rather than a text."""
    tasks = chain.get("tasks")
    first = tasks[0] if isinstance(tasks, list) and tasks else None
    if not isinstance(first, dict) or first.get("handler") not in _CONVERSING:
        return False
    return not first.get("prompt_template") and first.get("input_var") in (None, "", "input")
