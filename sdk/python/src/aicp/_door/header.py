"""The 96 bytes in front of every frame, and the order in which they are judged at the door."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from .kinds import (
    BODY_BYTES_MAX,
    CHUNK_BYTES_MAX,
    FINAL,
    HOPS_MAX,
    METADATA_BYTES_MAX,
    PROTECTION,
    REQUIRES_ACK,
    SMALL_BODY_BYTES_MAX,
    STREAMING,
    TALK,
    UNKNOWN_FLAGS,
    ZERO_ID,
    ContentType,
    MessageType,
    Receipt,
    Shape,
    Way,
)
from .refusal import Unfit, require

HEADER_BYTES = 96
LAYOUT = struct.Struct(">BBQQ32s32sIHBBBBI")
TYPES = frozenset(MessageType)
CONTENT_TYPES = frozenset(ContentType)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that has passed every check, and what it says the frame is."""

    type: MessageType
    shape: Shape
    id: int
    timestamp: int
    source: bytes
    destination: bytes
    content_type: ContentType
    receipt: Receipt
    sequence: int
    payload_bytes: int
    final: bool = False

    def pack(self) -> bytes:
        """The bytes, as whoever submits writes them: no hops, no place."""
        flags = REQUIRES_ACK if self.shape is Shape.DURABLE else 0
        return LAYOUT.pack(
            1,
            self.type,
            self.id,
            self.timestamp,
            self.source,
            self.destination,
            self.payload_bytes,
            flags,
            0,
            self.content_type,
            0,
            self.receipt,
            self.sequence,
        )


def read_header(data: bytes | bytearray | memoryview, way: Way) -> Header:
    """The header at the front of `data`, which has at least 96 bytes. Refuses what may not stand at the door."""
    fields = LAYOUT.unpack_from(data)
    version, number, message_id, timestamp, source, destination, payload, flags = fields[:8]
    ttl, content_number, initial_ttl, receipt_number, sequence = fields[8:]
    require(version == 1, "version", str(version))
    require(number in TYPES, "type", str(number))
    require(flags & UNKNOWN_FLAGS == 0, "flags", f"{flags:#06x}")
    require(ttl <= initial_ttl <= HOPS_MAX, "hops", f"{ttl} of {initial_ttl}")
    require(content_number in CONTENT_TYPES, "content-type", str(content_number))
    kind, content_type = MessageType(number), ContentType(content_number)
    receipt = judge_receipt(kind, receipt_number, way)
    require(way is Way.UP or source != ZERO_ID, "zero-id", "source")
    shape = find_shape(kind, flags, receipt, sequence > 0, way)
    require(flags & PROTECTION == 0, "shape", "only daemons sign and seal")
    if way is Way.UP:
        judge_zeros(kind, shape, source, destination)
    require(content_type_suits(kind, shape, content_type), "content-type", f"{content_type} in {shape.value}")
    least, most = payload_limits(kind, shape)
    require(payload >= least, "length", str(payload))
    require(payload <= most, "too-large", str(payload))
    final = bool(flags & FINAL)
    return Header(
        kind, shape, message_id, timestamp, source, destination, content_type, receipt, sequence, payload, final
    )


def judge_receipt(kind: MessageType, number: int, way: Way) -> Receipt:
    """An agent says HANDLED and no other receipt."""
    if kind is not MessageType.ACK:
        require(number == 0, "receipt", str(number))
    elif way is Way.UP:
        require(number == Receipt.HANDLED, "receipt", str(number))
    else:
        require(number <= Receipt.ACCEPTED, "receipt", str(number))
    return Receipt(number)


@lru_cache
def find_shape(kind: MessageType, flags: int, receipt: Receipt, has_sequence: bool, way: Way) -> Shape:
    """The row of the door's table of shapes that the frame is in."""
    if flags & STREAMING:
        shape = stream_shape(kind, flags, receipt, has_sequence, way)
    elif flags & FINAL or has_sequence:
        shape = None
    elif flags & REQUIRES_ACK:
        outcomes = {MessageType.ACK: Receipt.HANDLED, MessageType.ERROR: Receipt.NONE}
        is_outcome = way is Way.DOWN and kind in outcomes and receipt is outcomes[kind]
        shape = Shape.DURABLE if kind in TALK or is_outcome else None
    elif kind in TALK:
        shape = Shape.ONCE
    elif kind is MessageType.ERROR:
        shape = Shape.NOTICE
    elif kind is MessageType.PING:
        shape = Shape.PING
    elif way is Way.UP:
        shape = Shape.HANDLED
    else:
        shape = Shape.PONG if receipt is Receipt.NONE else Shape.TOLD
    if shape is None:
        raise Unfit("shape", "in no row of the table")
    return shape


def stream_shape(kind: MessageType, flags: int, receipt: Receipt, has_sequence: bool, way: Way) -> Shape | None:
    """The frames of streams. The library neither sends nor takes them yet; they are only told from others."""
    if flags & REQUIRES_ACK or receipt is not Receipt.NONE:
        return None
    final = bool(flags & FINAL)
    if kind in (MessageType.REQUEST, MessageType.RESPONSE):
        if has_sequence:
            return Shape.CHUNK
        return None if final else Shape.OPENER
    if kind is MessageType.ACK and way is Way.DOWN:
        if not final:
            return Shape.CHUNK_ACK
        return None if has_sequence else Shape.STREAM_END
    if kind is MessageType.ERROR and not final and not has_sequence:
        return Shape.STREAM_ABORT
    return None


def judge_zeros(kind: MessageType, shape: Shape, source: bytes, destination: bytes) -> None:
    """Zeros stand for the own node, and for a client that is no agent."""
    asks = shape is Shape.PING or (shape is Shape.ONCE and kind is MessageType.REQUEST)
    tells_all = kind is MessageType.BROADCAST and shape in (Shape.ONCE, Shape.DURABLE)
    if destination == ZERO_ID:
        require(asks or tells_all, "zero-id", "destination")
    if source == ZERO_ID:
        require(asks and destination == ZERO_ID, "zero-id", "source")


def content_type_suits(kind: MessageType, shape: Shape, content_type: ContentType) -> bool:
    """What a body may be depends on the frame."""
    if shape is Shape.CHUNK_ACK:
        return content_type is ContentType.OCTETS
    if kind is MessageType.ACK:
        return content_type is ContentType.NONE
    if kind is MessageType.ERROR:
        return content_type in (ContentType.MESSAGEPACK, ContentType.PROTOBUF, ContentType.JSON)
    return content_type is not ContentType.NAMED or (kind is not MessageType.PING and shape is not Shape.CHUNK)


def payload_limits(kind: MessageType, shape: Shape) -> tuple[int, int]:
    """The least and the most bytes behind the header."""
    metadata = 2 + METADATA_BYTES_MAX
    if shape is Shape.CHUNK:
        return 2, 2 + CHUNK_BYTES_MAX
    if shape is Shape.CHUNK_ACK:
        return 10, 10
    if shape is Shape.STREAM_END:
        return 2, 2
    if kind in (MessageType.ERROR, MessageType.PING):
        return 2, metadata + SMALL_BODY_BYTES_MAX
    if kind is MessageType.ACK or shape is Shape.OPENER:
        return 2, metadata
    return 2, metadata + BODY_BYTES_MAX
