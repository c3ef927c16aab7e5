from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from runtime_core.errors import SettingsError
from runtime_core.settings import Settings, scheme_of, unknown_variables

ROOT = Path(__file__).parents[3]

#: Variables whose names are older than the RUNTIME_ prefix.
ALIASES = {
    "ADDR": ("addr", "0.0.0.0"),
    "CHAT_MODEL": ("chat_model", "m"),
    "CHAT_MODEL_CONTEXT_LENGTH": ("chat_model_context_length", "2048"),
    "CHAT_PROVIDER": ("chat_provider", "p"),
    "DATABASE_URL": ("database_url", "sqlite:///other.db"),
    "EMBED_MODEL": ("embed_model", "m"),
    "EMBED_MODEL_CONTEXT_LENGTH": ("embed_model_context_length", "2048"),
    "EMBED_PROVIDER": ("embed_provider", "p"),
    "NATS_URL": ("bus_url", "nats://localhost:4222"),
    "PORT": ("port", "9000"),
    "TASK_MODEL": ("task_model", "m"),
    "TASK_MODEL_CONTEXT_LENGTH": ("task_model_context_length", "2048"),
    "TASK_PROVIDER": ("task_provider", "p"),
}


@pytest.fixture
def toml(tmp_path):
    """Write runtime.toml and return the settings read from it."""

    def load(text: str, **environ: str) -> Settings:
        (tmp_path / "runtime.toml").write_text(text, encoding="utf-8")
        return Settings.load(environ, tmp_path)

    return load


def problem(tmp_path: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, tmp_path)
    return caught.value.message


def test_everything_has_a_default(tmp_path):
    settings = Settings.load({}, tmp_path)
    assert settings.addr == "127.0.0.1"
    assert settings.port == 8081
    assert settings.database_url == "sqlite:///runtime.db"
    assert settings.bus_url == "memory://"
    assert settings.max_body == 10 * 1024 * 1024
    assert settings.token is None
    assert settings == Settings()


@pytest.mark.parametrize("name", ALIASES)
def test_older_names_of_variables_are_read(tmp_path, name):
    field, text = ALIASES[name]
    for written in (name, name.lower()):
        settings = Settings.load({written: text}, tmp_path)
        assert str(getattr(settings, field)) == text


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - {"environ"}))
def test_every_field_has_a_prefixed_variable(tmp_path, field):
    assert f"RUNTIME_{field.upper()}" in problem_or_empty(tmp_path, field)


def problem_or_empty(tmp_path: Path, field: str) -> str:
    """Give a value that is wrong for most fields; text fields take it, which shows as well."""
    name = f"RUNTIME_{field.upper()}"
    try:
        settings = Settings.load({name: "\x01 wrong"}, tmp_path)
    except SettingsError as exc:
        return exc.message
    assert "wrong" in str(getattr(settings, field))
    return name


def test_prefixed_variables_win_over_older_names(tmp_path):
    settings = Settings.load({"PORT": "1", "RUNTIME_PORT": "2"}, tmp_path)
    assert settings.port == 2


def test_the_upper_case_spelling_wins(tmp_path):
    assert Settings.load({"port": "1", "PORT": "2"}, tmp_path).port == 2
    assert Settings.load({"PORT": "2", "port": "1"}, tmp_path).port == 2


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path, toml):
    text = "port = 1\nmax_steps = 7\nchat_chain = 'file'"
    settings = toml(text, PORT="2", RUNTIME_CHAT_CHAIN="variable")
    assert (settings.port, settings.max_steps, settings.chat_chain) == (2, 7, "variable")
    flagged = Settings.load({"PORT": "2"}, tmp_path, {"port": 3, "addr": None})
    assert (flagged.port, flagged.addr) == (3, "127.0.0.1")


def test_an_empty_variable_is_not_set(tmp_path):
    settings = Settings.load({"TOKEN": "", "PORT": " ", "CHAT_MODEL": ""}, tmp_path)
    assert (settings.token, settings.port, settings.chat_model) == (None, 8081, "")


def test_an_empty_token_in_the_file_is_not_a_token(toml):
    assert toml('token = ""').token is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10485760", 10485760),
        ("20MB", 20_000_000),
        ("10MiB", 10 * 1024 * 1024),
        ("1.5 kib", 1536),
        ("3g", 3_000_000_000),
    ],
)
def test_sizes(tmp_path, text, size):
    assert Settings.load({"RUNTIME_MAX_BODY": text}, tmp_path).max_body == size


def test_secrets_have_to_be_long(tmp_path):
    keys = ("0123456789abcdef", "0123456789abcdef,fedcba9876543210")
    for key in keys:
        assert Settings.load({"RUNTIME_SECRET_KEY": key}, tmp_path).secret_key
    assert Settings.load({"RUNTIME_SECRET_KEY": ""}, tmp_path).secret_key is None
    for key in ("0123456789abcde", f"{keys[0]},short", f"{keys[0]},", "0123456789 abcdef"):
        message = problem(tmp_path, RUNTIME_SECRET_KEY=key)
        assert "RUNTIME_SECRET_KEY" in message
        assert "at least 16 printable ASCII characters" in message


def test_lists_are_separated_by_commas(tmp_path):
    settings = Settings.load(
        {"RUNTIME_CORS_ORIGINS": "https://a.example, *,", "RUNTIME_DISABLE_PLUGINS": "a,b"},
        tmp_path,
    )
    assert settings.cors_origins == ("https://a.example", "*")
    assert settings.disable_plugins == ("a", "b")


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("PORT", "99999", "from 0 to 65535"),
        ("PORT", "-1", "from 0 to 65535"),
        ("PORT", "80a", "from 0 to 65535"),
        ("ADDR", "http://localhost", "IP address or a host name"),
        ("ADDR", "localhost:80", "without a port"),
        ("DATABASE_URL", "runtime.db", "scheme names an installed driver"),
        ("NATS_URL", "localhost:4222", "scheme names an installed driver"),
        ("RUNTIME_MAX_BODY", "10XB", "10MiB"),
        ("RUNTIME_MAX_BODY", "0", "above 0"),
        ("RUNTIME_PLUGIN_TIMEOUT", "nan", "number of seconds above 0"),
        ("RUNTIME_PLUGIN_TIMEOUT", "0", "number of seconds above 0"),
        ("RUNTIME_SHUTDOWN_TIMEOUT", "inf", "number of seconds above 0"),
        ("RUNTIME_MAX_STEPS", "0", "from 1 to 1000000"),
        ("RUNTIME_STRICT", "maybe", "true or false"),
        ("RUNTIME_CORS_ORIGINS", "example.org", "https://example.org:8443"),
        ("RUNTIME_CORS_ORIGINS", "https://example.org/", "https://example.org:8443"),
        ("RUNTIME_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("RUNTIME_LOG_FORMAT", "xml", "'text' or 'json'"),
        ("CHAT_MODEL_CONTEXT_LENGTH", "0", "tokens above 0"),
        ("RUNTIME_BACKENDS", "{", "JSON"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_is_allowed(tmp_path, name, given, allowed):
    message = problem(tmp_path, **{name: given})
    assert message.startswith(f"a setting is wrong: {name}: {given.lower()!r}") or (
        message.startswith(f"a setting is wrong: {name}: {given!r}")
    )
    assert allowed in message


def test_every_wrong_value_is_told_at_once(tmp_path, toml):
    with pytest.raises(SettingsError) as caught:
        toml("max_steps = true\nchat_modle = 'x'", PORT="x", RUNTIME_LOG_LEVEL="loud")
    lines = caught.value.message.splitlines()
    assert lines[0] == "4 settings are wrong:"
    assert len(lines) == 5
    file = tmp_path / "runtime.toml"
    assert f"- chat_modle in {file}: is not a setting; did you mean chat_model?" in lines
    assert any(line.startswith(f"- max_steps in {file}: True was given") for line in lines)
    assert any(line.startswith("- PORT: 'x' was given") for line in lines)


@pytest.mark.parametrize(
    ("environ", "secret"),
    [
        ({"TOKEN": "se cret"}, "se cret"),
        ({"TOKEN": "sécret"}, "sécret"),
        ({"RUNTIME_SECRET_KEY": "hunter2"}, "hunter2"),
        ({"DATABASE_URL": "postgresql:user:hunter2@host/db"}, "hunter2"),
        ({"RUNTIME_BACKENDS": '[{"type": "x", "api_key": ["hunter2"]}]'}, "hunter2"),
        ({"RUNTIME_BACKENDS": '[{"type": "x", "api_kee": "hunter2"}]'}, "hunter2"),
        ({"RUNTIME_BACKENDS": '{"api_key": "hunter2"}'}, "hunter2"),
    ],
)
def test_errors_show_no_secrets(tmp_path, environ, secret):
    assert secret not in problem(tmp_path, **environ)


def test_settings_show_no_secrets(tmp_path):
    settings = Settings.load(
        {
            "TOKEN": "hunter2",
            "DATABASE_URL": "postgresql://user:hunter2@host/db",
            "NATS_URL": "nats://user:hun:t/er2@host",
            "RUNTIME_BACKENDS": '[{"type": "x", "api_key": "hunter2"}]',
            "RUNTIME_PLUGINS": '{"x": {"password": "hunter2"}}',
        },
        tmp_path,
    )
    assert settings.token.get_secret_value() == "hunter2"
    for shown in (repr(settings), str(settings)):
        assert "hunter2" not in shown
        assert "er2" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "nats://hunter2@host:4222",
        "nats://hunter2@a,hunter2@b:1/prefix",
        "nats://a:4222,nats://hunter2@b",
        "tls://user:hunter2@a,hunter2@b",
    ],
)
def test_a_token_in_a_url_is_a_secret(tmp_path, url):
    settings = Settings.load({"NATS_URL": url}, tmp_path)
    assert settings.bus_url == url
    assert "hunter2" not in repr(settings)
    assert "***@" in repr(settings)


def test_backends(toml):
    settings = toml(
        """
        [[backends]]
        name = "gpu"
        type = "openai"
        base_url = "http://gpu:8000/v1"
        api_key = "k"
        priority = -1
        options = { organization = "o" }

        [[backends]]
        type = "echo"
        """
    )
    gpu, echo = (backend.config() for backend in settings.backends)
    assert (gpu.name, gpu.type, gpu.base_url, gpu.api_key) == (
        "gpu",
        "openai",
        "http://gpu:8000/v1",
        "k",
    )
    assert (gpu.priority, gpu.options) == (-1, {"organization": "o"})
    assert (echo.name, echo.type, echo.api_key, echo.implicit) == ("echo", "echo", None, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[backends]]\nname = 'a'", "backends[0].type in {file}: is missing"),
        ("[[backends]]\ntype = ''", "backends[0].type in {file}: '' was given"),
        (
            "[[backends]]\ntype = 'a'\nbase_ulr = 'x'",
            "backends[0].base_ulr in {file}: is not a setting; did you mean base_url?",
        ),
        (
            "[[backends]]\ntype = 'a'\n[[backends]]\ntype = 'b'\nname = 'a'",
            "used twice: a",
        ),
        ("plugins.x = 1", "plugins.x in {file}: 1 was given; allowed: a valid dictionary"),
        ("backends = 1", "backends in {file}: 1 was given"),
        ("environ = 1", "environ in {file}: is not a setting"),
    ],
)
def test_wrong_tables(tmp_path, toml, text, said):
    with pytest.raises(SettingsError) as caught:
        toml(text)
    assert said.format(file=tmp_path / "runtime.toml") in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"port = ", "is not TOML: Invalid value (at end of document)"),
        (b"port = 1 # \xff", "is not UTF-8 at byte 11"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, content, said):
    if content is not None:
        (tmp_path / "other.toml").write_bytes(content)
    message = problem(tmp_path, RUNTIME_CONFIG="other.toml", PORT="x")
    assert f"RUNTIME_CONFIG: {tmp_path / 'other.toml'}: {said}" in message
    assert "- PORT: 'x'" in message


def test_another_file_can_be_named(tmp_path):
    (tmp_path / "runtime.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    assert Settings.load({"RUNTIME_CONFIG": "other.toml"}, tmp_path).port == 2
    assert Settings.load({"RUNTIME_CONFIG": str(tmp_path / "other.toml")}, Path("/")).port == 2


def test_settings_are_frozen_and_keep_their_environment(tmp_path):
    environ = {"PORT": "1", "ACME_KEY": "k"}
    settings = Settings.load(environ, tmp_path)
    environ["ACME_KEY"] = "changed"
    assert settings.environ["ACME_KEY"] == "k"
    with pytest.raises(TypeError):
        settings.environ["ACME_KEY"] = "x"
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 2


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///runtime.db", "sqlite"),
        ("postgresql+asyncpg://host/db", "postgresql"),
        ("Memory://", "memory"),
        ("no-url", ""),
    ],
)
def test_a_urls_scheme_is_the_drivers_name(url, driver):
    assert scheme_of(url) == driver


def test_mistyped_variables_are_noticed():
    found = unknown_variables(
        {"RUNTIME_PLUGIN_TIMOUT": "1", "RUNTIME_CONFIG": "x", "RUNTIME_OTHER_PROGRAM": "y"}
    )
    assert found == ["RUNTIME_PLUGIN_TIMOUT is not a setting; did you mean RUNTIME_PLUGIN_TIMEOUT?"]


def test_the_example_lists_every_variable_with_its_default(tmp_path):
    example = {}
    for line in (ROOT / ".env.example").read_text().splitlines():
        text = line.removeprefix("# ").removeprefix("#")
        name, separator, value = text.partition("=")
        if separator and name.isupper() and " " not in name:
            example[name] = value
    fields = set(Settings.model_fields) - {"environ", "backends", "plugins"}
    aliases = {field: name for name, (field, _) in ALIASES.items()} | {"token": "TOKEN"}
    aliases["bus_url"] = "RUNTIME_BUS_URL"
    expected = {aliases.get(field, f"RUNTIME_{field.upper()}") for field in fields}
    assert expected | {"RUNTIME_CONFIG"} == set(example)
    example.pop("RUNTIME_CONFIG")
    assert Settings.load(example, tmp_path).model_dump() == Settings().model_dump()


def test_pydantic_settings_is_no_dependency():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [name for name in dependencies if name.startswith("pydantic-settings")]
