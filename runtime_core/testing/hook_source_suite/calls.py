"""Calls: what tools are given, and what comes back."""

from __future__ import annotations

import asyncio
import copy
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from runtime_core.errors import NotFound, TaskFailed
from runtime_core.testing.hook_source_suite.base import (
    called_by_a_model,
    find_tool,
    with_argument,
)
from runtime_core.testing.hook_source_suite.outcomes import outcome_of, require_value
from runtime_core.types import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.protocols import HookSource
    from runtime_core.types import ToolRequest

__all__ = ("CallTests",)

_UNKNOWN = "conformance-no-such-name"
_LARGE = 1024 * 1024


def _deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    return nested


_HOSTILE: Mapping[str, Any] = MappingProxyType(
    {
        "nothing": None,
        "list": ["a"],
        "object": {"a": {"b": []}},
        "truth": True,
        "negative": -1,
        "huge": 10**30,
        "no number": math.nan,
        "empty text": "",
        "blank text": " \t ",
        "half a character": "a\ud800b",
        "zero byte": "a\0b",
        "line breaks": "a\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1",
        "path": "../../%2e%2e/etc/passwd?x=1&y=2#z;a=b",
        "template": "{{.input}}{% for x in y %}${HOME}`id`;",
        "right to left": "\u202eevil\u2066\ufeff👩🏽‍💻",
        "deep": _deep(),
    }
)


class CallTests:
    """Results are values; whatever is wrong is an error that a model or a chain can go on with."""

    async def test_works(self, opened: HookSource, works: ToolRequest, result: Value) -> None:
        got = await opened.call(works)
        require_value(got)
        assert got == result, "'works' must give what the fixture 'result' says"

    async def test_works_for_models(
        self, opened: HookSource, works: ToolRequest, result: Value
    ) -> None:
        assert await opened.call(called_by_a_model(works)) == result, (
            "a tool must give a model, which has no input but the arguments, the same result"
        )

    async def test_works_again(self, opened: HookSource, works: ToolRequest, result: Value) -> None:
        results = [await opened.call(works) for _ in range(3)]
        assert results == [result] * 3, "a call must not depend on those before it"

    @pytest.mark.parametrize(
        "value",
        [Value("text", "string"), Value({"a": [1]}, "json"), Value(None, "any"), Value(7, "int")],
        ids=lambda value: value.type,
    )
    async def test_takes_any_input_of_a_task(
        self, opened: HookSource, works: ToolRequest, value: Value
    ) -> None:
        await outcome_of(opened, structs.replace(works, caller="task", input=value))

    async def test_fails(self, opened: HookSource, fails: ToolRequest) -> None:
        outcome = await outcome_of(opened, fails)
        assert not isinstance(outcome, Value), f"'fails' must raise, it gives {outcome}"

    async def test_fails_and_goes_on(
        self, opened: HookSource, works: ToolRequest, fails: ToolRequest, result: Value
    ) -> None:
        await outcome_of(opened, fails)
        assert await opened.call(works) == result, "after a failure a tool must work as before"

    async def test_unknown_hook_is_not_found(self, opened: HookSource, works: ToolRequest) -> None:
        await _is_not_found(opened, structs.replace(works, hook=_UNKNOWN))

    async def test_unknown_tool_is_not_found(self, opened: HookSource, works: ToolRequest) -> None:
        await _is_not_found(opened, structs.replace(works, tool=_UNKNOWN))

    async def test_missing_arguments_are_named(
        self, opened: HookSource, works: ToolRequest
    ) -> None:
        tool = await find_tool(opened, works)
        for name in (tool.parameters or {}).get("required", ()):
            others = {key: value for key, value in works.arguments.items() if key != name}
            outcome = await outcome_of(
                opened, called_by_a_model(structs.replace(works, arguments=others))
            )
            assert isinstance(outcome, TaskFailed), (
                f"without the required argument {name!r} call() must raise TaskFailed, not "
                f"{outcome!r}"
            )
            assert name in str(outcome), (
                f"the error must name the missing argument {name!r}; it is: {outcome}"
            )

    @pytest.mark.parametrize("kind", _HOSTILE)
    async def test_hostile_arguments(
        self, opened: HookSource, works: ToolRequest, kind: str
    ) -> None:
        for name in works.arguments:
            await outcome_of(opened, with_argument(works, name, _HOSTILE[kind]))

    async def test_no_arguments_at_all(self, opened: HookSource, works: ToolRequest) -> None:
        await outcome_of(opened, called_by_a_model(structs.replace(works, arguments={})))

    @pytest.mark.parametrize("kind", _HOSTILE)
    async def test_arguments_nobody_declared(
        self, opened: HookSource, works: ToolRequest, kind: str
    ) -> None:
        for name in ("conformance", "__class__", "input", "self", ""):
            if name not in works.arguments:
                await outcome_of(opened, with_argument(works, name, _HOSTILE[kind]))

    async def test_large_arguments(self, opened: HookSource, works: ToolRequest) -> None:
        for name in works.arguments:
            await outcome_of(opened, with_argument(works, name, "x" * _LARGE))

    async def test_arguments_are_not_changed(
        self, opened: HookSource, works: ToolRequest, fails: ToolRequest
    ) -> None:
        for request in (works, called_by_a_model(works), fails):
            before = copy.deepcopy(request.arguments)
            await outcome_of(opened, request)
            assert request.arguments == before, (
                "call() must not change the arguments it is given: copy what has to change"
            )

    async def test_an_unknown_tenant(self, opened: HookSource, works: ToolRequest) -> None:
        request = structs.replace(works, tenant_id="conformance-nobody")
        known = {hook.name for hook in await opened.hooks(request.tenant_id)}
        if works.hook in known:
            await outcome_of(opened, request)
        else:
            await _is_not_found(opened, request)


async def _is_not_found(source: HookSource, request: ToolRequest) -> None:
    name = _UNKNOWN if _UNKNOWN in (request.hook, request.tool) else request.hook
    [outcome] = await asyncio.gather(source.call(request), return_exceptions=True)
    assert isinstance(outcome, NotFound), (
        f"call() must raise NotFound for {request.hook}.{request.tool}, which hooks() does not "
        f"list; it ends with {outcome!r}"
    )
    assert name in str(outcome), f"the error must name {name!r}; it is: {outcome}"
