"""``runtime serve``: the HTTP server, in this process."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import click

from runtime_core.cli import collector
from runtime_core.cli.common import read_settings, startup_errors
from runtime_core.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, MutableMapping

    import uvicorn

    from runtime_core.settings import Settings

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    # Any: the framework's types of scope, receive and send are narrower than ASGI's.
    App = Callable[[Any, Any, Any], Awaitable[None]]
    Companion = Callable[[str], Coroutine[Any, Any, None]]

__all__ = ("check_port", "run_server", "serve")


@click.command()
@click.option("--addr", help="The address to listen on (ADDR).  [default: 127.0.0.1]")
@click.option("--port", help="The port, 0 for any free one (PORT).  [default: 8081]")
@click.option("--strict", is_flag=True, help="Refuse to start when a plugin cannot be used.")
def serve(addr: str | None, port: str | None, *, strict: bool) -> None:
    """Start the server; SIGTERM or Ctrl-C lets it finish what it is doing, then end."""
    settings = read_settings(addr=addr, port=port, strict=strict or None)
    with startup_errors(), collector.paused():
        from runtime_core.app import create_app
        from runtime_core.http import check_bind

        check_bind(settings)
        check_port(settings.addr, settings.port)
        app = create_app(settings)
    run_server(app, settings)


def run_server(app: App, settings: Settings, beside: Companion | None = None) -> None:
    """Serve *app* until SIGTERM or Ctrl-C; what keeps it from starting ends the process.

    :param beside: is run with the server's URL while it serves, and cancelled before it ends.
    """
    lifespan = _Lifespan(app)
    server = _server(lifespan, settings, beside, getattr(app, "end_streams", lambda: None))
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal once more at its end; this handler makes that a clean exit.
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run()
    except SystemExit:
        # What was wrong is logged already, unless it is one of ours.
        with startup_errors():
            if lifespan.error:
                raise lifespan.error from None
        raise SystemExit(1) from None


def check_port(addr: str, port: int) -> None:
    """Try to bind, so that a port that cannot be had is told before any work is begun.

    :raises StartupError: with the reason and what to do.
    """
    try:
        found = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise StartupError(
            f"ADDR: {addr!r} cannot be resolved: {exc.strerror}; use an IP address of this "
            "machine, 127.0.0.1 for this machine only, 0.0.0.0 for everyone"
        ) from exc
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen(1)
            except OSError as exc:
                raise StartupError(_unbindable(exc, addr, port)) from exc


def _unbindable(exc: OSError, addr: str, port: int) -> str:
    reasons = {
        errno.EADDRINUSE: f"port {port} is in use on {addr}: stop the program that has it, or "
        "choose another with PORT or --port (0: any free one)",
        errno.EACCES: f"port {port} needs privileges: choose one from 1024 up with PORT or --port",
        errno.EADDRNOTAVAIL: f"ADDR: {addr!r} is no address of this machine: use 127.0.0.1 for "
        "this machine only, 0.0.0.0 for everyone",
    }
    fallback = f"cannot listen on {addr} port {port}: {os.strerror(exc.errno or 0)}"
    return reasons.get(exc.errno or 0, fallback)


def _server(
    app: App, settings: Settings, beside: Companion | None, end_streams: Callable[[], None]
) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """Says where it listens, and has company while it serves."""

        company: asyncio.Task[None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            collector.settle()
            urls = [_url(one) for one in self.servers[0].sockets] if self.started else []
            for url in urls:
                click.echo(f"listening on {url}")
            if urls and beside is not None:
                self.company = asyncio.ensure_future(beside(urls[0]))
                self.company.add_done_callback(_tell_fault)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if self.company is not None:
                # its own requests would keep the server from ending
                self.company.cancel()
                await asyncio.gather(self.company, return_exceptions=True)
            end_streams()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        host=settings.addr,
        port=settings.port,
        loop="auto",
        http="httptools",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        # nothing here asks who the client is, or how it came
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_timeout,  # type: ignore[arg-type]
    )
    return Server(config)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell_fault(company: asyncio.Task[None]) -> None:
    if not company.cancelled() and (fault := company.exception()):
        logging.getLogger("runtime.cli").error("what ran beside the server broke", exc_info=fault)


class _Lifespan:
    """Keeps what stopped the start, which uvicorn would only show as a traceback."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.error: StartupError | None = None

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self._app(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                held.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except (StartupError, ExceptionGroup) as exc:
            self.error = _startup_error(exc)
            if self.error is None:
                raise
            held = [{"type": "lifespan.startup.failed", "message": ""}]
        finally:
            if held:
                await send(held[0])


def _startup_error(exc: Exception) -> StartupError | None:
    """Return the error that the framework's task group may have wrapped."""
    if isinstance(exc, ExceptionGroup):
        return next(filter(None, map(_startup_error, exc.exceptions)), None)
    return exc if isinstance(exc, StartupError) else None
