"""How a download is followed: what ends it, and how it is shown."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest

from runtime_core.cli.client import Failure
from runtime_core.cli.pull import follow

GPU, CPU = {"name": "gpu", "baseUrl": "http://gpu"}, {"name": "cpu", "baseUrl": "http://cpu"}


class Server:
    """Answers as a server whose queue and state are *jobs* and *held*, and whose news are *events*.

    What is in ``looks`` is done before each look at the queue.
    """

    def __init__(self, *events, jobs=(), held=()):
        self.jobs, self.held, self.events_of = list(jobs), dict(held), events
        self.looks = []

    async def ask(self, method, path, body=None):
        if path == "/queue":
            if self.looks:
                self.looks.pop(0)(self)
            return self.jobs, {}
        states = [
            {"backend": {"baseUrl": url}, "pulledModels": [{"name": one} for one in names]}
            for url, names in self.held.items()
        ]
        return states, {}

    async def events(self, path, *, method):
        assert (method, path) == ("GET", "/queue/inProgress")
        for event in self.events_of:
            yield {"model": "m", **event}
        await asyncio.Event().wait()


class Screen(io.StringIO):
    def isatty(self):
        return True


def job(url="http://gpu", status="running", error="", model="m"):
    return {"modelJob": {"url": url, "model": model}, "status": status, "error": error}


def news(status, url="http://gpu", **more):
    return {"status": status, "baseUrl": url, **more}


@pytest.fixture
def impatient(monkeypatch):
    # the waits of the command are seconds, which a test need not wait for
    monkeypatch.setattr("runtime_core.cli.pull._PERIOD_S", 0.01)
    monkeypatch.setattr("runtime_core.cli.pull._PATIENCE_S", 0.05)


@pytest.mark.parametrize("listed", ["m", "m:latest"])
async def test_a_model_that_is_there_already(listed):
    server = Server(held={"http://gpu": [listed]})
    assert await follow(server, "m", [GPU]) == "m is on gpu"


async def test_success_on_every_backend():
    server = Server(news("success"), news("success", "http://cpu"), jobs=[job()])
    assert await follow(server, "m", [GPU, CPU]) == "m is on cpu, gpu"


async def test_what_happens_unheard_is_seen(impatient):
    server = Server(jobs=[job()])
    server.looks = [
        lambda _: None,
        lambda one: (one.jobs.clear(), one.held.update({"http://gpu": ["m"]})),
    ]
    assert await follow(server, "m", [GPU]) == "m is on gpu"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (news("failed", error="no space left\non device"), "gpu: no space left on device"),
        (news("cancelled"), "gpu: cancelled"),
    ],
)
async def test_failures(event, reason):
    with pytest.raises(Failure) as raised:
        await follow(Server(event, jobs=[job()]), "m", [GPU])
    assert raised.value.message == reason


async def test_a_failure_in_the_queue():
    server = Server(jobs=[job(status="failed", error="no such model"), job(model="other")])
    with pytest.raises(Failure, match=r"^gpu: no such model$"):
        await follow(server, "m", [GPU])


async def test_one_failure_does_not_end_the_other(capsys):
    server = Server(
        news("failed", error="full"),
        news("pulling", "http://cpu", completed=1, total=2),
        news("success", "http://cpu"),
        jobs=[job(), job("http://cpu")],
    )
    with pytest.raises(Failure, match=r"^gpu: full$"):
        await follow(server, "m", [GPU, CPU])
    assert "50%" in capsys.readouterr().err


async def test_nothing_begins(impatient):
    with pytest.raises(Failure, match=r"^gpu does not have the model, and no download begins: "):
        await follow(Server(), "m", [GPU])


async def test_other_models_and_backends_are_none_of_our_business(capsys):
    others = ({**news("failed", error="x"), "model": "n"}, news("failed", "http://x", error="x"))
    server = Server(*others, news("success"), jobs=[job()])
    assert await follow(server, "m", [GPU]) == "m is on gpu"
    assert "x" not in capsys.readouterr().err


async def test_a_bar_on_a_terminal(monkeypatch):
    screen = Screen()
    # the command writes to whatever standard error is
    monkeypatch.setattr(sys, "stderr", screen)
    server = Server(
        news("pulling", completed=250_000, total=1_000_000),
        news("queued", error="went\x1b[2J away"),
        news("pulling", completed=999_600, total=1_000_000),
        news("success"),
        jobs=[job()],
    )
    await follow(server, "m", [GPU])
    text = screen.getvalue()
    assert "\rm  [########----------------------]  25%  250.0 kB of 1.0 MB\x1b[K" in text
    assert "\ngpu: went [2J away; it is tried again\n" in text
    assert text.endswith("\n")


async def test_a_line_for_each_tenth_elsewhere(capsys):
    parts = [news("pulling", completed=n, total=1000) for n in range(0, 1001, 10)]
    server = Server(*parts, news("success"), jobs=[job()])
    await follow(server, "m", [GPU])
    lines = capsys.readouterr().err.splitlines()
    assert "\r" not in "".join(lines)
    assert sum("%" in line for line in lines) == 11
