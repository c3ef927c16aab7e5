"""Errors of remote hooks, beside the kernel's."""

from __future__ import annotations

from runtime_core.errors import UpstreamError
from runtime_hooks_remote.shapes import Problem

__all__ = ("UnreadableDocument",)


class UnreadableDocument(UpstreamError):
    """No tool can be had from a document: it is not an OpenAPI 3.0 or 3.1 document.

    :param what: what is wrong with it, and what to do.
    :param where: a JSON pointer to what is wrong; "" is the document as a whole.
    """

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"the OpenAPI document cannot be used: {what}")
        self.problem = Problem(where, what)
