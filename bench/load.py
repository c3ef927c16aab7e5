"""A load generator fast enough never to be what is measured.

A process of its own (``python -m bench.load``): one JSON job a line on stdin, one JSON result a
line on stdout.  Closed loop: each of ``concurrency`` connections sends its next request when the
answer before is complete.  Answers are checked, not just counted: status 200 and each piece of
the upstream's text.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from typing import Any, TextIO

import httptools
import msgspec
import uvloop

from bench.upstream import CHUNKS, MODEL

__all__ = ("Job", "Result", "job_body", "main", "percentile", "run")

_SENT = re.compile(rb"piece:(\d+) ")
_GIVE_UP = 60.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send to whom: for ``seconds``, or ``requests`` requests if that is not 0.

    ``pace`` (milliseconds between chunks) makes the upstream stream slowly and is 0 for "at once".
    """

    port: int
    path: str
    headers: dict[str, str]
    concurrency: int = 1
    seconds: float = 1.0
    requests: int = 0
    stream: bool = False
    pace: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: right answers, wrong or missing ones, seconds, and quantiles in ms.

    ``times`` has four groups: ``latency`` of the whole answer; ``first``, from the request to the
    first token; ``forward``, how long a paced stream's first token took from the upstream's
    write to the reader; ``forward_all``, the same for every token.
    """

    count: int
    errors: int
    first_error: str
    elapsed: float
    times: dict[str, dict[str, float]]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.elapsed if self.elapsed else 0.0


def job_body(job: Job) -> bytes:
    """Return the chat request's body, the same for every target: about half a kilobyte."""
    question = "Explain in a few sentences why a benchmark must name what it leaves out. " * 4
    if job.pace:
        question += f"pace={job.pace}"
    messages = [
        {"role": "system", "content": "You are a terse assistant."},
        {"role": "user", "content": question},
    ]
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "temperature": 0.5}
    if job.stream:
        body["stream"] = True
    return json.dumps(body).encode()


def _request(job: Job) -> bytes:
    body = job_body(job)
    headers = {
        "host": f"127.0.0.1:{job.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "accept": "text/event-stream" if job.stream else "application/json",
        **job.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {job.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def percentile(ordered: list[float], share: float) -> float:
    """Return the ``share`` (0 to 1) quantile of a sorted list by the nearest rank; 0.0 if empty."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    mean = sum(ordered) / len(ordered) if ordered else 0.0
    quantiles = {f"p{p}": percentile(ordered, p / 100) * 1000 for p in (50, 90, 99)}
    return {"n": len(ordered), "mean": mean * 1000, **quantiles}


class _Tally:
    """What all connections of a job have seen, and when to stop."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.request = _request(job)
        self.latency: list[float] = []
        self.first: list[float] = []
        self.forward: list[float] = []
        self.forward_all: list[float] = []
        self.errors = 0
        self.first_error = ""
        self.left = job.requests or sys.maxsize
        self.deadline = 0.0

    def take(self, now: float) -> bool:
        """Whether one more request is to be sent."""
        if self.left <= 0 or now >= self.deadline:
            return False
        self.left -= 1
        return True

    def fail(self, why: str) -> None:
        """Count an answer that is missing or wrong."""
        self.errors += 1
        self.first_error = self.first_error or why


class _Connection(asyncio.Protocol):
    """One connection of the closed loop; ``lost`` resolves when it is closed."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._stream = tally.job.stream
        self._parser = httptools.HttpResponseParser(self)
        self._busy = False
        self._parts: list[bytes] = []
        self._transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def start(self) -> None:
        """Send the next request, or hang up when there is none."""
        now = time.perf_counter()
        if not self._tally.take(now):
            self._transport.close()
            return
        self._busy = True
        self._seen = False
        self._parts.clear()
        self._began = now
        self._transport.write(self._tally.request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._tally.fail(f"not HTTP: {error!r}")
            self._busy = False
            self._transport.abort()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        if self._stream:
            self._look(body)

    def _look(self, body: bytes) -> None:
        tally = self._tally
        now = time.perf_counter()
        if not self._seen and b"piece" in body:
            self._seen = True
            tally.first.append(now - self._began)
            if sent := _SENT.search(body):
                tally.forward.append(now - int(sent[1]) / 1e9)
        if tally.job.pace:
            tally.forward_all.extend(now - int(sent) / 1e9 for sent in _SENT.findall(body))

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._busy = False
        if problem := self._problem():
            self._tally.fail(problem)
        else:
            self._tally.latency.append(now - self._began)
        if self._parser.should_keep_alive():
            self.start()
        else:
            self._transport.close()

    def _problem(self) -> str:
        status = self._parser.get_status_code()
        body = b"".join(self._parts)
        if status != 200:
            return f"status {status}: {body[:300].decode(errors='replace')}"
        pieces = body.count(b"piece")
        ended = b"[DONE]" in body or not self._stream
        return "" if pieces == CHUNKS and ended else f"{pieces} pieces: {body[-300:]!r}"

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._tally.fail(f"connection lost in the middle of an answer: {exc!r}")
        if not self.lost.done():
            self.lost.set_result(None)


async def run(job: Job) -> Result:
    """Drive one job to its end.

    The rate's clock stops when the last answer is complete, so that no answer is cut off.
    """
    tally = _Tally(job)
    connections = [await _connect(tally) for _ in range(job.concurrency)]
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    tally.deadline = began + job.seconds
    try:
        async with asyncio.timeout(job.seconds + _GIVE_UP):
            await asyncio.gather(*(_drive(tally, connection) for connection in connections))
    except TimeoutError:
        tally.fail(f"answers still missing {_GIVE_UP:.0f} s after the last request")
    finally:
        gc.enable()
    return _result(tally, time.perf_counter() - began)


async def _connect(tally: _Tally) -> _Connection:
    loop = asyncio.get_running_loop()
    address = ("127.0.0.1", tally.job.port)
    return (await loop.create_connection(lambda: _Connection(tally), *address))[1]


async def _drive(tally: _Tally, connection: _Connection) -> None:
    """Keep one place of the closed loop busy, over a new connection when the server hangs up."""
    while True:
        connection.start()
        await connection.lost
        if tally.left <= 0 or time.perf_counter() >= tally.deadline:
            return
        try:
            connection = await _connect(tally)
        except OSError as error:
            tally.fail(f"cannot reconnect: {error}")
            return


def _result(tally: _Tally, elapsed: float) -> Result:
    return Result(
        count=len(tally.latency),
        errors=tally.errors,
        first_error=tally.first_error,
        elapsed=elapsed,
        times={
            "latency": _summary(tally.latency),
            "first": _summary(tally.first),
            "forward": _summary(tally.forward),
            "forward_all": _summary(tally.forward_all),
        },
    )


def _serve(lines: TextIO) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in lines:
            result = runner.run(run(msgspec.json.decode(line, type=Job)))
            print(msgspec.json.encode(result).decode(), flush=True)


def main() -> None:
    """Take jobs from stdin until it ends."""
    _serve(sys.stdin)


if __name__ == "__main__":
    main()
