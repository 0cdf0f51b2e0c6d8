"""Credit on one connection, both ways: how many deliveries the daemon may bring, and how much it takes of what is
written.

Counts since the connection began, and decides when to say more; it never touches a queue.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import _limits


@dataclass(frozen=True, slots=True)
class Amount:
    """Deliveries or frames, and their bytes with their headers."""

    count: int = 0
    octets: int = 0

    def plus(self, octets: int) -> Amount:
        return Amount(self.count + 1, self.octets + octets)


WINDOW = Amount(_limits.INBOX_MESSAGES, _limits.INBOX_BYTES)
# Credit is said in steps of this, and this much of it is left while somebody waits for an answer: that comes as a
# delivery too, and may not be stopped by what nobody receives.
STEP = Amount(WINDOW.count // 4, WINDOW.octets // 4)


def _reach(arrived: int, window: int, inbox: int, step: int, waited_for: bool) -> int:
    room = max(window - inbox, 0)
    return arrived + (max(room, step) if waited_for else room)


class Credit:
    """The account of one connection, on which nothing is written yet."""

    def __init__(self, inbox: Amount) -> None:
        self.arrived = Amount()
        self.written = Amount()
        self.told = Amount()
        # How much may be written; `None` while the daemon does not speak of it.
        self.allowed: Amount | None = None
        self.renew(inbox, waited_for=True)

    def note_arrived(self, octets: int) -> None:
        self.arrived = self.arrived.plus(octets)

    def note_written(self, octets: int) -> None:
        self.written = self.written.plus(octets)

    def allow(self, to: Amount) -> None:
        """More is allowed. Credit is never taken back."""
        before = self.allowed or Amount()
        self.allowed = Amount(max(to.count, before.count), max(to.octets, before.octets))

    def may_write(self) -> bool:
        """Whether a submission may be written. It may go beyond the bytes if it begins below."""
        allowed = self.allowed
        return allowed is None or (self.written.count < allowed.count and self.written.octets < allowed.octets)

    def renew(self, inbox: Amount, waited_for: bool) -> Amount | None:
        """What to tell the daemon now, if it is worth a frame."""
        count = _reach(self.arrived.count, WINDOW.count, inbox.count, STEP.count, waited_for)
        octets = _reach(self.arrived.octets, WINDOW.octets, inbox.octets, STEP.octets, waited_for)
        if count < self.told.count + STEP.count and octets < self.told.octets + STEP.octets:
            return None
        self.told = Amount(max(count, self.told.count), max(octets, self.told.octets))
        return self.told
