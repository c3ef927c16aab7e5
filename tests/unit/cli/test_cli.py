from __future__ import annotations

import logging
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from runtime_core import __version__
from runtime_core.cli import COMMANDS, runtime
from runtime_core.cli.serve import check_port
from runtime_core.errors import StartupError


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command line in an empty folder, with these variables only."""
    monkeypatch.chdir(tmp_path)
    handlers = logging.getLogger().handlers[:]

    def invoke(*arguments: str, **environ: str):
        monkeypatch.setattr("os.environ", dict(environ))
        return CliRunner().invoke(runtime, arguments)

    yield invoke
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def taken():
    """A port that another program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_the_version(run):
    assert run("--version").output == f"runtime {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_and_has_help(run, name):
    _, line = COMMANDS[name]
    assert line in run("--help").output
    done = run(name, "--help")
    assert (done.exit_code, f"runtime {name}" in done.output) == (0, True)


def test_help_imports_nothing_heavy():
    heavy = {"pydantic", "litestar", "uvicorn", "sqlalchemy", "httpx", "msgspec"}
    code = (
        "import sys\nfrom runtime_core.cli import runtime\n"
        "runtime(['--help'], standalone_mode=False)\n"
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command(run):
    done = run("sreve")
    assert done.exit_code == 2
    assert "No such command 'sreve'" in done.output


@pytest.mark.parametrize("command", ["serve", "plugins", "migrate"])
def test_a_wrong_setting_ends_with_code_2_and_no_traceback(run, command):
    done = run(command, PORT="x", RUNTIME_LOG_LEVEL="loud")
    assert done.exit_code == 2
    assert done.output.startswith("error: 2 settings are wrong:\n- PORT: 'x' was given; allowed:")
    assert "Traceback" not in done.output


def test_a_wrong_flag_is_named_as_it_was_written(run):
    done = run("serve", "--port", "99999")
    assert done.exit_code == 2
    assert "--port: '99999' was given" in done.output


def test_doctor_reports_a_wrong_setting(run):
    done = run("doctor", PORT="x")
    assert done.exit_code == 1
    assert "fail  settings   a setting is wrong: PORT: 'x' was given" in done.output
    assert done.output.splitlines()[-1] == "1 thing needs repair"


def test_doctor_says_which_tokenizer_counts(run):
    done = run("doctor", PORT="0", RUNTIME_TOKENIZER="estimate")
    assert "ok    tokenizer  estimate: a token per four bytes\n" in done.output


def test_doctor_loads_the_tokenizer_and_says_what_is_wrong(run, monkeypatch):
    def broken(name):
        raise ValueError("no vocabulary")

    # the library would ask the network
    monkeypatch.setattr("tiktoken.get_encoding", broken)
    done = run("doctor", PORT="0", RUNTIME_TOKENIZER="tiktoken")
    assert "warn  tokenizer  tiktoken cannot be loaded: " in done.output
    assert "no vocabulary" in done.output
    assert "what to do: repair it, or set RUNTIME_TOKENIZER=estimate" in done.output
    monkeypatch.setattr("tiktoken.get_encoding", str)
    done = run("doctor", PORT="0", RUNTIME_TOKENIZER="tiktoken")
    assert "ok    tokenizer  tiktoken counts tokens\n" in done.output


def test_doctor_names_the_tokenizers_there_are(run):
    done = run("doctor", PORT="0", RUNTIME_TOKENIZER="tiktokn")
    assert done.exit_code == 1
    assert "no tokenizer driver 'tiktokn' is installed; did you mean tiktoken?" in done.output


def test_a_port_in_use(run, taken):
    done = run("serve", PORT=str(taken))
    assert done.exit_code == 1
    assert f"error: port {taken} is in use on 127.0.0.1: stop the program" in done.output
    assert "--port (0: any free one)" in done.output


@pytest.mark.parametrize(
    ("addr", "said"),
    [
        ("192.0.2.1", "ADDR: '192.0.2.1' is no address of this machine"),
        ("no.such.host.invalid", "ADDR: 'no.such.host.invalid' cannot be resolved"),
    ],
)
def test_an_address_that_cannot_be_bound(addr, said):
    with pytest.raises(StartupError) as caught:
        check_port(addr, 0)
    assert said in caught.value.message


def test_checking_a_port_leaves_it_free(taken):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    check_port("127.0.0.1", free)
    check_port("127.0.0.1", free)


def test_migrate_says_what_it_did(run):
    first, second = run("migrate"), run("migrate")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output.startswith("now at revision ")
    assert second.output.startswith("already at revision ")


def test_migrate_with_an_unknown_driver(run):
    done = run("migrate", DATABASE_URL="sqlit:///x.db")
    assert done.exit_code == 1
    assert "no database driver 'sqlit' is installed; did you mean sqlite?" in done.output
