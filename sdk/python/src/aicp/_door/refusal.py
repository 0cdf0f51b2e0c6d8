"""Why a frame or a body is not taken."""

from __future__ import annotations

CODES = {"version": 4011, "too-large": 4003}


class Unfit(Exception):
    """It is not as the protocol has it. `reason` is the word that the vectors use."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.code = CODES.get(reason, 4010)


def require(holds: bool, reason: str, detail: str = "") -> None:
    """Refuses for this reason unless it holds."""
    if not holds:
        raise Unfit(reason, detail)
