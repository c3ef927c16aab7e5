"""Following the downloads of one model until every backend has it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli.asking import say
from runtime_core.cli.client import Failure, one_line

if TYPE_CHECKING:
    from runtime_core.cli.client import Server

__all__ = ("follow",)

#: Seconds between looks at the queue, and how long a download has to appear in it.
_PERIOD_S, _PATIENCE_S = 1.0, 10.0

#: What a name without a tag is listed as by services that have tags.
_TAG = ":latest"


async def follow(server: Server, model: str, backends: list[dict[str, Any]]) -> str:
    """Show the downloads of *model* to *backends* until all of them have it.

    Returns what came of it.

    :raises Failure: a download failed, or there is none and the model is not there either.
    """
    downloads = _Downloads(model, {row["baseUrl"]: row["name"] for row in backends})
    watching = asyncio.create_task(_watch(server, downloads), name="progress")
    try:
        while True:
            await downloads.look(server)
            if downloads.over:
                break
            if watching.done():
                await watching
                raise Failure("the server ended its report on downloads; ask it again")
            downloads.wait()
            await downloads.news(_PERIOD_S)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        downloads.bar.end()
    if downloads.failed:
        raise Failure("; ".join(downloads.failed.values()))
    return f"{model} is on {', '.join(sorted(downloads.done.values()))}"


async def _watch(server: Server, downloads: _Downloads) -> None:
    async with aclosing(server.events("/queue/inProgress", method="GET")) as events:
        async for event in events:
            downloads.take(event)


class _Downloads:
    """The downloads of one model, by the address of the backend."""

    def __init__(self, model: str, names: dict[str, str]) -> None:
        self.bar = _Bar(model)
        #: Address → the backend's name, once it has the model.
        self.done: dict[str, str] = {}
        #: Address → why the backend will not get it.
        self.failed: dict[str, str] = {}
        self._model = model
        self._names = names
        self._bytes: dict[str, tuple[int, int]] = {}
        self._queued: set[str] = set()
        self._waited = 0.0
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        return len(self.done) + len(self.failed) == len(self._names)

    async def news(self, seconds: float) -> None:
        """Return when a download has ended, at the latest after *seconds*."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            self._waited += seconds

    def wait(self) -> None:
        """Say that nothing is heard of yet."""
        if not self._bytes:
            self.bar.show(0, 0, "waiting")

    def take(self, event: dict[str, Any]) -> None:
        """Take in a frame of ``GET /queue/inProgress``."""
        address, status = str(event.get("baseUrl")), str(event.get("status"))
        if event.get("model") != self._model or address not in self._names:
            return
        name = self._names[address]
        if status == "success":
            self._end(address)
        elif status in ("failed", "cancelled"):
            self._end(address, f"{name}: {one_line(event.get('error') or status)}")
        elif status == "queued" and event.get("error"):
            self.bar.say(f"{name}: {one_line(event['error'])}; it is tried again")
        else:
            self._queued.add(address)
            self._bytes[address] = (event.get("completed", 0), event.get("total", 0))
            completed, total = (sum(one) for one in zip(*self._bytes.values(), strict=True))
            self.bar.show(completed, total, one_line(status))

    async def look(self, server: Server) -> None:
        """Read the queue and the backends' state: not everything is heard of as it happens."""
        jobs = {
            job["modelJob"]["url"]: job
            for job in await say(server, "GET", "queue")
            if job["modelJob"]["model"] == self._model
        }
        states = {state["backend"]["baseUrl"]: state for state in await say(server, "GET", "state")}
        for address in self._names.keys() - self.done.keys() - self.failed.keys():
            self._judge(address, jobs.get(address), states.get(address, {}))

    def _judge(self, address: str, job: dict[str, Any] | None, state: dict[str, Any]) -> None:
        listed = {one["name"] for one in state.get("pulledModels", ())}
        name = self._names[address]
        if job is not None and job["status"] == "failed":
            self._end(address, f"{name}: {one_line(job['error'])}")
        elif job is not None:
            self._queued.add(address)
        elif {self._model, self._model + _TAG} & listed:
            self._end(address)
        elif address not in self._queued and self._waited >= _PATIENCE_S:
            reason = one_line(state.get("error") or "its provider fetches no models")
            self._end(address, f"{name} does not have the model, and no download begins: {reason}")

    def _end(self, address: str, failure: str = "") -> None:
        if failure:
            self.failed[address] = failure
        else:
            self.done[address] = self._names[address]
            self.failed.pop(address, None)
        self._news.set()


class _Bar:
    """How far the downloads are, on one line of a terminal; elsewhere a line every tenth."""

    _WIDTH = 30

    def __init__(self, label: str) -> None:
        self._label = one_line(label)
        self._on_terminal = sys.stderr.isatty()
        self._shown = ""
        self._open = False

    def show(self, completed: int, total: int, status: str) -> None:
        """Show bytes; without a total only the status is known."""
        if not total:
            self._print(f"{self._label}  {status}", step=status)
            return
        part = min(completed / total, 1.0)
        filled = round(part * self._WIDTH)
        gauge = f"[{'#' * filled}{'-' * (self._WIDTH - filled)}]"
        text = f"{self._label}  {gauge} {part:4.0%}  {_size(completed)} of {_size(total)}"
        self._print(text, step=f"{int(part * 10)}")

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        click.echo(text, err=True)

    def end(self) -> None:
        """Leave the line as it is."""
        if self._open:
            click.echo(err=True)
        self._open = False

    def _print(self, text: str, *, step: str) -> None:
        if self._on_terminal:
            click.echo(f"\r{text}\x1b[K", nl=False, err=True)
            self._open = True
        elif step != self._shown:
            click.echo(text, err=True)
        self._shown = step


def _size(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
