"""The numbers that stand in headers, by name."""

from __future__ import annotations

import enum


class Way(enum.Enum):
    """The direction of a frame: an agent speaks up, its daemon down."""

    UP = "up"
    DOWN = "down"


class MessageType(enum.IntEnum):
    """What a frame is."""

    REQUEST = 1
    RESPONSE = 2
    ACK = 3
    ERROR = 4
    PING = 5
    BROADCAST = 6


class ContentType(enum.IntEnum):
    """What a body is."""

    NONE = 0
    MESSAGEPACK = 1
    PROTOBUF = 2
    JSON = 3
    OCTETS = 4
    TEXT = 5
    NAMED = 255


class Receipt(enum.IntEnum):
    """What an ACK says."""

    NONE = 0
    STORED = 1
    HANDLED = 2
    ACCEPTED = 3


class Shape(enum.Enum):
    """What a frame can be at the door."""

    ONCE = "once"
    DURABLE = "durable"
    HANDLED = "handled"
    TOLD = "told"
    PONG = "pong"
    NOTICE = "notice"
    PING = "ping"
    OPENER = "opener"
    CHUNK = "chunk"
    CHUNK_ACK = "chunk-ack"
    STREAM_END = "stream-end"
    STREAM_ABORT = "stream-abort"


REQUIRES_ACK = 0x0004
STREAMING = 0x0008
FINAL = 0x0010
PROTECTION = 0x0003
UNKNOWN_FLAGS = 0x00E0

TALK = frozenset({MessageType.REQUEST, MessageType.RESPONSE, MessageType.BROADCAST})
ZERO_ID = bytes(32)

METADATA_BYTES_MAX = 16_384
METADATA_ENTRIES_MAX = 64
BODY_BYTES_MAX = 10_485_760
SMALL_BODY_BYTES_MAX = 65_536
CHUNK_BYTES_MAX = 1_048_576
HOPS_MAX = 32
