"""Section 16: flows at the source, marks at the destination. No keys, no links; in memory only."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

MESSAGES, ANSWERS = 0, 1
EARLY_MOST = 1024
SAY_AGAIN_SECONDS = 1.0


def new_flow_id(kind: int, above: int = 0) -> int:
    """The clock with the kind in its lowest bit; where that is not above every earlier one, drawn above it."""
    flow = time.time_ns() & ~1 | kind
    if flow > above:
        return flow
    return (above + 2 + secrets.randbelow(2**32 - 3)) & ~1 | kind


@dataclass
class Owned:
    """A durable message that its source still owns. `known` is the metadata besides flow id and floor."""

    type: int
    message_id: int
    timestamp: int
    content_type: int
    receipt: int
    known: dict[int, Any]
    body: bytes


@dataclass
class OutFlow:
    """What one source sends to one destination, of one kind."""

    kind: int
    flow: int = 0
    highest: int = 0
    owned: dict[int, Owned] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flow = self.flow or new_flow_id(self.kind)

    @property
    def floor(self) -> int:
        return min(self.owned, default=self.highest + 1)

    def add(self, message: Owned) -> int:
        self.highest += 1
        self.owned[self.highest] = message
        return self.highest

    def settle(self, flow: int, upto: int) -> list[Owned]:
        """What a STORED settles: of this flow only, and not beyond what was sent."""
        if flow != self.flow:
            return []
        settled = [place for place in self.owned if place <= min(upto, self.highest)]
        return [self.owned.pop(place) for place in sorted(settled)]

    def settle_id(self, message_id: int) -> None:
        self.owned = {place: one for place, one in self.owned.items() if one.message_id != message_id}

    def renumber(self, newest: int) -> bool:
        """After a 4015: all that is owned anew, in order, each with AGAIN."""
        if newest <= self.flow:
            return False
        messages = [self.owned[place] for place in sorted(self.owned)]
        self.flow, self.highest, self.owned = new_flow_id(self.kind, newest), 0, {}
        for message in messages:
            message.known[14] = True
            self.add(message)
        return True


@dataclass
class Mark:
    """Up to where all is settled, of one source, destination and kind. `early` waits for what is before it."""

    flow: int = 0
    sequence: int = 0
    newest_id: int = 0
    early: dict[int, Any] = field(default_factory=dict)
    said: float = 0.0

    def judge(self, flow: int, floor: int, sequence: int) -> str:
        """`older`, `repeat`, `early` or `next`; moves the mark as far as flow and floor do."""
        if flow < self.flow:
            return "older"
        if flow > self.flow:
            self.flow, self.sequence, self.newest_id, self.early = flow, floor - 1, 0, {}
        if floor > self.sequence + 1:
            self.sequence, self.newest_id = floor - 1, 0
            self.early = {place: one for place, one in self.early.items() if place >= floor}
        if sequence <= self.sequence:
            return "repeat"
        return "early" if sequence > self.sequence + 1 else "next"

    def settle(self, message_id: int) -> None:
        self.sequence += 1
        self.newest_id = message_id

    def wait(self, sequence: int, one: Any) -> None:
        if len(self.early) < EARLY_MOST:
            self.early[sequence] = one

    def next_early(self) -> Any | None:
        return self.early.pop(self.sequence + 1, None)

    def may_say_again(self) -> bool:
        """At most once a second."""
        now = time.monotonic()
        if now - self.said < SAY_AGAIN_SECONDS:
            return False
        self.said = now
        return True
