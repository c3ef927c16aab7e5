"""Where ``runtime run`` runs: on a server, or in this process."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime_core.cli.client import Failure, Server, one_line, path_of
from runtime_core.errors import RuntimeCoreError, StartupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runtime_core.app import Kernel
    from runtime_core.cli.wish import Wish
    from runtime_core.settings import Settings
    from runtime_core.types import RunRequest

__all__ = ("run_events",)


async def run_events(
    settings: Settings, wish: Wish, *, url: str | None = None, local: bool = False
) -> AsyncGenerator[dict[str, Any], None]:
    """Run on the server at *url*, on the settings' own when one answers there, else here.

    Yields what happens as ``POST /tasks`` streams it; closing it cancels the run.

    :raises Failure: the run, or the way to it, failed.
    :raises StartupError: there is no server and the settings do not let one start.
    """
    async with Server.of(settings, url) as server:
        there = not local and (bool(url) or await server.alive())
        place = _there(server, wish) if there else _here(settings, wish)
        try:
            async with aclosing(place) as events:
                async for event in events:
                    yield event
        except Failure as error:
            if not there and not local:
                error.message += f" (run in this process: no server answers at {server.url})"
            raise


async def _there(server: Server, wish: Wish) -> AsyncGenerator[dict[str, Any], None]:
    chain = wish.chain
    if chain is None:
        chain, _ = await server.ask("GET", path_of("taskchains", wish.chain_id))
    async with aclosing(server.events("/tasks", wish.body(chain))) as events:
        async for event in events:
            yield event


async def _here(settings: Settings, wish: Wish) -> AsyncGenerator[dict[str, Any], None]:
    """Run in the same rooms as the server's, without HTTP."""
    import msgspec

    from runtime_core.app import compose
    from runtime_core.engine.closing import closing
    from runtime_core.http.runs import run_output
    from runtime_core.http.wire.runs import event_wire

    run_id = ""
    try:
        kernel = compose(_for_a_moment(_leaving_nothing(settings)))
        async with kernel.running():
            request = await _request(kernel, wish)
            run_id = request.run_id
            async with closing(kernel.runner.run(request)) as events:
                async for event in events:
                    yield msgspec.to_builtins(event_wire(event, run_id, run_output))
    except StartupError:
        raise
    except RuntimeCoreError as error:
        raise Failure(one_line(error.message), run_id=run_id) from error


def _leaving_nothing(settings: Settings) -> Settings:
    """A run in a folder without a database needs none: what it would create is empty."""
    default = type(settings)().database_url
    if settings.database_url != default or Path(default.removeprefix("sqlite:///")).exists():
        return settings
    return settings.model_copy(update={"database_url": "sqlite:///:memory:"})


def _for_a_moment(settings: Settings) -> Settings:
    """Reading a vocabulary takes longer than a run: it is left to those who ask for one."""
    if settings.tokenizer != "auto":
        return settings
    return settings.model_copy(update={"tokenizer": "estimate"})


async def _request(kernel: Kernel, wish: Wish) -> RunRequest:
    from runtime_core.app import DEFAULT_TENANT
    from runtime_core.engine.chain import decode_chain, encode_chain
    from runtime_core.engine.values import to_value
    from runtime_core.http.runs import new_run_id
    from runtime_core.types import RunRequest

    if wish.chain is None:
        chain = (await kernel.chains.get(DEFAULT_TENANT, wish.chain_id)).chain
    else:
        chain = decode_chain(wish.chain)
    body = wish.body(wish.chain or encode_chain(chain))
    return RunRequest(
        chain=chain,
        input=to_value(body["input"], body["inputType"]),
        run_id=new_run_id(),
        tenant_id=DEFAULT_TENANT,
        template_vars=wish.variables,
        live=wish.live,
    )
