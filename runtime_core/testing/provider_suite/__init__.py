"""What every model provider must do, as tests to inherit.

Say how the service speaks (a `ChatWire`, also an `EmbeddingWire` when it embeds), give two
fixtures, and inherit the tests::

    class TestAcme(ProviderSuite):
        @pytest.fixture
        def provider_factory(self) -> ProviderFactory:
            return AcmeProvider

        @pytest.fixture
        def wire(self) -> ChatWire:
            return AcmeWire()

A service without tools or embeddings says so:
``class TestAcme(ProviderSuite, without=("tools", "embeddings"))``.
A test that the service makes impossible is overridden with ``@pytest.mark.xfail(reason=…)``;
overriding one silently fails the suite.  The suite itself is judged by broken providers
(``tests/integration/conformance`` of the kernel), each caught by the test named after it:

* sends options left unset, drops ``temperature=0``, ``extra``, a role or a tool's result
* strips whitespace, joins characters split between two pieces wrongly, loses frames that come
  together, collects the answer before it yields, ends twice or never
* takes a cut, an empty or an HTML answer for a whole one; swallows an error in mid-stream
* gives two tool calls one id or one index, cuts a list of vectors short
* lets httpx's and decoding errors out, forgets ``retry-after``, quotes the key it was given
* leaves the connection open when it is left, does not end the answer's connection for reuse,
  opens connections of its own, closes the client it shares, shares state between requests
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from runtime_core.protocols import EmbeddingProvider
from runtime_core.testing.provider_suite.answers import AnswerTests
from runtime_core.testing.provider_suite.base import SuiteBase, overridden_tests, tests_of
from runtime_core.testing.provider_suite.connections import ConnectionTests
from runtime_core.testing.provider_suite.embeddings import EmbeddingTests
from runtime_core.testing.provider_suite.failures import FailureTests
from runtime_core.testing.provider_suite.requests import RequestTests
from runtime_core.testing.provider_suite.tools import ToolTests

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime_core.protocols import ChatProvider
    from runtime_core.testing.wire import ChatWire

__all__ = ("ProviderSuite",)

Ability = Literal["tools", "embeddings"]

_TESTS_OF = MappingProxyType({"tools": ToolTests, "embeddings": EmbeddingTests})


class ProviderSuite(
    RequestTests,
    AnswerTests,
    ToolTests,
    FailureTests,
    ConnectionTests,
    EmbeddingTests,
    SuiteBase,
):
    """Inherit, give the fixtures ``provider_factory`` and ``wire``, and run.

    :param without: what the service does not have; its tests are left out.
    """

    without: ClassVar[frozenset[Ability]] = frozenset()

    def __init_subclass__(cls, *, without: Collection[Ability] = (), **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.without = cls.without | frozenset(without)
        for name in tests_of(_TESTS_OF[ability] for ability in without):
            setattr(cls, name, None)

    def test_suite_is_not_weakened(self) -> None:
        left_out = tests_of(_TESTS_OF[ability] for ability in self.without)
        weakened = set(overridden_tests(type(self), ProviderSuite)) - left_out
        assert not weakened, f"overridden without @pytest.mark.xfail(reason=…): {weakened}"

    async def test_what_it_is_without_it_does_not_have(
        self, provider: ChatProvider, wire: ChatWire
    ) -> None:
        has = {
            "tools": "tools" in wire.options,
            "embeddings": isinstance(provider, EmbeddingProvider),
        }
        wrongly = [ability for ability in sorted(self.without) if has[ability]]
        assert not wrongly, f"left out of the tests, but there: {wrongly}"
