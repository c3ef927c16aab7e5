"""Answers in JSON: asking for them, repairing them, checking them against a schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runtime_core.engine.handlers.answers import shorten, without_fence
from runtime_core.engine.handlers.jsontext import decode_json
from runtime_core.errors import UnusableAnswer
from runtime_core.types import Outcome, Value

if TYPE_CHECKING:
    from runtime_core.types import Task

__all__ = ("as_json", "json_format", "schema_problem")

_SHOWN_ERRORS = 5


def json_format(task: Task) -> dict[str, Any]:
    """Return the ``response_format`` that asks for the task's ``output_schema``."""
    if task.output_schema is None:
        return {"type": "json_object"}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", task.id)[:64] or "output"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": task.output_schema}}


def as_json(text: str, task: Task) -> Outcome:
    """Read JSON, with or without fence and chatter around it, and check it."""
    value = _decode(text)
    if task.output_schema is not None:
        _check(value, task.output_schema)
    return Outcome(Value(value, "json"), "ok")


def schema_problem(task: Task) -> str | None:
    """Say what is wrong with the task's ``output_schema``; None when it can be used."""
    if task.output_schema is None:
        return None
    try:
        _validator(task.output_schema)
    except ValueError as error:
        return f"output_schema: {str(error).splitlines()[0]}"
    return None


def _decode(text: str) -> Any:
    for candidate in (text.strip(), without_fence(text), _outermost(text)):
        try:
            return decode_json(candidate)
        except ValueError:
            continue
    raise UnusableAnswer(f"the model answered {shorten(text)}, which is not JSON")


def _outermost(text: str) -> str:
    """Cut away what stands before the first and after the last bracket."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0)
    return text[start : max(text.rfind("}"), text.rfind("]")) + 1]


def _check(value: Any, schema: dict[str, Any]) -> None:
    errors = _validator(schema).iter_errors(value)
    problems = [
        f"{'.'.join(map(str, error.instance_path)) or 'answer'}: {error.message}"
        for error, _ in zip(errors, range(_SHOWN_ERRORS), strict=False)
    ]
    if problems:
        raise UnusableAnswer(
            "the model's answer does not fit output_schema: " + "; ".join(problems)
        )


def _validator(schema: dict[str, Any]) -> Any:
    # imported when first needed: 10 MB that most servers never use
    import jsonschema_rs

    # offline: a schema from a client must not make the server fetch addresses;
    # the linear-time regex engine: nor may its patterns stall it
    return jsonschema_rs.validator_for(
        schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )
