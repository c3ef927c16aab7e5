"""What a driver builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from runtime_core.types import ModelInfo

__all__ = (
    "BackendStats",
    "Bus",
    "LoadingTokenizer",
    "RouteOption",
    "Router",
    "Subscription",
    "Tokenizer",
)


class Subscription(Protocol):
    """Messages of one subject, as they come; use as an async context manager.

    The iteration raises `runtime_core.errors.SubscriptionLost` once messages were, or may have
    been, missed: the listener was too slow, or the other replicas could not be heard for a time
    and now can again.  Whoever catches it subscribes anew and then reads the truth anew.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __aenter__(self) -> Subscription:
        """Listen from now on; does not wait for replicas that cannot be reached."""
        ...

    async def __aexit__(self, *exc: object) -> None: ...


class Bus(Protocol):
    """The doorbell between replicas: at-most-once, never the truth.

    Built with the URL of the setting and ``environ``, the environment the settings were read from;
    opens nothing before it is used.  What is published is heard in this process at once, also
    while other replicas cannot be reached: they miss it, and are told that they missed something
    (see `Subscription`).
    """

    async def publish(self, subject: str, payload: bytes) -> None:
        """Ring; never waits for a network, and never fails because of one.

        :raises ValueError: *subject* is not dotted parts, or has wildcards.
        """
        ...

    def subscribe(self, subject: str) -> Subscription:
        """Listen; ``*`` stands for one dotted part, a final ``>`` for the rest."""
        ...

    async def ping(self) -> None:
        """Return when the other replicas can be told and heard.

        :raises UpstreamUnavailable: they cannot; the message says why, without credentials.
        """
        ...

    async def aclose(self) -> None:
        """Send what is on its way, and disconnect; may be called twice."""
        ...


class RouteOption(Protocol):
    """A backend that can be asked, and the model to ask it for."""

    @property
    def backend_id(self) -> str:
        """What tells the backend from all others; the key of its `BackendStats`."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The model, as the backend lists it."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether the model answers without being loaded first; true where that is no question."""
        ...


class BackendStats(Protocol):
    """The calls of one backend, as far as they matter for routing."""

    @property
    def in_flight(self) -> int:
        """How many calls are being answered now."""
        ...

    @property
    def latency(self) -> float | None:
        """Seconds until the first chunk, recent calls counting most; None: never measured."""
        ...

    @property
    def measured_at(self) -> float:
        """When ``latency`` was measured last, in seconds of the monotonic clock."""
        ...

    @property
    def asked(self) -> int:
        """Grows with every call of the whole fleet: the smallest was asked longest ago."""
        ...


Option = TypeVar("Option", bound=RouteOption)


class Router(Protocol):
    """A routing policy: in which order backends are asked that a task likes equally well.

    It is asked for every call and must be quick; it is never asked about a single candidate.
    Built without arguments.
    """

    def order(
        self, candidates: Sequence[Option], stats: Mapping[str, BackendStats]
    ) -> Iterable[Option]:
        """Return *candidates*, the one to ask first at the front; changes nothing.

        What is returned is iterated only as far as candidates fail.

        :param candidates: two or more, in the operator's order.
        :param stats: of every backend, by its id.
        """
        ...


class Tokenizer(Protocol):
    """Counts the tokens of texts that no model has counted yet.

    Built without arguments.  It is asked on the event loop and, about much text, beside it: it
    must be quick, wait for nothing, and not mind two threads.
    """

    def count(self, text: str, model: str) -> int:
        """Return how many tokens a model makes of *text*.

        One that raises is not asked again: from then on the estimate is used.

        :param text: at most 32768 characters; what looks like a special token is text, too.
        :param model: the model's name as a chain or a client wrote it, "" when not known.
        """
        ...


@runtime_checkable
class LoadingTokenizer(Tokenizer, Protocol):
    """A tokenizer that needs something first, as a vocabulary from a file or the network."""

    def load(self, environ: Mapping[str, str], models: Sequence[str]) -> None:
        """Get ready; called once while the server starts, in a thread of its own: it may wait.

        Nothing is counted before it returns.  When it raises, nothing ever is: the estimate is
        used, and a warning has the reason, so let it say what to do.

        :param environ: the environment that the settings were read from.
        :param models: the names of the models in the settings.
        """
        ...
