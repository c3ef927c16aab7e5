"""What the setting's URL says: servers, credentials, certificates and the subjects' prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from runtime_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("Address", "Certificates", "Server", "parse")

_PORT = 4222
_PREFIX = "runtime"
_PREFIX_FORM = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SCHEMES = ("nats", "tls")
_FORM = "nats://user:password@host:4222,host:4222/prefix"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are: a user with a password, or a token, or nobody."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS; where one is not named the system's certificate authorities count."""

    authority: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a cluster; ``tls`` refuses to go on without."""

    host: str
    port: int
    tls: bool
    credentials: Credentials = field(default_factory=Credentials, repr=False)

    @property
    def where(self) -> str:
        """Its address without credentials, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the bus is, and what stands before every subject there."""

    servers: tuple[Server, ...]
    prefix: str
    certificates: Certificates


def parse(url: str, environ: Mapping[str, str]) -> Address:
    """Read the URL; credentials that it lacks come from ``NATS_USER`` and ``NATS_PASSWORD``.

    :raises SettingsError: it makes no sense; the message does not repeat it.
    """
    places, _, query = url.partition("?")
    certificates = _certificates(query)
    *others, last = places.split(",")
    last, prefix = _split_prefix(last)
    tls = certificates != Certificates()
    servers = list(_servers([*others, last], tls=tls, known=_from_environment(environ)))
    return Address(tuple(servers), prefix, certificates)


def _split_prefix(place: str) -> tuple[str, str]:
    scheme, separator, rest = place.rpartition("://")
    rest, _, path = rest.partition("/")
    prefix = path.strip("/") or _PREFIX
    if not _PREFIX_FORM.fullmatch(prefix):
        _refuse("what follows the address is not letters and digits in dotted parts")
    return f"{scheme}{separator}{rest}", prefix


def _servers(places: list[str], *, tls: bool, known: Credentials) -> Iterator[Server]:
    """Yield one server a place; credentials and scheme count until others are given."""
    scheme = _SCHEMES[0]
    for place in places:
        given, separator, rest = place.strip().rpartition("://")
        scheme = given.lower() if separator else scheme
        if scheme not in _SCHEMES:
            _refuse("its servers begin with nats:// or tls://")
        try:
            parts = urlsplit(f"nats://{rest}")
            host, port = parts.hostname, parts.port
        except ValueError:
            _refuse("a server's address is malformed; in a password, %-encode what is special")
        if not host or host == "none" or port == 0 or parts.path or re.search(r"\s", host):
            _refuse("a server's address is malformed; in a password, %-encode what is special")
        if parts.username is not None:
            known = _credentials(unquote(parts.username), parts.password)
        yield Server(host, port or _PORT, tls or scheme == "tls", known)


def _credentials(name: str, password: str | None) -> Credentials:
    """A name alone is a token."""
    if password is None:
        return Credentials(token=name)
    return Credentials(user=name, password=unquote(password))


def _from_environment(environ: Mapping[str, str]) -> Credentials:
    given = {name.upper(): environ[name] for name in sorted(environ, key=str.isupper)}
    user = given.get("NATS_USER", "")
    return Credentials(user, given.get("NATS_PASSWORD", "")) if user else Credentials()


def _certificates(query: str) -> Certificates:
    names = {"tls_ca": "authority", "tls_cert": "certificate", "tls_key": "key"}
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(given.keys() - names.keys()):
        _refuse(f"it knows no option {', '.join(unknown)}, only {', '.join(names)}")
    if "tls_key" in given and "tls_cert" not in given:
        _refuse("tls_key needs tls_cert")
    return Certificates(**{names[name]: value for name, value in given.items()})


def _refuse(problem: str) -> NoReturn:
    raise SettingsError(
        f"RUNTIME_BUS_URL (NATS_URL): {problem}; allowed: a URL as {_FORM}, several servers "
        "separated by commas"
    )
