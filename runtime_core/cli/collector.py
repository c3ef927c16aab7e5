"""The garbage collector of a process that serves: it must not make answers wait.

Most of a server's objects are made while it starts and stay until it ends.  A full collection
that looks at all of them takes a tenth of a second, in which nothing is answered, and under load
there is one every few hundred requests.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("paused", "settle")

#: Containers made, and not freed again, until the youngest are looked at.  The requests that are
#: served at a time hold more than the default of 700, and would be looked at over and over.
_YOUNG = 5_000


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing while code is imported: next to nothing of that can be freed."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle() -> None:
    """Leave out of every later collection what is there now; cycles made later are collected."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
