"""aiohttp's exceptions as httpx's, with texts that say what to do about them."""

from __future__ import annotations

import os
import ssl

import aiohttp
import httpx

__all__ = ("translated",)

_KINDS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
)

#: How a TLS alert looks among the words of a parser that expected a status line.
_ALERT = r"\x15\x03"

_USE_HTTPS = "it speaks TLS there: begin its address with https://"

#: By the numbers OpenSSL gives the reasons (``X509_V_ERR_…``).
_CERTIFICATE_ADVICE = {
    9: "let it be valid, or set this machine's clock",
    10: "renew it, or set this machine's clock",
    18: "put it into a file that SSL_CERT_FILE names",
    19: "put its authority's certificate into a file that SSL_CERT_FILE names",
    20: "put its authority's certificate into a file that SSL_CERT_FILE names",
    21: "have the service send its chain, or name the authority's file in SSL_CERT_FILE",
    62: "use a name the certificate was made for",
    64: "use an address or a name the certificate was made for",
}

#: What OpenSSL says of bytes that are no TLS at all.
_NOT_TLS = frozenset(
    ("HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER")
)


def translated(exc: Exception, scheme: str = "https") -> httpx.TransportError:
    """Return httpx's error for one of aiohttp's; its text says what happened and what to do.

    :param scheme: the address's: who speaks plainly to a TLS port needs to be told.
    """
    text = _text(exc)
    if scheme == "http" and _ALERT in text:
        return httpx.ConnectError(_USE_HTTPS)
    if scheme == "http" and isinstance(exc, aiohttp.ServerDisconnectedError):
        text += " (a service that speaks TLS there needs an address that begins with https://)"
    kind = next((ours for theirs, ours in _KINDS if isinstance(exc, theirs)), httpx.ReadError)
    return kind(text)


def _text(exc: Exception) -> str:
    if isinstance(exc, aiohttp.ClientResponseError):
        return exc.message
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return _certificate_text(exc.certificate_error)
    if isinstance(exc, aiohttp.ClientConnectorError):
        return _connecting_text(exc)
    return str(exc) or type(exc).__name__


def _certificate_text(error: Exception) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {error}"
    reason = error.verify_message.rstrip(".")
    advice = _CERTIFICATE_ADVICE.get(error.verify_code, "check it with its operator")
    return f"its TLS certificate is not accepted: {reason}; {advice}"


def _connecting_text(exc: aiohttp.ClientConnectorError) -> str:
    """Say where a connection could not be made, and why: aiohttp's text shows objects."""
    where = f"{exc.host}:{exc.port}"
    error = exc.os_error
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return f"{where} does not speak TLS: begin its address with http://, or set its port"
        return f"TLS with {where} failed: {error.reason or error}"
    if isinstance(error, ConnectionResetError) and not error.strerror:
        return f"{where} broke off while TLS was set up: it may speak none, or an old version only"
    known = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"no connection to {where}: {known or error or type(error).__name__}"
