"""What the mock mesh keeps for an agent until it is handled: deliveries, leases, pauses and ends, as a daemon has
them.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._door import schema
from .._door.bodies import write_body
from .._door.frame import Frame
from .._door.ids import message_id_to_text
from .._door.kinds import ContentType, MessageType
from .._door.metadata import Key

LIFE_NS = 24 * 3600 * 10**9


class State(enum.Enum):
    """Where an item is."""

    READY = "waits for its agent"
    OUT = "is with its agent"
    RESTING = "waits for the next attempt"


@dataclass(eq=False)
class Item:
    """A durable message, or the end of one, in a mailbox."""

    id: int
    type: MessageType
    source: bytes
    destination: bytes
    content_type: ContentType = ContentType.NONE
    body: bytes = b""
    # The agents' own metadata, as it was submitted.
    known: dict[Key, Any] = field(default_factory=dict)
    application: dict[str, Any] = field(default_factory=dict)
    expiry: int = 0
    again: bool = False
    state: State = State.READY
    number: int = 0
    tries: int = 0
    failures: int = 0
    timer: asyncio.TimerHandle | None = None
    expires: asyncio.TimerHandle | None = None

    @property
    def is_message(self) -> bool:
        return self.type in (MessageType.REQUEST, MessageType.BROADCAST)

    def stop(self) -> None:
        for timer in (self.timer, self.expires):
            if timer is not None:
                timer.cancel()


NUMBERS = itertools.count(1)


class Mailbox:
    """What one agent is owed.

    `deliver` gives an item to whoever is attached, if that is possible now; `ended` is told of the end of an item.
    """

    def __init__(
        self,
        lease: float,
        pause: float,
        failures_max: int,
        deliver: Callable[[Item], bool],
        ended: Callable[[Item, int], None],
    ) -> None:
        self.lease, self.pause, self.failures_max = lease, pause, failures_max
        self._deliver, self._ended = deliver, ended
        self.items: list[Item] = []

    def put(self, item: Item) -> None:
        self.items.append(item)
        if item.is_message:
            item.expires = asyncio.get_running_loop().call_later(seconds_until(item.expiry), self._expire, item)
        self.pump()

    def pump(self) -> None:
        """Gives what is ready, in order, as far as it is taken."""
        for item in [item for item in self.items if item.state is State.READY]:
            item.number, item.tries = next(NUMBERS), item.tries + 1
            if not self._deliver(item):
                item.tries -= 1
                return
            item.state = State.OUT
            self._begin_lease(item)

    def held(self, number: int | None) -> Item | None:
        """The item that is out under this number."""
        return next((item for item in self.items if item.state is State.OUT and item.number == number), None)

    def working(self, item: Item) -> None:
        self._begin_lease(item)

    def take(self, item: Item) -> None:
        """It is handled."""
        item.stop()
        self.items.remove(item)

    def fail(self, item: Item, *, lost: bool = False) -> None:
        """A delivery came to nothing. The next one comes after a pause that grows, or, after too many, never."""
        if item.timer is not None:
            item.timer.cancel()
        item.failures += 1
        if item.failures >= self.failures_max:
            self._end(item, 4014)
        elif lost and item.failures == 1:
            item.state = State.READY
        else:
            item.state = State.RESTING
            pause = self.pause * 2 ** min(item.failures - 1, 6)
            item.timer = asyncio.get_running_loop().call_later(pause, self._rested, item)

    def lose_session(self) -> None:
        """Whoever was attached is gone."""
        for item in [item for item in self.items if item.state is State.OUT]:
            self.fail(item, lost=True)

    def close(self) -> None:
        for item in self.items:
            item.stop()

    def _begin_lease(self, item: Item) -> None:
        if item.timer is not None:
            item.timer.cancel()
        item.timer = asyncio.get_running_loop().call_later(self.lease, self._lease_ends, item)

    def _lease_ends(self, item: Item) -> None:
        self.fail(item)
        self.pump()

    def _rested(self, item: Item) -> None:
        item.state = State.READY
        self.pump()

    def _expire(self, item: Item) -> None:
        self._end(item, 4004 if item.tries else 4012)

    def _end(self, item: Item, code: int) -> None:
        self.take(item)
        self._ended(item, code)


def seconds_until(moment: int) -> float:
    return max((moment - time.time_ns()) / 1e9, 0.0)


def from_submission(frame: Frame, application: dict[str, Any]) -> Item:
    """The message that an agent submits."""
    header, known = frame.header, frame.metadata
    carried = {Key(key): value for key, value in known.known.items() if key < Key.DELIVERY_NUMBER and key != Key.AGAIN}
    expiry = known.number(Key.EXPIRY) or time.time_ns() + LIFE_NS
    return Item(
        header.id,
        header.type,
        header.source,
        header.destination,
        header.content_type,
        frame.body,
        carried,
        application,
        expiry,
        Key.AGAIN in known.known,
    )


def end_of(item: Item, kind: MessageType) -> Item:
    """The end of a message, on its way back to whoever sent it."""
    end = Item(item.id, kind, item.destination, item.source)
    end.expiry = time.time_ns() + 3 * LIFE_NS
    return end


def error_end(item: Item, code: int, words: str) -> Item:
    """An end that is an ERROR."""
    end = end_of(item, MessageType.ERROR)
    end.content_type = ContentType.MESSAGEPACK
    end.body = write_body(schema.ErrorBody(code, words, message_id_to_text(item.id)))
    return end
