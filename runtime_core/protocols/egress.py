"""Outgoing HTTP of tools, as plugins see it; `runtime_core.upstream` has what does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = ("Egress", "EgressAnswer", "EgressClient", "EgressStream")


class _Answer(Protocol):
    @property
    def status(self) -> int:
        """The HTTP status, whatever it is."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by their names in any case."""
        ...

    @property
    def url(self) -> str:
        """What answered in the end, after redirects."""
        ...


class EgressAnswer(_Answer, Protocol):
    """A whole answer."""

    @property
    def body(self) -> bytes:
        """The body, decompressed."""
        ...


class EgressStream(_Answer, Protocol):
    """An answer whose body, decompressed, is iterated over once, or read."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def read(self) -> bytes:
        """Return the whole body."""
        ...


class EgressClient(Protocol):
    """HTTP under one policy about addresses."""

    def check(self, url: str) -> None:
        """Say at once what is wrong with an address; a name is looked up only when it is called.

        :raises AddressRefused: it is no URL that can be called, or its IP address is out of bounds.
        """
        ...

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = ...,
        body: bytes | None = ...,
        timeout: float | None = ...,  # noqa: ASYNC109 - a limit of the whole exchange
        max_bytes: int | None = ...,
        redirects: int = ...,
        confidential: bool = ...,
    ) -> EgressAnswer:
        """Call *url* and return the whole answer, whatever its status; see `stream`."""
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = ...,
        body: bytes | None = ...,
        timeout: float | None = ...,
        max_bytes: int | None = ...,
        redirects: int = ...,
        confidential: bool = ...,
    ) -> AbstractAsyncContextManager[EgressStream]:
        """Call *url* and give the answer, whatever its status, its body not yet read.

        :param headers: another origin gets only those that hold no credential.
        :param timeout: seconds for everything, redirects and body included; None: no limit.
        :param max_bytes: of the body, decompressed; None: no limit.
        :param redirects: how many are followed; 0 gives the redirecting answer itself.
        :param confidential: whether the body holds a credential: another origin does not get it.
        :raises AddressRefused: the address, or one it redirects to, is out of bounds.
        :raises TaskFailed: the method or a header is none; nothing has been sent.
        :raises UpstreamError: no connection, a broken or garbled answer, or one that is too large.
        :raises TimedOut: it took longer than *timeout*.
        """
        ...


class Egress(Protocol):
    """The two clients of tools: which one is a question of who chose the address."""

    @property
    def operator(self) -> EgressClient:
        """For addresses that an operator registered."""
        ...

    @property
    def untrusted(self) -> EgressClient:
        """For addresses that a model, a script or a template chose."""
        ...
