"""The ``postgresql`` driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from runtime_core.errors import SettingsError
from runtime_core.storage.database import Database, Driver, reason_of

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from runtime_core.storage.cipher import Cipher

__all__ = ("connect", "without_password")

POOL_SIZE = 16
POOL_TIMEOUT = 30.0
CONNECT_TIMEOUT = 10.0

#: How long to wait for another process that is migrating.
MIGRATION_PATIENCE = "60s"

#: Any number that programs sharing the database are unlikely to lock.
_MIGRATION_LOCK = 0x52_55_4E_54_49_4D_45

_FORM = "write postgresql://user:password@host:5432/database"

_HOSTS = re.compile(r"(?:(?:\[[^\]]+\]|[^:,\[\]]*)(?::\d+)?(?:,|$))*")
_PORTS = re.compile(r"(?:\d+(?:,\d+)*)?", re.ASCII)

#: Parameters of libpq that asyncpg would send to the server, which refuses them.
_IGNORED = frozenset(
    {
        "channel_binding",
        "client_encoding",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "requirepeer",
        "require_auth",
        "sslcompression",
        "sslcertmode",
        "sslsni",
        "tcp_user_timeout",
    }
)


def connect(url: str, cipher: Cipher | None = None) -> Database:
    """Return the database of a ``postgresql:`` (or ``postgres:``) URL; does no I/O.

    The query takes libpq's parameters: ``sslmode``, ``host`` (also a socket's directory), ….

    :param cipher: seals the keys that are stored; without one they are stored in clear.

    :raises SettingsError: the URL makes no sense.
    """
    dsn, timeout = _dsn(url)

    # asyncpg, not SQLAlchemy, reads the URL: it knows libpq's parameters
    async def open_connection(*args: object, **kwargs: object) -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=timeout)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        # a connection that died with the server's restart is replaced, not handed out
        pool_pre_ping=True,
    )
    return Database(
        Driver(
            writer=engine,
            reader=engine.execution_options(isolation_level="AUTOCOMMIT"),
            insert=insert,
            clock="CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
            explain=lambda error: _explain(error, url),
            connect_errors=(OSError, asyncpg.PostgresError, asyncpg.InterfaceError),
            migration_lock=(
                f"SET LOCAL lock_timeout = '{MIGRATION_PATIENCE}'",
                f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})",
            ),
        ),
        cipher,
    )


def without_password(url: str) -> str:
    """Return a URL fit for messages, however broken it is."""
    url = re.sub(r"^([\w.+-]+://[^:/?@]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", url, flags=re.IGNORECASE)


def _dsn(url: str) -> tuple[str, float]:
    """Return the address in asyncpg's dialect, and the seconds connecting may take."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        timeout = float(query.pop("connect_timeout", CONNECT_TIMEOUT))
        netloc = _netloc(parts, query.get("port", ""))
    except ValueError:
        # without the cause: it may quote a part of the password
        raise SettingsError(
            f"DATABASE_URL={without_password(url)}: not a PostgreSQL URL; {_FORM} (in user and "
            "password, write : as %3A, / as %2F, ? as %3F, # as %23 and % as %25)"
        ) from None
    kept = {name: value for name, value in query.items() if name not in _IGNORED}
    dsn = parts._replace(netloc=netloc, query=urlencode(kept, quote_via=quote))
    return urlunsplit(dsn), timeout


def _netloc(parts: SplitResult, ports: str) -> str:
    """Return ``user:password@hosts`` with the credentials quoted; ValueError when it is not that.

    An unquoted / ? or # in the password ends the credentials early; what is then taken for the
    rest of the URL gives it away.
    """
    credentials, at, hosts = parts.netloc.rpartition("@")
    misread = parts.fragment or "@" in parts.path or not _HOSTS.fullmatch(hosts)
    if parts.scheme not in ("postgres", "postgresql") or misread or not _PORTS.fullmatch(ports):
        raise ValueError
    quoted = ":".join(quote(unquote(part), safe="") for part in credentials.split(":", 1))
    return f"{quoted}{at}{hosts}"


def _explain(error: BaseException, url: str) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = str(getattr(cause, "sqlstate", None) or "")
    reason = reason_of(error)
    default = _NO_ANSWER if isinstance(cause, OSError) else "PostgreSQL cannot be used: {reason}"
    advice = next((text for code, text in _ADVICE.items() if state.startswith(code)), default)
    return f"DATABASE_URL={without_password(url)}: {advice.format(reason=reason)}"


_NO_ANSWER = (
    "no PostgreSQL server answers there ({reason}); start it, or correct host and port; a socket's "
    "directory goes into ?host=/directory"
)

#: What to do, by the beginning of the server's SQLSTATE.
_ADVICE = {
    "28": "the server refuses this user or password ({reason}); correct them, or the server's "
    "pg_hba.conf",
    "3D000": "{reason}; create it (createdb NAME), or name another one at the end of the URL",
    "42501": "{reason}; grant the user CREATE on the database and its schema",
    "53": "the server has no resources left ({reason}); raise its limits or end other programs",
    "55P03": "another process has been migrating the tables for a minute; wait for it or end it, "
    "then start again",
    "57P03": "the server is starting or stopping ({reason}); try again in a moment",
}
