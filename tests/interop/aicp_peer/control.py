"""Section 17: the messages of the control stream, and HELLO, written and judged."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from aicp_wire import records
from aicp_wire.metadata import join_map
from aicp_wire.refusal import Refused
from aicp_wire.strict_msgpack import Item, Malformed, pack_uint, walk_map

HELLO, RECORD, WANT, NOTICE = 1, 2, 3, 4
MESSAGE_MOST = 65_536
PINNED_MESH = bytes(32)
NOTICE_TEXT_MOST = 255
SPEAK_VERSION_1 = "speak version 1"


class Close(Exception):
    """The link must be closed with this code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code} {why}")
        self.code, self.why = code, why


@dataclass
class Hello:
    record: records.Record
    time: int
    link_id: bytes | None


@dataclass
class Notice:
    code: int
    message_id: int
    source: bytes
    destination: bytes
    text: str

    def pack(self) -> bytes:
        front = self.code.to_bytes(2, "big") + self.message_id.to_bytes(8, "big")
        return front + self.source + self.destination + self.text.encode()


def pack_message(kind: int, body: bytes) -> bytes:
    return (1 + len(body)).to_bytes(4, "big") + bytes([kind]) + body


def take_message(buffer: bytearray) -> tuple[int, bytes] | None:
    """The first message in the buffer, which is taken out of it; None if it is not whole yet."""
    if len(buffer) < 4:
        return None
    length = int.from_bytes(buffer[:4], "big")
    if not 1 <= length <= MESSAGE_MOST:
        raise Close(4003, f"a control message of {length} bytes")
    if len(buffer) < 4 + length:
        return None
    kind, body = buffer[4], bytes(buffer[5 : 4 + length])
    del buffer[: 4 + length]
    return kind, body


def read_notice(body: bytes) -> Notice:
    text = body[74:]
    if len(body) < 74 or len(text) > NOTICE_TEXT_MOST:
        raise Close(4010, "a NOTICE of another length")
    code = int.from_bytes(body[:2], "big")
    if not 4000 <= code <= 5999:
        raise Close(4010, f"a NOTICE with code {code}")
    try:
        return Notice(code, int.from_bytes(body[2:10], "big"), body[10:42], body[42:74], text.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise Close(4010, "a NOTICE that is not UTF-8") from None


def pack_hello(node_record: bytes, dialing: bool, versions: tuple[int, ...] = (1,), mesh: bytes = PINNED_MESH) -> bytes:
    def bin_of(data: bytes) -> bytes:
        return b"\xc4" + bytes([len(data)]) + data if len(data) < 256 else b"\xc5" + len(data).to_bytes(2, "big") + data

    entries = [
        pack_uint(1) + bytes([0x90 + len(versions)]) + b"".join(pack_uint(version) for version in versions),
        pack_uint(2) + bin_of(mesh),
        pack_uint(3) + bin_of(node_record),
        pack_uint(4) + pack_uint(time.time_ns()),
    ]
    if dialing:
        entries.append(pack_uint(6) + bin_of(os.urandom(32)))
    return join_map(entries)


def _layout(body: bytes) -> dict[int, Item]:
    try:
        pairs = walk_map(body)
    except Malformed as malformed:
        raise Close(4010, f"HELLO: {malformed}") from None
    last, values = -1, {}
    for key, item in pairs:
        if not key.is_uint(0, 127) or key.value <= last:
            raise Close(4010, "HELLO: a key, or the order of the keys")
        last = key.value
        values[key.value] = item
    return values


def _versions_fit(item: Item) -> bool:
    if item.kind != "array" or not 1 <= len(item.value) <= 16:
        return False
    numbers = [entry.value if entry.is_uint(1, 255) else 0 for entry in item.value]
    return all(numbers) and numbers == sorted(set(numbers))


def judge_hello(body: bytes, peer_public: bytes, from_dialer: bool) -> Hello:
    """In the order of the page; raises Close."""
    values = _layout(body)
    if not {1, 2, 3, 4} <= values.keys() or not _versions_fit(values[1]) or not values[2].is_bin(32):
        raise Close(4010, "HELLO: a field is missing or of another type")
    if values[3].kind != "bin" or not values[4].is_uint() or (5 in values and not values[5].is_uint()):
        raise Close(4010, "HELLO: a field of another type")
    if 1 not in [entry.value for entry in values[1].value]:
        raise Close(4011, SPEAK_VERSION_1)
    if values[2].value != PINNED_MESH:
        raise Close(4002, "HELLO: another mesh")
    if (6 in values) != from_dialer or (from_dialer and not values[6].is_bin(32)):
        raise Close(4010, "HELLO: the link id")
    try:
        record = records.read_record(values[3].value)
    except (Refused, ValueError) as refused:
        raise Close(4002, f"HELLO: the record: {refused}") from None
    if record.kind != records.NODE or record.values[1] != peer_public:
        raise Close(4002, "HELLO: the record is of another key")
    return Hello(record, values[4].value, values[6].value if from_dialer else None)
