"""Where log records go: one line each to stderr, as text or JSON, set up once by the CLI."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.settings import Settings

__all__ = ("configure", "drop")

# Libraries whose INFO is a line for each of their own steps.
_TALKATIVE = (
    *("aiosqlite", "alembic", "asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "mcp"),
    *("sqlalchemy", "uvicorn"),
)

_BARE = len(vars(logging.makeLogRecord({})))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

# A line break or an escape sequence in a message must not look like another line.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def configure(settings: Settings, request_id: Callable[[], str] = lambda: "") -> None:
    """Send all log records of the process to stderr; a second call replaces the first.

    :param request_id: returns the id of the request being served, "" outside of one.
    """
    formatter = {"json": JSONLines, "text": TextLines}[settings.log_format]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(request_id))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, TextLines | JSONLines):
            root.removeHandler(old)
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def drop() -> None:
    """Send log records nowhere."""
    logging.getLogger().addHandler(logging.NullHandler())


class TextLines(logging.Formatter):
    """``time LEVEL logger: message key=value``, with the traceback on lines of its own."""

    def __init__(self, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        extra = _extra(record, self._request_id())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        for name, value in extra.items():
            line += f" {name}={value}"
        if not line.isprintable():
            line = line.translate(_CONTROL)
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JSONLines(logging.Formatter):
    """One JSON object: ``time level logger message``, then whatever the record carries."""

    def __init__(self, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON text without line breaks."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record, self._request_id()),
        }
        if trace := _trace(self, record):
            line["traceback"] = trace
        return msgspec.json.encode(line, enc_hook=str).decode()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord, request_id: str) -> dict[str, Any]:
    known = vars(record)
    found: dict[str, Any] = {}
    if len(known) > _BARE:
        found = {name: value for name, value in known.items() if name not in _STANDARD}
    if request_id:
        found.setdefault("request_id", request_id)
    return found


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and not record.exc_text:
        record.exc_text = formatter.formatException(record.exc_info)
    stack = formatter.formatStack(record.stack_info) if record.stack_info else ""
    return "\n".join(part for part in (record.exc_text, stack) if part)
