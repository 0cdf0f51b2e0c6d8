"""Section 2: the 96 bytes in front of every frame, and the order in which they are judged."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .refusal import Refused, require
from .shapes import (
    ACK,
    BROADCAST,
    DOWN,
    PROTECTION,
    RECEIPT_MOST,
    REQUEST,
    UNKNOWN_FLAGS,
    UP,
    WIRE,
    Row,
    content_type_suits,
    find_row,
    overhead,
    plain_limits,
)

SIZE = 96
TTL_AT = 88
LAYOUT = struct.Struct(">BBQQ32s32sIHBBBBI")
assert LAYOUT.size == SIZE

ZERO_ID = bytes(32)
SOME_ID = b"\1" * 32
CONTENT_TYPES = (0, 1, 2, 3, 4, 5, 255)


@dataclass
class Header:
    """The fields of a header, in the order of their offsets."""

    version: int = 1
    type: int = 1
    message_id: int = 0
    timestamp: int = 0
    source: bytes = ZERO_ID
    destination: bytes = ZERO_ID
    payload_length: int = 0
    flags: int = 0
    ttl: int = 0
    content_type: int = 0
    initial_ttl: int = 0
    receipt: int = 0
    sequence: int = 0

    def pack(self) -> bytes:
        return LAYOUT.pack(
            self.version,
            self.type,
            self.message_id,
            self.timestamp,
            self.source,
            self.destination,
            self.payload_length,
            self.flags,
            self.ttl,
            self.content_type,
            self.initial_ttl,
            self.receipt,
            self.sequence,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """The fields as they stand, unjudged."""
        require(len(data) >= SIZE, "short")
        return cls(*LAYOUT.unpack_from(data))

    def described(self) -> dict[str, object]:
        """The fields as the vectors write them."""
        return {
            "version": self.version,
            "type": self.type,
            "message_id": f"{self.message_id:016x}",
            "timestamp": str(self.timestamp),
            "source": self.source.hex(),
            "destination": self.destination.hex(),
            "payload_length": self.payload_length,
            "flags": self.flags,
            "ttl": self.ttl,
            "content_type": self.content_type,
            "initial_ttl": self.initial_ttl,
            "receipt": self.receipt,
            "sequence": self.sequence,
        }


def signed_form(header: bytes) -> bytes:
    """H': the header bytes with the ttl set to zero."""
    return header[:TTL_AT] + b"\0" + header[TTL_AT + 1 : SIZE]


def judge(header: Header, door: str, *, ids: bool = True, length: bool = True) -> str:
    """Checks 1 to 14 in their order; the shape of what passes.
    Without `ids`, 7 and 11 are left out; without `length`, 13 and 14."""
    row = judge_to_ids(header, door, ids)
    require(content_type_suits(row.shape, header.type, header.content_type), "content-type", row.shape)
    if length:
        extra = overhead(row.protection) if door == WIRE else 0
        least, most = plain_limits(row.shape, header.type, door)
        require(header.payload_length >= least + extra, "length", str(header.payload_length))
        require(header.payload_length <= most + extra, "too-large", str(header.payload_length))
    return row.shape


def judge_to_ids(header: Header, door: str, ids: bool = True) -> Row:
    """Checks 1 to 11."""
    require(header.version == 1, "version", str(header.version))
    require(1 <= header.type <= 6, "type", str(header.type))
    require(header.flags & UNKNOWN_FLAGS == 0, "flags", f"{header.flags:#06x}")
    # at the door too: "does not judge the hops" (section 12) is read as "any hops that pass this"
    require(header.initial_ttl <= 32 and header.ttl <= header.initial_ttl, "hops")
    require(header.content_type in CONTENT_TYPES, "content-type", str(header.content_type))
    judge_receipt(header.type, header.receipt, door)
    if ids and door != UP:
        require(header.source != ZERO_ID, "zero-id", "source")
        require(door == DOWN or header.destination != ZERO_ID, "zero-id", "destination")
    row = judge_shape(header, door)
    if ids and door == UP:
        judge_ids_up(header, row.shape)
    return row


def judge_receipt(type_: int, receipt: int, door: str) -> None:
    """Check 6."""
    if type_ != ACK:
        require(receipt == 0, "receipt", str(receipt))
    elif door == UP:
        require(receipt == 2, "receipt", str(receipt))
    else:
        require(receipt <= RECEIPT_MOST[door], "receipt", str(receipt))


def judge_shape(header: Header, door: str) -> Row:
    """Checks 8 to 10."""
    row = find_row(header.type, header.flags, header.receipt, header.sequence, door)
    if row is None:
        raise Refused("shape", "in no row")
    protection = header.flags & PROTECTION
    if door == WIRE:
        require(protection & row.protection == row.protection, "unprotected", row.shape)
    require(protection & ~row.protection == 0, "shape", "protection beyond that of the shape")
    return row


def judge_ids_up(header: Header, shape: str) -> None:
    """Check 11."""
    asks = shape == "ping" or shape == "once" and header.type == REQUEST
    tells_all = header.type == BROADCAST and shape in ("once", "durable")
    if header.destination == ZERO_ID:
        require(asks or tells_all, "zero-id", "destination")
    if header.source == ZERO_ID:
        require(asks and header.destination == ZERO_ID, "zero-id", "source")


def shape_outcome(type_: int, receipt: int, sequence: int, flags: int, door: str) -> str:
    """The word for one value of the flags: a shape or a reason (the file shapes.json)."""
    header = Header(
        type=type_, source=SOME_ID, destination=SOME_ID, flags=flags, receipt=receipt, sequence=sequence
    )
    try:
        return judge_to_ids(header, door).shape
    except Refused as refused:
        return refused.reason


def read_header(data: bytes, door: str) -> tuple[Header, str]:
    """The judged header at the front of `data` and its shape."""
    header = Header.unpack(data)
    return header, judge(header, door)
