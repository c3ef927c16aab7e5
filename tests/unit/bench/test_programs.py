"""The commands, their tables and files, and the plugins that are generated."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from bench import __main__ as program
from bench import gateway, peers
from bench.load import Result
from bench.processes import BenchError, Process, ask, free_port, wait_for
from bench.report import at_least, at_most, print_checks, print_table, write
from bench.start import Sample, make_plugins, start_checks, start_figures
from bench.summary import Run

if TYPE_CHECKING:
    from pathlib import Path


def test_says_which_benchmarks_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["speed"]) == 2
    assert "gateway|start|engine" in capsys.readouterr().err


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gateway.main(["--peers", "portkey,nobody"])
    assert "unknown peers nobody; there are: portkey, litellm" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # where peers are installed is fixed; here nothing is
    monkeypatch.setattr(peers, "_PORTKEY", tmp_path)
    monkeypatch.setattr(peers, "_LITELLM", tmp_path)
    for version in (peers.portkey_version, peers.litellm_version):
        with pytest.raises(BenchError, match="--install"):
            version()


def test_a_server_that_dies_is_shown_with_its_last_words(tmp_path: Path) -> None:
    process = Process(
        "dying", [sys.executable, "-c", "raise SystemExit('bye')"], directory=tmp_path
    )
    with pytest.raises(BenchError, match="bye"):
        wait_for(lambda: False, process)
    process.stop()


def test_stopping_ends_a_process_that_ignores_it(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import signal, socket; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"s = socket.create_server(('127.0.0.1', {port}));"
        "\nwhile True: s.accept()[0].sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n')"
    )
    process = Process("stubborn", [sys.executable, "-c", code], directory=tmp_path)
    wait_for(lambda: answers(port), process)
    process.stop(patience=0.2)
    assert not process.alive


def answers(port: int) -> bool:
    return ask(port, "GET", "/")[0] == 200


def test_table_and_checks_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["", "a"], [["requests/s", 12345.6], ["  inner", None]])
    print_checks([at_most("latency", 0.5, 0.7, " ms"), at_least("rate", 1.0, 1.25, " x")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:4] == ["requests/s  12,346", "  inner          -"]
    assert lines[-2].split() == ["latency", "0.500", "<=", "0.700", "ms", "pass"]
    assert lines[-1].split() == ["rate", "1.00", ">=", "1.25", "x", "FAIL"]


def test_results_are_written_as_json(tmp_path: Path) -> None:
    result = Result(count=1, errors=0, first_error="", elapsed=1.0, times={})
    run = Run(target="ours", scenario="c1", round=0, cpu=0.1, noise=0.0, result=result)
    path = write("gateway", {"runs": [run]}, tmp_path / "deep" / "out.json")
    data = json.loads(path.read_text())
    assert data["bench"] == "gateway"
    assert data["date"].endswith("+00:00")
    assert data["runs"][0]["result"]["count"] == 1


def test_generated_plugins_are_installed_distributions(tmp_path: Path) -> None:
    make_plugins(tmp_path, 3)
    found = sorted(metadata.distributions(path=[str(tmp_path)]), key=lambda d: d.name)
    assert [distribution.name for distribution in found] == [
        f"bench-plugin-{number:02d}" for number in range(3)
    ]
    points = [point for distribution in found for point in distribution.entry_points]
    assert {point.group for point in points} == {"runtime_core.plugins"}
    assert len({point.value for point in points}) == 3


def test_costs_of_plugins_are_medians_of_differences() -> None:
    bare = [Sample(1.0, 0.9), Sample(3.0, 0.9), Sample(1.2, 0.9)]
    full = [Sample(1.1, 1.0), Sample(3.1, 1.0), Sample(2.2, 1.0)]
    figures = start_figures([0.5, 0.4, 0.9], bare, full)
    assert figures["cost of 30 plugins"] == pytest.approx(100)
    assert figures["start to first answered chat"] == pytest.approx(1200)
    assert figures["import runtime_core.app"] == pytest.approx(500)
    assert [check.passed for check in start_checks(figures)] == [True, True]
    slow = start_figures([0.5], [Sample(1.6, 1.0)], [Sample(1.8, 1.0)])
    assert [check.passed for check in start_checks(slow)] == [False, False]


def test_a_terminated_benchmark_takes_its_processes_along(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path\n"
        "from bench import __main__ as program, gateway\n"
        "from bench.processes import UpstreamProcess\n"
        "def main(argv):\n"
        "    with UpstreamProcess(Path.cwd(), ()) as upstream:\n"
        "        print(upstream.port, flush=True)\n"
        "        time.sleep(60)\n"
        "gateway.main = main\n"
        "program.main(['gateway'])"
    )
    process = Process("bench", [sys.executable, "-c", code], directory=tmp_path, piped=True)
    port = int(process.pipes()[1].readline())
    assert ask(port, "GET", "/v1/models")[0] == 200
    process.stop()
    assert not process.alive
    with pytest.raises(OSError, match="refused"):
        ask(port, "GET", "/v1/models")
