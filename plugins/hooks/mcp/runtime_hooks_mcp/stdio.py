"""MCP servers that are programs: started here, spoken to over their standard streams.

The SDK has such a transport too.  This one gives the program no other environment than what is
configured, sends what it writes to the error stream to the log, and survives lines that are too
long, no JSON, or no UTF-8.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from runtime_core.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client import Transport

    from runtime_hooks_mcp.settings import ServerSettings
    from runtime_hooks_mcp.wire import Wire

__all__ = ("inherited", "stdio")

logger = logging.getLogger("runtime.mcp")

_INHERITED = ("PATH", "HOME", "LANG")
#: Seconds for the program to end by itself once its input is closed, and then after SIGTERM.
_GRACE = 2.0
_POLL = 0.02
#: Seconds for what a program that has closed its output may still say.
_LAST_WORDS = 1.0
_ERROR_LINE = 8192
_READ = 64 * 1024


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a program gets of the server's own environment."""
    return {name: environ[name] for name in _INHERITED if name in environ}


def stdio(
    settings: ServerSettings, wire: Wire, environ: Mapping[str, str], added: Mapping[str, str]
) -> Transport:
    """Start the program, and end it with all its children when the transport is left.

    :param environ: the server's environment, of which little is passed on.
    :param added: what is configured for the program, secrets revealed.
    :raises UpstreamUnavailable: on entering: there is no such program, or it cannot be started.
    """
    return _transport(settings, wire, inherited(environ) | dict(added))


@asynccontextmanager
async def _transport(
    settings: ServerSettings, wire: Wire, environ: dict[str, str]
) -> AsyncIterator[Any]:
    process = await _start(settings, environ)
    # nothing waits between the start and the try: a cancellation there would leave an orphan
    inbox, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, outbox = anyio.create_memory_object_stream[SessionMessage](0)
    errors: deque[str] = deque(maxlen=1)
    told = anyio.Event()

    async def reason() -> str:
        await _exited(process, _LAST_WORDS)
        with anyio.move_on_after(_LAST_WORDS):
            await told.wait()
        last = f": {errors[-1][:300]}" if errors else ""
        return f"the program ended, exit code {process.returncode}{last}"

    async with anyio.create_task_group() as group:
        group.start_soon(_read, process, inbox, wire, reason)
        group.start_soon(_write, process, outbox)
        group.start_soon(_log_errors, process, wire, errors, told)
        try:
            yield incoming, outgoing
        finally:
            wire.leave()
            with anyio.CancelScope(shield=True):
                await _stop(process)
            group.cancel_scope.cancel()
            for stream in (inbox, incoming, outgoing, outbox):
                stream.close()


async def _start(settings: ServerSettings, environ: dict[str, str]) -> asyncio.subprocess.Process:
    program = shutil.which(settings.command, path=environ.get("PATH"))
    if program is None:
        raise UpstreamUnavailable(
            f"there is no program {settings.command!r} on PATH: install it, or set command to "
            "where it is"
        )
    try:
        with anyio.CancelScope(shield=True):
            process = await asyncio.create_subprocess_exec(
                program,
                *settings.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environ,
                cwd=settings.cwd or None,
                start_new_session=True,
                limit=settings.max_message,
            )
    except (OSError, ValueError) as error:
        raise UpstreamUnavailable(f"{settings.command!r} cannot be started: {error}") from error
    return process


async def _read(
    process: asyncio.subprocess.Process,
    inbox: MemoryObjectSendStream[SessionMessage | Exception],
    wire: Wire,
    reason: Callable[[], Awaitable[str]],
) -> None:
    """Pass on messages until the output ends, then tell why."""
    assert process.stdout is not None
    async with inbox:
        try:
            while True:
                line = await process.stdout.readuntil(b"\n")
                await _deliver(line, inbox, wire)
        except asyncio.LimitOverrunError:
            wire.end("it sent a message larger than max_message; raise that, or ask for less")
        except (asyncio.IncompleteReadError, OSError):
            wire.end(await reason())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            wire.end("the session was closed")


async def _deliver(
    line: bytes, inbox: MemoryObjectSendStream[SessionMessage | Exception], wire: Wire
) -> None:
    if not line.strip():
        return
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        wire.strange(line)
        return
    await inbox.send(SessionMessage(message))


async def _write(
    process: asyncio.subprocess.Process, outbox: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    assert process.stdin is not None
    # a program that is gone is noticed where its output ends; uvloop says it with a RuntimeError
    with suppress(OSError, RuntimeError, anyio.ClosedResourceError):
        async with outbox:
            async for message in outbox:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode("utf-8", "surrogatepass") + b"\n")
                await process.stdin.drain()


async def _log_errors(
    process: asyncio.subprocess.Process, wire: Wire, errors: deque[str], told: anyio.Event
) -> None:
    """Log what the program says, line by line, and keep the last one."""
    assert process.stderr is not None
    rest = b""
    with suppress(OSError):
        while piece := await process.stderr.read(_READ):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _ERROR_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                # a credential must not be cut in two before it is looked for
                text = wire.masked(line.decode("utf-8", "replace").rstrip())[:_ERROR_LINE]
                if text:
                    errors.append(text)
                    logger.info("MCP server %r: %s", wire.name, text)
    told.set()


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Close the input, wait, then terminate and at last kill the program and its children."""
    assert process.stdin is not None
    process.stdin.close()
    await _exited(process, _GRACE)
    if _signal(process, signal.SIGTERM) and not await _gone(process, _GRACE):
        _signal(process, signal.SIGKILL)
        await _gone(process, _GRACE)
    with suppress(OSError):
        await process.stdin.wait_closed()
    # pipes that a grandchild has inherited would keep the transport open
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


async def _exited(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Wait for the program itself; not for its pipes, which its children may hold open."""
    with anyio.move_on_after(seconds):
        while process.returncode is None:  # noqa: ASYNC110 - nothing else tells
            await anyio.sleep(_POLL)


async def _gone(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait for the whole process group; tell whether it is gone."""
    with anyio.move_on_after(seconds):
        while process.returncode is None or _signal(process, 0):  # noqa: ASYNC110
            await anyio.sleep(_POLL)
        return True
    return False


def _signal(process: asyncio.subprocess.Process, number: int) -> bool:
    """Send a signal to the process group; tell whether anybody was there to get it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return process.returncode is None
    return True
