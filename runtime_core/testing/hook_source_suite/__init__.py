"""What every source of hooks must do, as tests to inherit.

Say what your source is, what one of its tools does, and what makes one fail, and inherit the
tests::

    class TestText(HookSourceSuite, without=("hanging",)):
        @pytest.fixture
        def source(self) -> HookSource:
            return TextHooks()

        @pytest.fixture
        def works(self) -> ToolRequest:
            return ToolRequest(hook="text", tool="words", arguments={"text": "one two"})

        @pytest.fixture
        def result(self) -> Value:
            return Value(2, "int")

        @pytest.fixture
        def fails(self) -> ToolRequest:
            return ToolRequest(hook="text", tool="words", arguments={"text": 7})

A source whose tools wait for something, another service above all, gives a call that never ends
as the fixture ``hangs``; one whose tools wait for nothing says ``without=("hanging",)``.  A source
that is to be kept running is: its `Services` are those of a real server, with the tables of the
fixture ``tables``.  A source that sends secrets is configured with ``{{secret:suite}}``, and
``fails`` is then best a call whose answer repeats what was sent.  So for a source over HTTP::

    class TestRemote(HookSourceSuite):
        @pytest.fixture
        async def service(self):
            async with serving(my_fake) as url:
                yield url

        @pytest.fixture
        def source(self, service) -> HookSource:
            return RemoteHooks(url=service, headers={"Authorization": "Bearer {{secret:suite}}"})

        @pytest.fixture
        def tables(self) -> TableSet:
            return register_tables()

A test that the source makes impossible is overridden with ``@pytest.mark.xfail(reason=…)``;
overriding one silently fails the suite.  The suite itself is judged by broken sources
(``tests/integration/conformance`` of the kernel), each caught by the test named after it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from runtime_core.testing.hook_source_suite.base import SuiteBase
from runtime_core.testing.hook_source_suite.calls import CallTests
from runtime_core.testing.hook_source_suite.listing import ListingTests
from runtime_core.testing.hook_source_suite.secrecy import SecrecyTests
from runtime_core.testing.hook_source_suite.together import HangingTests, TogetherTests
from runtime_core.testing.provider_suite.base import overridden_tests, tests_of

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ("HookSourceSuite",)

Ability = Literal["hanging"]

_TESTS_OF = MappingProxyType({"hanging": HangingTests})


class HookSourceSuite(
    ListingTests,
    CallTests,
    TogetherTests,
    HangingTests,
    SecrecyTests,
    SuiteBase,
):
    """Inherit, give the fixtures ``source``, ``works``, ``result``, ``fails``, and run.

    :param without: what no tool of the source does; its tests are left out.
    """

    without: ClassVar[frozenset[Ability]] = frozenset()

    def __init_subclass__(cls, *, without: Collection[Ability] = (), **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.without = cls.without | frozenset(without)
        for name in tests_of(_TESTS_OF[ability] for ability in without):
            setattr(cls, name, None)

    def test_suite_is_not_weakened(self) -> None:
        left_out = tests_of(_TESTS_OF[ability] for ability in self.without)
        weakened = set(overridden_tests(type(self), HookSourceSuite)) - left_out
        assert not weakened, f"overridden without @pytest.mark.xfail(reason=…): {weakened}"
