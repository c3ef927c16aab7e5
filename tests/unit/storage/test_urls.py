from __future__ import annotations

import pytest

from runtime_core.errors import SettingsError
from runtime_core.storage import postgres, sqlite
from runtime_core.storage.postgres import without_password


@pytest.mark.parametrize(
    ("url", "what_to_do"),
    [
        ("sqlite://runtime.db", "a slash is missing"),
        ("sqlite:runtime.db", "not a SQLite URL"),
        ("sqlite3:///runtime.db", "not a SQLite URL"),
        ("sqlite:///runtime.db?mode=ro", "only a path may follow"),
        ("sqlite:///a\0b", "only a path may follow"),
    ],
)
def test_a_sqlite_url_that_names_no_file(url, what_to_do):
    with pytest.raises(SettingsError) as caught:
        sqlite.connect(url)

    message = str(caught.value)
    assert message.startswith(f"DATABASE_URL={url}: {what_to_do}")
    assert "sqlite:////absolute/path.db" in message


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:s3cret@host/database",
        "postgresql+asyncpg://user:s3cret@host/database",
        "postgresql://user:s3cret@host:port/database",
        "postgresql://user:s3cret@host:5432x/database",
        "postgresql://user:12/s3cret@host/database",
        "postgresql://user:12?s3cret@host/database",
        "postgresql://user:12#s3cret@host/database",
        "postgresql://user:s3cret@[::1/database",
        "postgresql://user:s3cret@host/database?port=a",
        "postgresql://user:s3cret@host/database?sslmode",
        "postgresql://user:s3cret@host/database?connect_timeout=soon",
        "postgresql://host/database?user=a&password=s3cret&port=a",
    ],
)
def test_a_postgresql_url_that_makes_no_sense_never_shows_its_password(url):
    with pytest.raises(SettingsError) as caught:
        postgres.connect(url)

    message = str(caught.value)
    assert message.startswith("DATABASE_URL=")
    assert "write postgresql://user:password@host:5432/database" in message
    assert "s3cret" not in message
    assert "***" in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://host/database", "postgresql://host/database"),
        ("postgresql://user@host/database", "postgresql://user@host/database"),
        ("postgresql://user:a@host:1/database", "postgresql://user:***@host:1/database"),
        ("postgresql://user:a@b:c/d@host/database", "postgresql://user:***@host/database"),
        ("postgresql://:a@host/database", "postgresql://:***@host/database"),
        (
            "postgresql:///database?host=/run&password=a&user=b",
            "postgresql:///database?host=/run&password=***&user=b",
        ),
        ("postgresql:///d?sslpassword=a", "postgresql:///d?sslpassword=***"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert without_password(url) == shown
