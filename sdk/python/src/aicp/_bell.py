"""Waiting for something to change, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Whoever waits looks again when it rings."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns once `holds` does; it is asked at each ring."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
