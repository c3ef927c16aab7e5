"""What all outgoing HTTP shares: aiohttp's connections, and the certificates they trust."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    import ssl

__all__ = ("Connector", "Trust")


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector, whose connections report every broken framing at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # there is no public way to have connections of another class
        connection = partial(_Connection, loop=asyncio.get_running_loop())
        self._factory = cast("partial[ResponseHandler]", connection)


class Trust:
    """The certificates to trust, read when they are first needed.

    Reading them takes longer than most of a start.  Their store may come from SSL_CERT_FILE or
    SSL_CERT_DIR: private authorities are common.
    """

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What a TLS connection is made with; `httpx.ConnectError` when it cannot be read."""
        try:
            return httpx.create_ssl_context(trust_env=True)
        except OSError as exc:
            raise httpx.ConnectError(
                f"the certificates to trust cannot be read: {exc.strerror or exc}; let"
                " SSL_CERT_FILE name a PEM file, or SSL_CERT_DIR a folder of them, or unset both"
            ) from exc


class _Connection(ResponseHandler):
    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tell the reader of a body, too, that its framing is broken.

        aiohttp tells only who waits for the next head.  The reader would wait for ever: the
        parser has failed, the connection is closed, and the time-out has been called off.
        """
        super().set_exception(exc, *cause)
        body = self._payload
        if body is None or body.is_eof() or body.exception() is not None:
            return
        if isinstance(exc, HttpProcessingError):
            body.set_exception(aiohttp.ClientPayloadError(exc.message), *cause)
