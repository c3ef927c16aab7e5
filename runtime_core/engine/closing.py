"""Close an async iterator however its reader leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("closing",)

T = TypeVar("T")


class closing(Generic[T]):
    """``async with closing(iterator) as items``: close it on the way out.

    Closing an iterator is how the work behind it is cancelled; ``async for`` alone leaves that
    to the garbage collector.  (`contextlib.aclosing` is for generators only.)
    """

    __slots__ = ("_iterator",)

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator

    async def __aenter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def __aexit__(self, *exc: object) -> None:
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()
