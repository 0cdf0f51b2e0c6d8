"""Metadata: one map with known keys, of known types. Which key may stand where is in `events.py`."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from .kinds import METADATA_BYTES_MAX, METADATA_ENTRIES_MAX
from .packed import Item, Malformed, walk_map
from .refusal import Unfit, require

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
UINT64_MAX = 2**64 - 1


class Key(enum.IntEnum):
    """The known keys."""

    CONTENT_TYPE_NAME = 1
    EXPIRY = 2
    FLOW_ID = 3
    SUBJECT = 4
    TOPIC = 5
    STREAM_ID = 6
    TOTAL_LENGTH = 7
    STREAM_SECRET = 8
    TRACEPARENT = 9
    SESSION_ID = 10
    CAPABILITY = 11
    FLOOR = 12
    HANDLED_WANTED = 13
    AGAIN = 14
    DELIVERY_NUMBER = 64
    SOURCE_NAME = 65
    SOURCE_NODE = 66
    SOURCE_NODE_NAME = 67
    ATTEMPT = 68
    HOPS = 69
    RECEIVED = 70
    MARKED = 71
    PROOF = 72
    LAST_STAGE = 73
    LEASE = 74
    CREDIT_MESSAGES = 75
    CREDIT_BYTES = 76


# Refused wherever they stand: the door keeps them for later.
RESERVED = range(77, 80)


def is_name(text: str) -> bool:
    """Whether an agent or a node can be called so."""
    return NAME.fullmatch(text) is not None


def is_text(text: str, most: int) -> bool:
    """1 to `most` bytes without control characters."""
    has_control = any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text)
    return 1 <= len(text.encode("utf-8", "surrogatepass")) <= most and not has_control


Test = Callable[[Item], bool]


def _text(most: int) -> Test:
    return lambda item: item.kind == "str" and is_text(item.value, most)


def _octets(length: int) -> Test:
    return lambda item: item.kind == "bin" and len(item.value) == length


def _uint(least: int = 0, most: int = UINT64_MAX) -> Test:
    return lambda item: item.kind == "uint" and least <= item.value <= most


def _true(item: Item) -> bool:
    return item.kind == "bool" and item.value is True


def _name(item: Item) -> bool:
    return item.kind == "str" and is_name(item.value)


TESTS: dict[int, Test] = {
    Key.CONTENT_TYPE_NAME: _text(127),
    Key.EXPIRY: _uint(),
    Key.FLOW_ID: _uint(1, 2**63 - 1),
    Key.SUBJECT: _text(255),
    Key.TOPIC: _text(255),
    Key.STREAM_ID: _octets(8),
    Key.TOTAL_LENGTH: _uint(),
    Key.STREAM_SECRET: _octets(32),
    Key.TRACEPARENT: _text(128),
    Key.SESSION_ID: _text(64),
    Key.CAPABILITY: _text(64),
    Key.FLOOR: _uint(1, 2**32 - 1),
    Key.HANDLED_WANTED: _true,
    Key.AGAIN: _true,
    Key.DELIVERY_NUMBER: _uint(),
    Key.SOURCE_NAME: _name,
    Key.SOURCE_NODE: _octets(32),
    Key.SOURCE_NODE_NAME: _name,
    Key.ATTEMPT: _uint(1, 2**32 - 1),
    Key.HOPS: _uint(0, 32),
    Key.RECEIVED: _uint(),
    Key.MARKED: _true,
    Key.PROOF: _uint(1, 2),
    Key.LAST_STAGE: _uint(0, 3),
    Key.LEASE: _uint(),
    Key.CREDIT_MESSAGES: _uint(),
    Key.CREDIT_BYTES: _uint(),
}


@dataclass(slots=True)
class Metadata:
    """What was read: the known keys, and the applications' own entries as the MessagePack that came."""

    known: dict[int, Any] = field(default_factory=dict)
    application: dict[str, bytes] = field(default_factory=dict)

    def text(self, key: Key) -> str | None:
        value = self.known.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: Key) -> int | None:
        value = self.known.get(key)
        return value if isinstance(value, int) else None

    def octets(self, key: Key) -> bytes | None:
        value = self.known.get(key)
        return value if isinstance(value, bytes) else None


def read_metadata(data: bytes) -> Metadata:
    """Form, then keys, then values, as the page has it."""
    result = Metadata()
    if not data:
        return result
    try:
        pairs = walk_map(data)
    except Malformed as malformed:
        raise Unfit("metadata-form", str(malformed)) from None
    judge_keys([key for key, _ in pairs])
    for key, item in pairs:
        if key.kind == "str":
            result.application[key.value] = data[item.begin : item.end]
        elif key.value in TESTS:
            require(TESTS[key.value](item), "metadata-value", Key(key.value).name.lower())
            result.known[key.value] = item.value
        elif key.value in RESERVED:
            raise Unfit("metadata-presence", f"key {key.value} is reserved")
    return result


def judge_keys(keys: list[Item]) -> None:
    require(len(keys) <= METADATA_ENTRIES_MAX, "metadata-key", "more than 64 entries")
    seen: set[tuple[str, Any]] = set()
    for key in keys:
        if key.kind == "str":
            require(1 <= len(key.value.encode()) <= 128, "metadata-key", "a str key of 1 to 128 bytes")
        else:
            require(key.kind == "uint" and key.value <= 127, "metadata-key", f"a key of kind {key.kind}")
        require((key.kind, key.value) not in seen, "metadata-key", f"twice: {key.value}")
        seen.add((key.kind, key.value))


def write_metadata(known: dict[Key, Any], application: dict[str, Any] | None = None) -> bytes:
    """The map, or nothing at all if it is empty. Values of the applications' own entries are any Python values."""
    entries = {int(key): value for key, value in known.items()} | (application or {})
    if not entries:
        return b""
    packed: bytes = msgpack.packb(entries, use_bin_type=True)
    return packed


def split_plain(plain: bytes) -> tuple[bytes, bytes]:
    """Metadata and body of a payload."""
    require(len(plain) >= 2, "length", "no metadata length")
    length = int.from_bytes(plain[:2], "big")
    require(length <= METADATA_BYTES_MAX and length <= len(plain) - 2, "metadata-length", str(length))
    return plain[2 : 2 + length], plain[2 + length :]
