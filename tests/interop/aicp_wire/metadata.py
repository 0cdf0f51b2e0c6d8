"""Section 4: metadata as one map, and the plain body around it. Which keys stand where is in presence.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from .ids import is_name
from .refusal import Refused, require
from .shapes import METADATA_MOST
from .strict_msgpack import Item, Malformed, pack_uint, walk_map

ENTRIES_MOST = 64
DOOR_KEYS = range(64, 80)


@dataclass(frozen=True)
class Key:
    """A known integer key: its name in the vectors, the test of its value, and how the vectors write it."""

    name: str
    test: Callable[[Item], bool]
    written: str  # "text", "hex", "decimal", "number" or "true"


def _text(name: str, most: int) -> Key:
    return Key(name, lambda item: item.is_text(most), "text")


def _bin(name: str, length: int) -> Key:
    return Key(name, lambda item: item.is_bin(length), "hex")


def _uint(name: str, least: int, most: int) -> Key:
    return Key(name, lambda item: item.is_uint(least, most), "decimal" if most > 2**32 - 1 else "number")


def _uint64(name: str) -> Key:
    return _uint(name, 0, 2**64 - 1)


def _true(name: str) -> Key:
    return Key(name, Item.is_true, "true")


def _name(name: str) -> Key:
    return Key(name, lambda item: item.kind == "str" and is_name(item.value), "text")


KEYS: dict[int, Key] = {
    1: _text("content_type_name", 127),
    2: _uint64("expiry"),
    3: _uint("flow_id", 1, 2**63 - 1),
    4: _text("subject", 255),
    5: _text("topic", 255),
    6: _bin("stream_id", 8),
    7: _uint64("total_length"),
    8: _bin("stream_secret", 32),
    9: _text("traceparent", 128),
    10: _text("session_id", 64),
    11: _text("capability", 64),
    12: _uint("floor", 1, 2**32 - 1),
    13: _true("handled_wanted"),
    14: _true("again"),
    64: _uint64("delivery_number"),
    65: _name("source_name"),
    66: _bin("source_node", 32),
    67: _name("source_node_name"),
    68: _uint("attempt", 1, 2**32 - 1),
    69: _uint("hops", 0, 32),
    70: _uint64("received"),
    71: _true("marked"),
    72: _uint("proof", 1, 2),
    73: _uint("last_stage", 0, 3),
    74: _uint64("lease"),
    75: _uint64("credit_messages"),
    76: _uint64("credit_bytes"),
}

NUMBERS: dict[str, int] = {key.name: number for number, key in KEYS.items()}


@dataclass
class Metadata:
    """The keys that were read; `ignored` has the unknown integer keys."""

    known: dict[int, Any] = field(default_factory=dict)
    application: dict[str, bytes] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)

    def described(self) -> dict[str, Any]:
        """As the vectors write it."""
        result: dict[str, Any] = {}
        for number, value in self.known.items():
            key = KEYS[number]
            if key.written == "hex":
                value = value.hex()
            elif key.written == "decimal":
                value = str(value)
            result[key.name] = value
        if self.application:
            result["application"] = {name: raw.hex() for name, raw in self.application.items()}
        return result


def split_plain(plain: bytes) -> tuple[bytes, bytes]:
    """Metadata bytes and body of a plain body."""
    require(len(plain) >= 2, "length", "a plain body without a metadata length")
    length = int.from_bytes(plain[:2], "big")
    require(length <= METADATA_MOST and length <= len(plain) - 2, "metadata-length", str(length))
    return plain[2 : 2 + length], plain[2 + length :]


def join_plain(metadata: bytes, body: bytes) -> bytes:
    return len(metadata).to_bytes(2, "big") + metadata + body


def parse_metadata(data: bytes, *, at_door: bool) -> Metadata:
    """Form, then keys, then values. On the wire the door's keys are left to the check of presence."""
    result = Metadata()
    if not data:
        return result
    try:
        pairs = walk_map(data)
    except Malformed as malformed:
        raise Refused("metadata-form", str(malformed)) from None
    judge_keys([key for key, _ in pairs])
    for key, item in pairs:
        if key.kind == "str":
            result.application[key.value] = data[item.start : item.end]
        elif key.value in DOOR_KEYS and (not at_door or key.value not in KEYS):
            result.known[key.value] = item.value  # never allowed; presence refuses it
        elif key.value in KEYS:
            require(KEYS[key.value].test(item), "metadata-value", f"key {key.value}")
            result.known[key.value] = item.value
        else:
            result.ignored.add(key.value)
    return result


def judge_keys(keys: list[Item]) -> None:
    require(len(keys) <= ENTRIES_MOST, "metadata-key", "too many entries")
    seen: set[tuple[str, Any]] = set()
    for key in keys:
        if key.kind == "str":
            require(1 <= len(key.value.encode()) <= 128, "metadata-key", "length of a str key")
        else:
            require(key.is_uint(0, 127), "metadata-key", f"a key of kind {key.kind}")
        require((key.kind, key.value) not in seen, "metadata-key", f"twice: {key.value}")
        seen.add((key.kind, key.value))


def encode_metadata(
    known: dict[int, Any], application: dict[str, Any] | None = None, *, widths: dict[int, int] | None = None
) -> bytes:
    """A map of these keys in this order, unjudged; `widths` asks for wider uints than the shortest, in bytes.
    A key 0 in `widths` is the width of the keys themselves."""
    widths = widths or {}
    entries: list[bytes] = []
    for number, value in known.items():
        packed = pack_uint(number, widths.get(0))
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            packed += pack_uint(value, widths.get(number))
        else:
            packed += msgpack.packb(value, use_bin_type=True)
        entries.append(packed)
    for name, value in (application or {}).items():
        entries.append(msgpack.packb(name) + msgpack.packb(value, use_bin_type=True))
    return join_map(entries)


def join_map(entries: list[bytes]) -> bytes:
    """One map of packed entries; nothing at all if there are none."""
    if not entries:
        return b""
    front = bytes([0x80 + len(entries)]) if len(entries) < 16 else b"\xde" + len(entries).to_bytes(2, "big")
    return front + b"".join(entries)
