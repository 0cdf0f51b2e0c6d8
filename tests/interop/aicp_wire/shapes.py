"""Section 3: what a frame can be, and how long it may be."""

from __future__ import annotations

from dataclasses import dataclass

REQUEST, RESPONSE, ACK, ERROR, PING, BROADCAST = 1, 2, 3, 4, 5, 6

ENCRYPTED = 0x0001
SIGNED = 0x0002
REQUIRES_ACK = 0x0004
STREAMING = 0x0008
FINAL = 0x0010
PROTECTION = ENCRYPTED | SIGNED
UNKNOWN_FLAGS = 0x00E0

WIRE, UP, DOWN = "wire", "up", "down"

METADATA_MOST = 16_384
BODY_MOST = 10_485_760
SMALL_BODY_MOST = 65_536
CHUNK_MOST = 1_048_576
RECEIPT_MOST = {WIRE: 2, DOWN: 3}


@dataclass(frozen=True)
class Row:
    """One row of a table of section 3. In `final`, None is "any"; `sequence` is "0", "1+" or "any"."""

    shape: str
    types: tuple[int, ...]
    streaming: bool = False
    final: bool | None = False
    requires_ack: bool = False
    sequence: str = "0"
    receipts: tuple[int, ...] = (0,)
    protection: int = 0
    doors: tuple[str, ...] = (WIRE,)

    def fits(self, type_: int, flags: int, receipt: int, sequence: int, door: str) -> bool:
        if door not in self.doors or type_ not in self.types or receipt not in self.receipts:
            return False
        if bool(flags & STREAMING) != self.streaming or bool(flags & REQUIRES_ACK) != self.requires_ack:
            return False
        if self.final is not None and bool(flags & FINAL) != self.final:
            return False
        return self.sequence == "any" or (sequence == 0) == (self.sequence == "0")


TALK = (REQUEST, RESPONSE, BROADCAST)
BOTH = (UP, DOWN)

WIRE_ROWS = (
    Row("once", TALK, protection=PROTECTION),
    Row("durable", TALK, requires_ack=True, sequence="1+", protection=PROTECTION),
    Row("durable", (ACK,), requires_ack=True, sequence="1+", receipts=(2,), protection=PROTECTION),
    Row("durable", (ERROR,), requires_ack=True, sequence="1+", protection=PROTECTION),
    Row("stored", (ACK,), sequence="1+", receipts=(1,), protection=SIGNED),
    Row("pong", (ACK,), protection=SIGNED),
    Row("notice", (ERROR,), protection=SIGNED),
    Row("ping", (PING,), protection=SIGNED),
    Row("opener", (REQUEST, RESPONSE), streaming=True, protection=PROTECTION),
    Row("chunk", (REQUEST, RESPONSE), streaming=True, final=None, sequence="1+", protection=ENCRYPTED),
    Row("chunk-ack", (ACK,), streaming=True, sequence="any", protection=ENCRYPTED),
    Row("stream-end", (ACK,), streaming=True, final=True, protection=SIGNED),
    Row("stream-abort", (ERROR,), streaming=True, protection=SIGNED),
)

DOOR_ROWS = (
    Row("once", TALK, doors=BOTH),
    Row("durable", TALK, requires_ack=True, doors=BOTH),
    Row("durable", (ACK,), requires_ack=True, receipts=(2,), doors=(DOWN,)),
    Row("durable", (ERROR,), requires_ack=True, doors=(DOWN,)),
    Row("handled", (ACK,), receipts=(2,), doors=(UP,)),
    Row("told", (ACK,), receipts=(1, 2, 3), doors=(DOWN,)),
    Row("pong", (ACK,), doors=(DOWN,)),
    Row("notice", (ERROR,), doors=BOTH),
    Row("ping", (PING,), doors=BOTH),
    Row("opener", (REQUEST, RESPONSE), streaming=True, doors=BOTH),
    Row("chunk", (REQUEST, RESPONSE), streaming=True, final=None, sequence="1+", doors=BOTH),
    Row("stream-abort", (ERROR,), streaming=True, doors=BOTH),
    Row("chunk-ack", (ACK,), streaming=True, sequence="any", doors=(DOWN,)),
    Row("stream-end", (ACK,), streaming=True, final=True, doors=(DOWN,)),
)

ROWS = WIRE_ROWS + DOOR_ROWS


def find_row(type_: int, flags: int, receipt: int, sequence: int, door: str) -> Row | None:
    """The row of the frame, found without ENCRYPTED and SIGNED."""
    for row in ROWS:
        if row.fits(type_, flags, receipt, sequence, door):
            return row
    return None


def overhead(protection: int) -> int:
    """What the payload has on the wire besides the plain body."""
    return {PROTECTION: 132, SIGNED: 80, ENCRYPTED: 32, 0: 0}[protection & PROTECTION]


def plain_limits(shape: str, type_: int, door: str) -> tuple[int, int]:
    """The least and the most bytes of a plain body."""
    metadata = 2 + METADATA_MOST
    if shape == "pong":
        return (0, 0) if door == WIRE else (2, metadata)
    if shape == "chunk":
        return 2, 2 + CHUNK_MOST
    if shape == "chunk-ack":
        return 10, 10
    if shape == "stream-end":
        return 2, 2
    if type_ in (ERROR, PING):
        return 2, metadata + SMALL_BODY_MOST
    if type_ == ACK or shape == "opener":
        return 2, metadata
    return 2, metadata + BODY_MOST


def content_type_suits(shape: str, type_: int, content_type: int) -> bool:
    """Check 12 of section 2."""
    if shape == "chunk-ack":
        return content_type == 4
    if type_ == ACK:
        return content_type == 0
    if type_ == ERROR:
        return content_type in (1, 2, 3)
    return content_type != 255 or (type_ != PING and shape != "chunk")
