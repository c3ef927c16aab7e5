"""Addresses in every form that Ollama itself accepts in ``OLLAMA_HOST``."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from runtime_core.errors import SettingsError

__all__ = ("DEFAULT_ADDRESS", "address_of")

_DEFAULT_PORT = 11434

DEFAULT_ADDRESS = f"http://127.0.0.1:{_DEFAULT_PORT}"


def address_of(host: str) -> str:
    """Return the URL that ``host``, ``host:port``, ``:port`` or a URL stands for, without a slash.

    A server that listens on all addresses (``0.0.0.0``, ``::``) is asked on this machine.

    :raises SettingsError: it is none of these.
    """
    text = host.strip().strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest, default_port = "http", text, _DEFAULT_PORT
    else:
        default_port = 443 if scheme.lower() == "https" else 80
    try:
        parts = urlsplit(f"{scheme.lower()}://{_bracketed(rest)}")
        port = default_port if parts.port is None else parts.port
    except ValueError as exc:
        raise _unusable(host) from exc
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise _unusable(host)
    user, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user}{at}{_reachable(parts.hostname)}:{port}{parts.path.rstrip('/')}"


def _bracketed(rest: str) -> str:
    """Put the brackets around a bare IPv6 address."""
    host, slash, path = rest.partition("/")
    try:
        return f"[{host}]{slash}{path}" if ip_address(host).version == 6 else rest
    except ValueError:
        return rest


def _reachable(host: str | None) -> str:
    if host in (None, "", "0.0.0.0"):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _unusable(host: str) -> SettingsError:
    return SettingsError(
        f"The Ollama address {host!r} cannot be used. Give a host, host:port, :port or a URL such "
        f"as http://127.0.0.1:{_DEFAULT_PORT} (OLLAMA_HOST, or host in [plugins.ollama])."
    )
