"""What is there when a server has started is not looked at again; what comes later still is."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref

import pytest

from runtime_core.cli import collector

SERVER = """
import gc, json, os, signal
from runtime_core.cli.serve import run_server
from runtime_core.settings import Settings

async def app(scope, receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})

async def beside(url):
    found = [gc.isenabled(), gc.get_freeze_count() > 0, gc.get_threshold()[0] > 700]
    print(json.dumps(found), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

run_server(app, Settings(port=0), beside)
"""


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_before():
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    gc.enable()


def test_what_the_start_made_is_not_looked_at_again():
    node = Node()
    collector.settle()
    assert not any(one is node for one in gc.get_objects())


def test_cycles_made_later_are_collected():
    collector.settle()
    gone = weakref.ref(Node())
    filling = []
    while gone() is not None:
        assert len(filling) < 20_000, "nobody collects"
        filling.append([])


def test_nothing_is_collected_while_it_is_paused():
    with collector.paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count()


def test_a_start_that_fails_leaves_the_collector_on():
    def fail() -> None:
        with collector.paused():
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert gc.isenabled()


def test_a_server_that_listens_has_settled():
    done = subprocess.run(
        [sys.executable, "-c", SERVER], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True, True]
