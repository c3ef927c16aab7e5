"""JMESPath: the part of a result that is wanted."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runtime_core.errors import TaskFailed, Unprocessable
from runtime_core.types import Value

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

__all__ = ("check_shape", "shaped")

_LONGEST = 2000

#: Bytes of an answer from which on others must not wait for its shaping.
_IN_THREAD = 64 * 1024


def check_shape(expression: str, param: str) -> None:
    """Raise `Unprocessable` unless *expression* is JMESPath.

    :param param: the field of a request that holds it.
    """
    if len(expression) > _LONGEST:
        what = f"has {len(expression)} characters, at most {_LONGEST} are allowed"
        raise Unprocessable(f"{param}: {what}", param=param)
    try:
        _compiled(expression)
    except (ValueError, RecursionError) as error:
        # the library draws the place on lines of its own
        reason = " ".join(str(error).split())
        raise Unprocessable(
            f"{param}: {expression[:200]!r} is no JMESPath expression: {reason[:300]}", param=param
        ) from error


async def shaped(result: Value, expression: str, size: int, *, tool: str) -> Value:
    """Return what *expression* selects of a JSON result.

    :param size: how many bytes the result was.
    :raises TaskFailed: it cannot be applied to this result.
    """
    if result.type != "json":
        return result
    if size > _IN_THREAD:
        return await asyncio.to_thread(_shaped, result.data, expression, tool)
    return _shaped(result.data, expression, tool)


def _shaped(data: Any, expression: str, tool: str) -> Value:
    try:
        return Value(_compiled(expression).search(data), "json")
    except (ValueError, TypeError, RecursionError) as error:
        raise TaskFailed(
            f"the shape of {tool}, {expression[:200]!r}, does not fit its result: {error}"
        ) from error


@lru_cache(512)
def _compiled(expression: str) -> ParsedResult:
    # here and not above: most servers have no use for it
    import jmespath

    return jmespath.compile(expression)
