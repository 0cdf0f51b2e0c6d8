"""Where a test's agents live: on the mock mesh, or on a real daemon. What holds on one must hold on the other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import pytest

import aicp
import hosts
from aicp.testing import MockMesh

# No test takes longer on a machine that is busy, but for one that is asked for more.
MOST = 60.0 + int(os.environ.get("AICP_SDK_MESSAGES", "0")) / 10


class World(Protocol):
    """Something that agents attach to."""

    def attach(self, name: str, *, capabilities: tuple[str, ...] = ()) -> aicp.Attaching: ...


class Daemon:
    """A real one."""

    def __init__(self, host: hosts.Host) -> None:
        self.host = host

    def attach(self, name: str, *, capabilities: tuple[str, ...] = ()) -> aicp.Attaching:
        return aicp.attach(name, capabilities=capabilities, socket=self.host.socket)


@contextlib.asynccontextmanager
async def mock() -> AsyncIterator[World]:
    async with MockMesh() as mesh:
        yield mesh


@contextlib.asynccontextmanager
async def daemon() -> AsyncIterator[World]:
    async with hosts.one() as host:
        yield Daemon(host)


Make = Callable[[], contextlib.AbstractAsyncContextManager[World]]

needs_daemon = pytest.mark.skipif(
    not os.environ.get("AICP_BINARIES"), reason="AICP_BINARIES does not say where aicpd is; tests/sdk/run does"
)
in_both = pytest.mark.parametrize("world", [mock, pytest.param(daemon, marks=needs_daemon)])


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test in an event loop of its own, for so long and no longer."""

    @functools.wraps(test)
    def run(*words: Any, **named: Any) -> None:
        async def within() -> None:
            await asyncio.wait_for(test(*words, **named), MOST)

        asyncio.run(within())

    return run


@contextlib.asynccontextmanager
async def serving(agent: aicp.Agent) -> AsyncIterator[asyncio.Task[None]]:
    """Serves meanwhile."""
    task = asyncio.create_task(agent.serve(signals=()))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
