"""Whole frames: taken from a buffer as they arrive, and written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .events import WITHOUT, Event, find_event, judge_presence
from .header import HEADER_BYTES, Header, read_header
from .kinds import ContentType, MessageType, Receipt, Shape, Way
from .metadata import Key, Metadata, read_metadata, split_plain, write_metadata
from .refusal import Unfit, require

EMPTY_BODY = frozenset({Shape.TOLD, Shape.HANDLED, Shape.OPENER, Shape.STREAM_END})


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that is as the protocol has it."""

    header: Header
    metadata: Metadata
    body: bytes
    event: Event | None

    @property
    def size(self) -> int:
        """What it counts for in credit."""
        return HEADER_BYTES + self.header.payload_bytes


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame whose header holds and whose content is refused: it spoils nothing but itself."""

    header: Header
    refusal: Unfit


def read_frame(data: bytes, way: Way) -> Frame:
    """The one frame that `data` is."""
    require(len(data) >= HEADER_BYTES, "short")
    header = read_header(data, way)
    require(len(data) >= HEADER_BYTES + header.payload_bytes, "short")
    require(len(data) == HEADER_BYTES + header.payload_bytes, "length", "bytes left over")
    return read_content(header, data[HEADER_BYTES:], way)


def read_content(header: Header, payload: bytes, way: Way) -> Frame:
    """Judges what stands behind a header."""
    packed, body = split_plain(payload)
    require(header.shape not in WITHOUT or not packed, "metadata-presence", "no metadata here")
    metadata = read_metadata(packed)
    event = find_event(header, metadata, way)
    judge_presence(header, metadata, event, way)
    judge_body(header, body)
    return Frame(header, metadata, body, event)


def judge_body(header: Header, body: bytes) -> None:
    """A body that must be empty is. How long it may be was judged with the header, but for long metadata."""
    is_outcome = header.shape is Shape.DURABLE and header.type is MessageType.ACK
    must_be_empty = header.content_type is ContentType.NONE or header.shape in EMPTY_BODY or is_outcome
    require(not (must_be_empty and body), "body", f"{len(body)} bytes where none may be")
    small = header.type in (MessageType.ERROR, MessageType.PING)
    require(len(body) <= (65_536 if small else 10_485_760), "too-large", f"a body of {len(body)} bytes")


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.buffer = bytearray()
        self.header: Header | None = None

    def feed(self, data: bytes) -> Iterator[Frame | BadFrame]:
        """The frames that are whole now. Raises Unfit at a header after which no length can be trusted."""
        self.buffer += data
        while True:
            if self.header is None:
                if len(self.buffer) < HEADER_BYTES:
                    return
                self.header = read_header(self.buffer, self.way)
            end = HEADER_BYTES + self.header.payload_bytes
            if len(self.buffer) < end:
                return
            header, payload = self.header, bytes(self.buffer[HEADER_BYTES:end])
            del self.buffer[:end]
            self.header = None
            try:
                yield read_content(header, payload, self.way)
            except Unfit as refusal:
                yield BadFrame(header, refusal)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a frame says, before its length is known."""

    type: MessageType
    shape: Shape
    id: int
    source: bytes
    destination: bytes
    content_type: ContentType = ContentType.NONE
    receipt: Receipt = Receipt.NONE
    timestamp: int = 0


def write_frame(
    draft: Draft, known: dict[Key, Any], body: bytes = b"", application: dict[str, Any] | None = None
) -> bytes:
    """The bytes of a frame. What it says is judged by whoever reads it."""
    metadata = write_metadata(known, application)
    payload_bytes = 2 + len(metadata) + len(body)
    header = Header(
        draft.type,
        draft.shape,
        draft.id,
        draft.timestamp,
        draft.source,
        draft.destination,
        draft.content_type,
        draft.receipt,
        0,
        payload_bytes,
    )
    return b"".join((header.pack(), len(metadata).to_bytes(2, "big"), metadata, body))


def draw_id() -> int:
    """A message id: 64 random bits, and never zero, which stands for no message."""
    while True:
        drawn = int.from_bytes(os.urandom(8), "big")
        if drawn:
            return drawn
