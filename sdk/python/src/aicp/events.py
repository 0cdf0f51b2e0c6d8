"""What becomes of the connection, for those who want to know. Nobody has to listen; it is logged all the same."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _limits
from ._bell import Bell

if TYPE_CHECKING:
    from .message import Outcome


@dataclass(frozen=True)
class Lost:
    """The connection was lost; it is being made again."""

    why: str


@dataclass(frozen=True)
class Retrying:
    """It could not be made; the next attempt comes after a pause, in seconds."""

    why: str
    pause: float


@dataclass(frozen=True)
class Reconnected:
    """It is there again, the agent is attached, and so many durable submissions are sent again."""

    resubmitted: int


@dataclass(frozen=True)
class Dropped:
    """A delivery found no room because nobody receives. A durable one comes again; one that is sent once is lost."""

    comes_again: bool


@dataclass(frozen=True)
class Ended:
    """While serving: the end of a submission that nobody in this process waits for. It is acknowledged."""

    outcome: Outcome


Event = Lost | Retrying | Reconnected | Dropped | Ended


class Events:
    """Events from when it was made on; who listens too slowly misses the oldest. It ends with the agent."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque(maxlen=_limits.EVENTS_MAX)
        self._bell = Bell()
        self._ended = False

    def _tell(self, event: Event) -> None:
        self._waiting.append(event)
        self._bell.ring()

    def _end(self) -> None:
        self._ended = True
        self._bell.ring()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        await self._bell.until(lambda: bool(self._waiting) or self._ended)
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def next(self, timeout: float | None = None) -> Event:
        """The next one, within so many seconds. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            return await anext(self)
