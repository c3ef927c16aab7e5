from __future__ import annotations

import io
import json
import logging
import re
import warnings
from contextlib import redirect_stderr

import pytest

from runtime_core import logs
from runtime_core.settings import Settings


@pytest.fixture(autouse=True)
def _loggers_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in ("httpx", "httpx2", "mcp", "alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def stderr():
    """Take what is written to stderr, since pytest's own is another in each phase of a test."""
    return io.StringIO()


@pytest.fixture
def lines(stderr):
    """Set up the logs and return what some calls wrote to stderr, line by line."""

    def written(**settings: str) -> list[str]:
        request_id = settings.pop("request_id", "")
        with redirect_stderr(stderr):
            logs.configure(Settings(**settings), lambda: request_id)
        logger = logging.getLogger("runtime.test")
        logger.debug("too small")
        logger.info("hello %s", "world", extra={"status": 200})
        try:
            raise ValueError("broken\nin two")
        except ValueError:
            logger.exception("it failed\n2026-01-01 INFO forged: \x1b[31mline")
        return stderr.getvalue().splitlines()

    return written


def test_text(lines):
    first, second, *trace = lines(request_id="r1")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    runtime\.test: hello world "
        r"status=200 request_id=r1",
        first,
    )
    assert second.endswith(r"it failed\n2026-01-01 INFO forged: \x1b[31mline request_id=r1")
    assert trace[0] == "Traceback (most recent call last):"


def test_json(lines):
    first, second = map(json.loads, lines(log_format="json", request_id="r1"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "info",
        "logger": "runtime.test",
        "message": "hello world",
        "status": 200,
        "request_id": "r1",
    }
    assert second["message"] == "it failed\n2026-01-01 INFO forged: \x1b[31mline"
    assert second["traceback"].splitlines()[-2:] == ["ValueError: broken", "in two"]


def test_outside_of_a_request_there_is_no_request_id(lines):
    assert "request_id" not in json.loads(lines(log_format="json")[0])


def test_json_takes_any_value(lines):
    lines(log_format="json")
    record = logging.makeLogRecord({"msg": "x", "odd": {1, object}})
    assert json.loads(logging.getLogger().handlers[-1].format(record))["message"] == "x"


def test_the_level(lines):
    found = lines(log_level="error")
    assert any("it failed" in line for line in found)
    assert not any("hello" in line for line in found)


def test_debug_shows_everything(lines):
    assert "too small" in lines(log_level="debug")[0]


@pytest.mark.parametrize("library", ["httpx", "httpx2", "mcp.server.streamable_http"])
def test_libraries_are_quiet_unless_they_warn(library):
    logs.configure(Settings())
    assert not logging.getLogger(library).isEnabledFor(logging.INFO)
    assert logging.getLogger(library).isEnabledFor(logging.WARNING)
    assert logging.getLogger("acme_plugin").isEnabledFor(logging.INFO)


def test_configuring_again_replaces(lines, stderr):
    with redirect_stderr(stderr):
        logs.configure(Settings())
    assert sum("hello" in line for line in lines(log_format="json")) == 1


def test_warnings_are_logged(stderr):
    with redirect_stderr(stderr), warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(Settings())
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in stderr.getvalue()


def test_logs_can_be_dropped(stderr):
    with redirect_stderr(stderr):
        logs.drop()
        logging.getLogger("runtime.test").error("lost")
    assert stderr.getvalue() == ""
