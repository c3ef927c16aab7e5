"""The listing: what people, chains and models are told there is."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.protocols import FindingHookSource
from runtime_core.testing.hook_source_suite.base import find_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime_core.protocols import HookSource
    from runtime_core.types import HookInfo, Tool, ToolRequest

__all__ = ("ListingTests",)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOBODY = "conformance-nobody"


class ListingTests:
    """Names that models can say, descriptions, and schemas that stand on their own."""

    async def test_examples_are_listed(
        self, opened: HookSource, works: ToolRequest, fails: ToolRequest
    ) -> None:
        await find_tool(opened, works)
        await find_tool(opened, fails)

    async def test_names_fit(self, opened: HookSource) -> None:
        hooks = await opened.hooks("default")
        names = [hook.name for hook in hooks] + [tool.name for _, tool in _tools(hooks)]
        unfit = [name for name in names if not _NAME.fullmatch(name)]
        assert not unfit, (
            f"rename {unfit}: names of hooks and tools have 1 to 64 of the characters "
            "A-Z a-z 0-9 _ -, which is what models can call"
        )

    async def test_names_are_unique(self, opened: HookSource) -> None:
        hooks = await opened.hooks("default")
        counts = Counter(hook.name for hook in hooks)
        counts.update(f"{hook.name}.{tool.name}" for hook, tool in _tools(hooks))
        twice = [name for name, count in counts.items() if count > 1]
        assert not twice, f"give each hook, and each tool of a hook, a name of its own: {twice}"

    async def test_everything_is_described(self, opened: HookSource) -> None:
        hooks = await opened.hooks("default")
        silent = [hook.name for hook in hooks if not hook.description.strip()]
        silent += [
            f"{hook.name}.{tool.name}"
            for hook, tool in _tools(hooks)
            if not tool.description.strip()
        ]
        assert not silent, f"describe {silent}: a model chooses tools by their descriptions"

    async def test_hooks_have_a_type(self, opened: HookSource) -> None:
        untyped = [hook.name for hook in await opened.hooks("default") if not hook.type]
        assert not untyped, f"give the hooks {untyped} the type that says where they come from"

    async def test_parameters_are_schemas_of_objects(self, opened: HookSource) -> None:
        for hook, tool in _tools(await opened.hooks("default")):
            if tool.parameters is None:
                continue
            where = f"the parameters of {hook.name}.{tool.name}"
            assert tool.parameters.get("type") == "object", (
                f'{where} must be a JSON Schema with "type": "object", or None'
            )
            problem = _schema_problem(tool.parameters)
            assert not problem, f"{where} must be a valid JSON Schema: {problem}"
            properties = tool.parameters.get("properties", {})
            unknown = set(tool.parameters.get("required", ())) - set(properties)
            assert not unknown, f"{where} require {sorted(unknown)}: declare these as properties"

    async def test_parameters_stand_on_their_own(self, opened: HookSource) -> None:
        for hook, tool in _tools(await opened.hooks("default")):
            for reference in _references(tool.parameters):
                assert _resolves(tool.parameters, reference), (
                    f"the parameters of {hook.name}.{tool.name} refer to {reference!r}: put what "
                    "they need into the schema itself, under $defs"
                )

    async def test_listing_can_be_sent(self, opened: HookSource) -> None:
        hooks = await opened.hooks("default")
        msgspec.json.decode(msgspec.json.encode(hooks))

    async def test_listing_is_the_same_each_time(self, opened: HookSource) -> None:
        first = list(await opened.hooks("default"))
        assert list(await opened.hooks("default")) == first, (
            "hooks() must list the same again, in the same order, while nothing has changed"
        )

    async def test_every_tenant_may_list(self, opened: HookSource) -> None:
        hooks = await opened.hooks(_NOBODY)
        assert all(isinstance(hook.name, str) for hook in hooks), (
            "hooks() must return HookInfo for a tenant that has none of its own, too"
        )

    async def test_works_fits_its_own_schema(self, opened: HookSource, works: ToolRequest) -> None:
        tool = await find_tool(opened, works)
        if tool.parameters is not None:
            problem = _misfit(tool.parameters, works.arguments)
            assert not problem, (
                f"the arguments of 'works' must fit the parameters of {tool.name}: {problem}"
            )

    async def test_hook_agrees_with_hooks(self, opened: HookSource) -> None:
        if not isinstance(opened, FindingHookSource):
            return
        for listed in await opened.hooks("default"):
            found = await opened.hook("default", listed.name)
            assert found == listed, f"hook({listed.name!r}) must return what hooks() lists"
        nothing = await opened.hook("default", "conformance-no-such-hook")
        assert nothing is None, "hook() must return None for a name it does not have"


def _tools(hooks: Sequence[HookInfo]) -> Iterator[tuple[HookInfo, Tool]]:
    return ((hook, tool) for hook in hooks for tool in hook.tools)


def _schema_problem(schema: dict[str, Any]) -> str:
    """Return what is wrong with *schema*, "" when nothing is."""
    import jsonschema_rs

    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except (ValueError, jsonschema_rs.ValidationError) as problem:
        return str(problem) or "it is none"
    return ""


def _misfit(schema: dict[str, Any], arguments: dict[str, Any]) -> str:
    import jsonschema_rs

    errors = jsonschema_rs.Draft202012Validator(schema, offline=True).iter_errors(arguments)
    return "; ".join(error.message for error in errors)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _references(value)


def _resolves(schema: Any, reference: str) -> bool:
    """Whether a JSON pointer leads somewhere in *schema*."""
    if not reference.startswith("#"):
        return False
    node = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True
