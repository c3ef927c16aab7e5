"""A right source of hooks, and wrong ones that the suite must catch."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from runtime_core.errors import NotFound, TaskFailed
from runtime_core.testing import HookSourceSuite
from runtime_core.types import HookInfo, Tool, ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.protocols import HookSource, Services
    from runtime_core.testing.hook_source_suite.secrets import SuiteSecrets

logger = logging.getLogger(__name__)

REPEAT = Tool(
    "repeat",
    "Repeats a text.",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}, "times": {"$ref": "#/$defs/count"}},
        "required": ["text"],
        "$defs": {"count": {"type": "integer", "minimum": 1, "maximum": 9}},
    },
)
WAIT = Tool("wait", "Waits for what never comes.")


class Right:
    """The right one; the wrong ones change a method each."""

    def __init__(self) -> None:
        self.key = ""
        self.turn = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        return [self.info()]

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        return self.info() if name == "right" else None

    def info(self) -> HookInfo:
        return HookInfo(name="right", type="local", description="Repeats.", tools=self.tools())

    def tools(self) -> tuple[Tool, ...]:
        return (REPEAT, WAIT)

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        self.key = await services.secrets.reveal("default", "{{secret:suite}}")
        self.services = services
        self.task = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
        try:
            yield
        finally:
            self.task.cancel()

    async def call(self, request: ToolRequest) -> Value:
        await asyncio.sleep(0)
        if request.hook != "right" or request.tool not in ("repeat", "wait"):
            raise self.unknown(request)
        if request.tool == "wait":
            await self.wait()
        return await self.repeat(request)

    def unknown(self, request: ToolRequest) -> Exception:
        return NotFound(f"no tool {request.tool!r} in hook {request.hook!r}; there is right.repeat")

    async def wait(self) -> None:
        await asyncio.Event().wait()

    async def repeat(self, request: ToolRequest) -> Value:
        text, times = self.text(request), request.arguments.get("times", 1)
        if not isinstance(times, int) or not 0 < times < 10:
            raise TaskFailed("repeat needs 'times' to be a whole number from 1 to 9")
        return Value(text * times, "string")

    def text(self, request: ToolRequest) -> str:
        text = request.arguments.get("text")
        if not isinstance(text, str):
            raise TaskFailed("repeat needs the argument 'text', a string")
        return text.encode("utf-8", "replace").decode()


class ListsNothing(Right):
    caught_by = ("test_examples_are_listed",)

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        return []


class NamesLikeADomain(Right):
    caught_by = ("test_names_fit",)

    def tools(self) -> tuple[Tool, ...]:
        return (*super().tools(), Tool("right.more", "A name that no model can call."))


class NamesTooLong(Right):
    caught_by = ("test_names_fit",)

    def tools(self) -> tuple[Tool, ...]:
        return (*super().tools(), Tool("a" * 65, "Too long."))


class ListsTwice(Right):
    caught_by = ("test_names_are_unique",)

    def tools(self) -> tuple[Tool, ...]:
        return (*super().tools(), REPEAT)


class TwoHooksOfOneName(Right):
    caught_by = ("test_names_are_unique",)

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        return [self.info(), self.info()]


class SaysNothing(Right):
    caught_by = ("test_everything_is_described",)

    def tools(self) -> tuple[Tool, ...]:
        return (REPEAT, Tool("wait", " "))


class HookSaysNothing(Right):
    caught_by = ("test_everything_is_described",)

    def info(self) -> HookInfo:
        return HookInfo(name="right", type="local", tools=self.tools())


class HasNoType(Right):
    caught_by = ("test_hooks_have_a_type",)

    def info(self) -> HookInfo:
        return HookInfo(name="right", type="", description="Repeats.", tools=self.tools())


class WithSchema(Right):
    parameters: ClassVar[dict[str, Any]]

    def tools(self) -> tuple[Tool, ...]:
        return (*super().tools(), Tool("more", "More.", self.parameters))


class SchemaOfAString(WithSchema):
    caught_by = ("test_parameters_are_schemas_of_objects",)
    parameters: ClassVar = {"type": "string"}


class SchemaIsNone(WithSchema):
    caught_by = ("test_parameters_are_schemas_of_objects",)
    parameters: ClassVar = {"type": "object", "properties": {"a": {"type": "text"}}}


class RequiresWhatIsNotThere(WithSchema):
    caught_by = ("test_parameters_are_schemas_of_objects",)
    parameters: ClassVar = {"type": "object", "properties": {}, "required": ["a"]}


class RefersElsewhere(WithSchema):
    caught_by = ("test_parameters_stand_on_their_own",)
    parameters: ClassVar = {
        "type": "object",
        "properties": {"a": {"$ref": "#/components/schemas/A"}},
    }


class RefersToAnAddress(WithSchema):
    caught_by = ("test_parameters_stand_on_their_own",)
    parameters: ClassVar = {
        "type": "object",
        "properties": {"a": {"$ref": "https://example.com/a.json"}},
    }


class ListsWhatCannotBeSent(Right):
    caught_by = ("test_listing_can_be_sent",)

    def tools(self) -> tuple[Tool, ...]:
        return (*super().tools(), Tool("more", "More.", {"type": "object", "default": object()}))


class ListsInAnyOrder(Right):
    caught_by = ("test_listing_is_the_same_each_time", "test_listings_at_once")
    count = 0

    def tools(self) -> tuple[Tool, ...]:
        self.count += 1
        return super().tools()[:: 1 if self.count % 2 else -1]


class KnowsOneTenant(Right):
    caught_by = ("test_every_tenant_may_list",)

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        return {"default": [self.info()]}[tenant_id]


class SchemaIsNotTheTruth(Right):
    caught_by = ("test_works_fits_its_own_schema",)

    def tools(self) -> tuple[Tool, ...]:
        parameters: ClassVar = {"type": "object", "properties": {"text": {"type": "integer"}}}
        return (msgspec.structs.replace(REPEAT, parameters=parameters), WAIT)


class FindsSomethingElse(Right):
    caught_by = ("test_hook_agrees_with_hooks",)

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        return msgspec.structs.replace(self.info(), tools=()) if name == "right" else None


class FindsEverything(Right):
    caught_by = ("test_hook_agrees_with_hooks",)

    async def hook(self, tenant_id: str, name: str) -> HookInfo | None:
        return self.info()


class GivesBareText(Right):
    caught_by = ("test_works", "test_takes_any_input_of_a_task")

    async def repeat(self, request: ToolRequest) -> Value:
        return (await super().repeat(request)).data  # type: ignore[no-any-return]


class LiesAboutTheType(Right):
    caught_by = ("test_takes_any_input_of_a_task",)

    async def repeat(self, request: ToolRequest) -> Value:
        if request.input is not None:
            return Value({"text": 1}, "string")
        return await super().repeat(request)


class GivesWhatIsNoJson(Right):
    caught_by = ("test_hostile_arguments",)

    def text(self, request: ToolRequest) -> str:
        super().text(request)
        return str(request.arguments["text"])


class NeedsAnInput(Right):
    caught_by = ("test_works_for_models",)

    def text(self, request: ToolRequest) -> str:
        if request.caller == "model":
            raise TaskFailed("repeat needs an input")
        return super().text(request)


class Remembers(Right):
    caught_by = ("test_works_again",)
    said = ""

    def text(self, request: ToolRequest) -> str:
        self.said += super().text(request)
        return self.said


class FailsWithAResult(Right):
    caught_by = ("test_fails",)

    async def repeat(self, request: ToolRequest) -> Value:
        try:
            return await super().repeat(request)
        except TaskFailed as error:
            return Value(str(error), "string")


class FailsWithoutWords(Right):
    caught_by = ("test_fails",)

    async def repeat(self, request: ToolRequest) -> Value:
        try:
            return await super().repeat(request)
        except TaskFailed as error:
            raise TaskFailed("") from error


class FailsForGood(Right):
    caught_by = ("test_fails_and_goes_on",)
    broken = False

    async def repeat(self, request: ToolRequest) -> Value:
        if self.broken:
            raise TaskFailed("it failed before")
        self.broken = True
        result = await super().repeat(request)
        self.broken = False
        return result


class FailsWhereNothingIs(Right):
    caught_by = ("test_unknown_hook_is_not_found", "test_unknown_tool_is_not_found")

    def unknown(self, request: ToolRequest) -> Exception:
        return TaskFailed(f"no tool {request.tool!r} in {request.hook!r}")


class NamesNothing(Right):
    caught_by = ("test_unknown_hook_is_not_found", "test_unknown_tool_is_not_found")

    def unknown(self, request: ToolRequest) -> Exception:
        return NotFound("no such thing")


class AnswersToAnyHook(Right):
    caught_by = ("test_unknown_hook_is_not_found",)

    async def call(self, request: ToolRequest) -> Value:
        return await super().call(msgspec.structs.replace(request, hook="right"))


class MissesAKey(Right):
    caught_by = ("test_missing_arguments_are_named", "test_no_arguments_at_all")

    def text(self, request: ToolRequest) -> str:
        request.arguments["text"]
        return super().text(request)


class MissesWithoutNaming(Right):
    caught_by = ("test_missing_arguments_are_named",)

    def text(self, request: ToolRequest) -> str:
        if "text" not in request.arguments:
            raise TaskFailed("an argument is missing")
        return super().text(request)


class TrustsTypes(Right):
    caught_by = ("test_hostile_arguments",)

    def text(self, request: ToolRequest) -> str:
        if "text" not in request.arguments:
            raise TaskFailed("repeat needs the argument 'text'")
        return str(request.arguments["text"].strip())


class TakesArgumentsAsKeywords(Right):
    caught_by = ("test_arguments_nobody_declared",)

    async def repeat(self, request: ToolRequest) -> Value:
        def repeated(text: object = None, times: int = 1) -> Value:
            return Value(text, "string")

        self.text(request)
        return repeated(**request.arguments)


class ChokesOnLargeTexts(Right):
    caught_by = ("test_large_arguments",)

    def text(self, request: ToolRequest) -> str:
        text = super().text(request)
        os.stat(text[:100_000]) if len(text) > 100_000 else None  # noqa: PTH116
        return text


class UsesUpItsArguments(Right):
    caught_by = ("test_arguments_are_not_changed",)

    def text(self, request: ToolRequest) -> str:
        text = super().text(request)
        request.arguments["text"] = text.upper()
        return text


class ForgetsTheTenant(Right):
    caught_by = ("test_an_unknown_tenant",)

    async def call(self, request: ToolRequest) -> Value:
        tenants = {"default": super().call}
        return await tenants[request.tenant_id](request)


class MixesCalls(Right):
    caught_by = ("test_fifty_calls_at_once",)

    async def call(self, request: ToolRequest) -> Value:
        self.current = request
        await asyncio.sleep(0.001)
        return await super().call(self.current)


class LeavesTasks(Right):
    caught_by = ("test_cancelled_calls_leave_nothing",)

    async def call(self, request: ToolRequest) -> Value:
        task = asyncio.create_task(asyncio.sleep(60))
        result = await super().call(request)
        task.cancel()
        return result


class LeavesFiles(Right):
    caught_by = ("test_cancelled_calls_leave_nothing", "test_a_hanging_call_can_be_cancelled")

    async def call(self, request: ToolRequest) -> Value:
        pipe = os.pipe()
        result = await super().call(request)
        for end in pipe:
            os.close(end)
        return result


class SwallowsCancellation(Right):
    caught_by = ("test_a_hanging_call_can_be_cancelled",)

    async def wait(self) -> None:
        try:
            await super().wait()
        except asyncio.CancelledError:
            raise TaskFailed("it was cancelled") from None


class CannotBeCancelled(Right):
    caught_by = ("test_a_hanging_call_can_be_cancelled",)

    async def wait(self) -> None:
        for _ in range(60):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue
        raise asyncio.CancelledError


class DoesNotHang(Right):
    caught_by = ("test_listing_does_not_wait_for_a_call",)

    async def wait(self) -> None:
        return


class CallsOneAtATime(Right):
    caught_by = ("test_calls_do_not_wait_for_another",)

    async def call(self, request: ToolRequest) -> Value:
        async with self.turn:
            return await super().call(request)


class ListsBetweenCalls(Right):
    caught_by = ("test_listing_does_not_wait_for_a_call",)

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        async with self.turn:
            return await super().hooks(tenant_id)

    async def wait(self) -> None:
        async with self.turn:
            await super().wait()


class RunsOnce(Right):
    caught_by = ("test_runs_again_after_it_was_closed",)
    closed = False

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        async with super().running(services):
            yield
        self.closed = True

    async def repeat(self, request: ToolRequest) -> Value:
        if self.closed:
            raise TaskFailed("it is closed")
        return await super().repeat(request)


class KeepsRunning(Right):
    caught_by = ("test_runs_again_after_it_was_closed", "test_closes_while_calls_are_cancelled")

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        async with super().running(services):
            self.left = asyncio.create_task(asyncio.sleep(60))
            yield


class ShowsTheKey(Right):
    caught_by = ("test_secrets_stay_secret",)

    def info(self) -> HookInfo:
        return msgspec.structs.replace(super().info(), description=f"Uses {self.key}.")


class QuotesTheKey(Right):
    caught_by = ("test_secrets_stay_secret",)

    async def repeat(self, request: ToolRequest) -> Value:
        try:
            return await super().repeat(request)
        except TaskFailed as error:
            sent = msgspec.json.encode({"authorization": self.key}).decode()
            raise TaskFailed(f"the service answered 400 to {sent}") from error


class LogsTheKey(Right):
    caught_by = ("test_secrets_stay_secret",)

    def text(self, request: ToolRequest) -> str:
        logger.debug("calling with %s", self.key)
        return super().text(request)


class RevealsForModels(Right):
    caught_by = ("test_models_cannot_name_secrets",)

    def text(self, request: ToolRequest) -> str:
        return super().text(request).replace("{{secret:of-others}}", "")

    async def repeat(self, request: ToolRequest) -> Value:
        await self.services.secrets.reveal("default", super().text(request))
        return await super().repeat(request)


def _suite(wrong: type[Right]) -> type[HookSourceSuite]:
    class Suite(HookSourceSuite):
        @pytest.fixture
        def source(self) -> HookSource:
            return wrong()

        @pytest.fixture
        def works(self) -> ToolRequest:
            return ToolRequest(hook="right", tool="repeat", arguments={"text": "ab", "times": 2})

        @pytest.fixture
        def result(self) -> Value:
            return Value("abab", "string")

        @pytest.fixture
        def fails(self) -> ToolRequest:
            return ToolRequest(hook="right", tool="repeat", arguments={"text": "a", "times": 0})

        @pytest.fixture
        def hangs(self) -> ToolRequest:
            return ToolRequest(hook="right", tool="wait")

    if wrong is not Right:
        Suite.services = _Secrets.services  # type: ignore[method-assign]
    Suite.__name__ = Suite.__qualname__ = f"Test{wrong.__name__}"
    return Suite


class _Secrets:
    """The only room the wrong sources use: a hundred servers would take a minute to start."""

    @pytest.fixture
    def services(self, secrets: SuiteSecrets) -> Any:
        return SimpleNamespace(secrets=secrets)


def _below(right: type[Right]) -> list[type[Right]]:
    return [cls for child in right.__subclasses__() for cls in (child, *_below(child))]


MUTANTS: dict[str, tuple[str, ...]] = {
    wrong.__name__: wrong.__dict__["caught_by"]
    for wrong in _below(Right)
    if "caught_by" in wrong.__dict__
}
globals().update({suite.__name__: suite for suite in map(_suite, (Right, *_below(Right)))})


class TestWeakened(globals()["TestRight"]):  # type: ignore[misc]
    """Leaves a test out, without a reason."""

    async def test_fails(self) -> None:
        pass


class TestExcused(globals()["TestRight"]):  # type: ignore[misc]
    """Leaves a test out, and says why."""

    @pytest.mark.xfail(reason="nothing fails there", run=False)
    async def test_fails(self) -> None:
        pass
