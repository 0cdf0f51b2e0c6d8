"""Frames that must be taken, with what must come out of them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import msgpack

from aicp_wire import protobuf
from aicp_wire.header import Header
from aicp_wire.metadata import KEYS, encode_metadata, join_map, join_plain
from aicp_wire.shapes import ACK, BROADCAST, ERROR, PING, REQUEST, RESPONSE
from aicp_wire.strict_msgpack import pack_uint
from faults import high_bit_sealer
from frame_world import ACKED, BOTH, HOUR, SIGNED, STREAM, Case, Sealer, World, error_of

SIZES = {"empty": 0, "one byte": 1, "1 KiB": 1024, "8 KiB": 8 * 1024}
TYPES = {"REQUEST": REQUEST, "RESPONSE": RESPONSE, "BROADCAST": BROADCAST}
APPLICATION = {"trace-note": "grüß dich", "numbers": [0, -1, 127, 128, 70000, 2**40], "nested": {"a": {"b": [None]}}}


def written(known: dict[int, Any], application: dict[str, Any] | None) -> dict[str, Any]:
    """Metadata as the vectors write it."""
    result: dict[str, Any] = {}
    for number, value in known.items():
        if number not in KEYS:
            continue
        key = KEYS[number]
        result[key.name] = {"hex": bytes.hex, "decimal": str}.get(key.written, lambda same: same)(value)
    if application:
        result["application"] = {name: msgpack.packb(value).hex() for name, value in application.items()}
    return result


class Taken:
    """Collects the cases."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def add(
        self,
        name: str,
        shape: str,
        world: World,
        header: Header,
        known: dict[int, Any] | None = None,
        body: bytes = b"",
        application: dict[str, Any] | None = None,
        packed: bytes | None = None,
        hops: int = 0,
        sealer: Sealer | None = None,
    ) -> None:
        """`packed` replaces the metadata's bytes; `hops` lowers the ttl after signing, as relays do;
        `sealer` seals in the place of the usual one."""
        known = known or {}
        data = packed if packed is not None else encode_metadata(known, application)
        plain = b"" if shape == "pong" else join_plain(data, body)
        frame = bytearray(world.frame(header, plain, sealer))
        frame[88] -= hops
        case: Case = {"name": name, **world.given(header, bytes(frame)), "plain": plain.hex()}
        case |= {"shape": shape, "metadata": written(known, application), "body": body.hex()}
        self.cases.append(case)


def once_and_durable(taken: Taken) -> None:
    for type_name, type_ in TYPES.items():
        topic = {5: "weather"} if type_ == BROADCAST else {}
        for size_name, size in SIZES.items():
            world = World()
            known = {4: "greet", **topic} if size % 2 else dict(topic)
            taken.add(
                f"once {type_name}, {size_name}", "once", world, world.header(type_, BOTH, 4), known, os.urandom(size)
            )
            world = World()
            header = world.header(type_, ACKED, 4, sequence=1 + size)
            taken.add(
                f"durable {type_name}, {size_name}", "durable", world, header, world.durable(type_), os.urandom(size)
            )
        world = World()
        known = {2: world.now + HOUR, 4: "s" * 255, 9: "00-trace", 10: "session", 11: "capability", **topic}
        header = world.header(type_, BOTH, 3)
        taken.add(f"once {type_name}, all may stand", "once", world, header, known, b"{}", APPLICATION)
        world = World()
        known = world.durable(type_) | {4: "x", 9: "t", 10: "s", 11: "c", 14: True}
        if type_ == BROADCAST:
            known[13] = True
        header = world.header(type_, ACKED, 1, sequence=2**32 - 1)
        known[12] = 2**32 - 1
        taken.add(f"durable {type_name}, all may stand", "durable", world, header, known, b"\xc0", APPLICATION)
    world = World()
    taken.add("once REQUEST, 200 KiB", "once", world, world.header(REQUEST, BOTH, 4), {}, os.urandom(200 * 1024))
    for content_type in (0, 1, 2, 5, 255):
        world = World()
        known = {1: "image/png"} if content_type == 255 else {}
        body = b"" if content_type == 0 else b"opaque"
        header = world.header(REQUEST, BOTH, content_type)
        taken.add(f"once, content type {content_type}", "once", world, header, known, body)
    world = World()
    header = world.header(REQUEST, BOTH, 3)
    taken.add("once, JSON without a body", "once", world, header)
    world = World()
    header = world.header(REQUEST, BOTH, 5)
    taken.add("once, text that is not UTF-8", "once", world, header, {}, b"\xff\xfe")
    world = World()
    header = world.header(ACK, ACKED, sequence=7, receipt=2)
    taken.add("durable HANDLED", "durable", world, header, world.durable(ACK) | {12: 7})
    world = World()
    header = world.header(ACK, ACKED, sequence=7, receipt=2)
    taken.add("durable HANDLED again", "durable", world, header, world.durable(ACK) | {14: True})
    world = World()
    header = world.header(ERROR, ACKED, 1, sequence=1)
    known = world.durable(ERROR)
    taken.add("durable ERROR 4015", "durable", world, header, known, error_of(4015, 1))
    for encoding in (1, 2, 3):
        world = World()
        header = world.header(ERROR, ACKED, encoding, sequence=3)
        body = error_of(4014, encoding, "given up", 5)
        taken.add(f"durable ERROR, encoding {encoding}", "durable", world, header, world.durable(ERROR), body)


def signed_only(taken: Taken) -> None:
    for name, flow in (("messages", 4), ("answers", 2**63 - 1)):
        world = World()
        header = world.header(ACK, SIGNED, sequence=9, receipt=1, message_id=0)
        taken.add(f"stored, {name}", "stored", world, header, {3: flow})
    world = World()
    taken.add("pong", "pong", world, world.header(ACK, SIGNED))
    for encoding in (1, 2, 3):
        world = World()
        body = error_of(4001, encoding, "né\n" if encoding != 2 else "", 2**32 - 1)
        taken.add(f"notice, encoding {encoding}", "notice", world, world.header(ERROR, SIGNED, encoding), {}, body)
        world = World()
        header = world.header(ERROR, SIGNED, encoding)
        taken.add(f"notice 4015, encoding {encoding}", "notice", world, header, {3: 11}, error_of(4015, encoding))
    original = "0123456789abcdef"
    loose = {"error_code": 4999, "error_message": "m" * 1024, "original_message_id": original}
    extra = {"more": [1, {"deep": None}], **loose}
    signed = b"\xd1" + (4999).to_bytes(2, "big")
    whole = msgpack.packb(loose)
    signed_code = whole.replace(msgpack.packb(4999), signed)
    wide_code = whole.replace(msgpack.packb(4999), pack_uint(4999, 8))
    twice = b'{"more":1,"more":2.5,' + json.dumps(loose).encode()[1:]
    high = b"\x08" + protobuf.encode_varint(2**63 + 2**32 + 4999) + protobuf.encode("ErrorBody", loose)[3:]
    bodies = {
        "MessagePack without retry_after_ms": (1, msgpack.packb(loose)),
        "MessagePack with unknown fields": (1, msgpack.packb(extra)),
        "MessagePack with 64 entries": (1, msgpack.packb(loose | {f"k{n}": n for n in range(61)})),
        "MessagePack with a code in int 16": (1, signed_code),
        "MessagePack with a code in uint 64": (1, wide_code),
        "JSON with an unknown field twice": (3, twice),
        "Protocol Buffers, a varint above 32 bits": (2, high),
        "Protocol Buffers with an unknown group": (2, b"\x7b\x0a\x01x\x7c" + protobuf.encode("ErrorBody", loose)),
        "JSON with blanks and unknown fields": (3, b" " + json.dumps(extra, indent=1).encode() + b"\r\n"),
        "Protocol Buffers, last one wins": (
            2,
            protobuf.encode("ErrorBody", {"error_code": 1}) + protobuf.encode("ErrorBody", loose),
        ),
        "Protocol Buffers with an unknown field": (2, b"\x7a\x02hi" + protobuf.encode("ErrorBody", loose)),
    }
    for name, (encoding, body) in bodies.items():
        world = World()
        taken.add(f"notice, {name}", "notice", world, world.header(ERROR, SIGNED, encoding), {}, body)
    for size in (0, 1, 65536):
        world = World()
        header = world.header(PING, SIGNED, 4 if size else 0)
        taken.add(f"ping, {size} bytes", "ping", world, header, {}, os.urandom(size))
    world = World()
    header = world.header(PING, SIGNED)
    taken.add("ping with unknown keys", "ping", world, header, {0: None, 15: 1, 127: [b"x"]})
    world = World()
    header = world.header(ACK, SIGNED | 0x0018)
    taken.add("stream-end", "stream-end", world, header)
    world = World()
    header = world.header(ERROR, SIGNED | 0x0008, 1)
    taken.add("stream-abort", "stream-abort", world, header, {}, error_of(4004, 1))
    world = World()
    header = world.header(ERROR, SIGNED | 0x0008, 1)
    taken.add("stream-abort 4015", "stream-abort", world, header, {99: 1}, error_of(4015, 1))


def openers(taken: Taken) -> None:
    for name, type_ in (("REQUEST", REQUEST), ("RESPONSE", RESPONSE)):
        world = World()
        known = {6: os.urandom(8), 8: os.urandom(32)}
        taken.add(f"opener, {name}", "opener", world, world.header(type_, STREAM), known)
        world = World()
        known = {6: os.urandom(8), 7: 2**64 - 1, 8: os.urandom(32), 4: "file"}
        header = world.header(type_, STREAM, 4)
        taken.add(f"opener, {name}, with total length", "opener", world, header, known, b"", APPLICATION)


def forms(taken: Taken) -> None:
    """Metadata in other forms than an encoder's, headers at their edges."""
    for width in (1, 2, 4, 8):
        world = World()
        known = {3: 6, 12: 5, 2: world.now + HOUR, 13: True}
        packed = encode_metadata(known, widths={0: width, 3: width, 12: width})
        header = world.header(REQUEST, ACKED, 4, sequence=5)
        taken.add(f"uints of {width} bytes", "durable", world, header, known, b"x", packed=packed)
    world = World()
    wide = b"\xdf\0\0\0\1" + pack_uint(4) + b"\xdb\0\0\0\5hello"
    taken.add("map 32 and str 32", "once", world, world.header(REQUEST, BOTH, 4), {4: "hello"}, b"x", packed=wide)
    world = World()
    taken.add("an empty map", "once", world, world.header(REQUEST, BOTH), packed=b"\x80")
    world = World()
    taken.add("map 16, empty", "ping", world, world.header(PING, SIGNED), packed=b"\xde\0\0")
    world = World()
    many = {f"key {number}": number for number in range(64)}
    taken.add("64 entries", "once", world, world.header(REQUEST, BOTH), {}, b"", many)
    world = World()
    deep: Any = 1
    for _ in range(7):
        deep = [deep]
    taken.add("8 levels", "once", world, world.header(REQUEST, BOTH), {}, b"", {"deep": deep})
    world = World()
    full = {"k" * 128: b"\0" * (16384 - 1 - 130 - 3)}
    assert len(encode_metadata({}, full)) == 16384
    taken.add("16384 bytes of metadata", "once", world, world.header(RESPONSE, BOTH), {}, b"", full)
    world = World()
    known = {0: "zero", 15: True, 63: {"a": 1.5}, 80: [], 127: None, 4: "x"}
    taken.add("unknown keys", "once", world, world.header(REQUEST, BOTH), known)
    world = World()
    odd = {"a": {1: 2, "b": b"", -5: 1.25}}
    taken.add("any MessagePack under a str key", "once", world, world.header(REQUEST, BOTH), {}, b"", odd)
    world = World()
    floats = join_map([b"\xa1f" + b"\xca\x7f\xc0\0\0"])
    taken.add("a float NaN", "once", world, world.header(REQUEST, BOTH), packed=floats)
    taken.cases[-1]["metadata"] = {"application": {"f": "ca7fc00000"}}
    world = World()
    taken.add("flags of the high byte", "once", world, world.header(REQUEST, BOTH | 0xFF00, 4), {}, b"x")
    world = World()
    header = world.header(REQUEST, BOTH, 4, ttl=32, initial_ttl=32)
    taken.add("relayed 32 times", "once", world, header, {}, b"x", hops=32)
    world = World()
    taken.add("initial ttl 0", "ping", world, world.header(PING, SIGNED, ttl=0, initial_ttl=0))
    world = World()
    world.prekey = replace(world.prekey, not_after=world.now)
    taken.add("at not_after itself", "once", world, world.header(REQUEST, BOTH, 4), {}, b"x")
    world = World()
    header = world.header(REQUEST, BOTH, message_id=2**64 - 1, timestamp=0)
    taken.add("extreme id and timestamp", "once", world, header)


def sealed_forms(taken: Taken) -> None:
    """An ephemeral key with bit 255 set: ignored by X25519, but in the info as it came."""
    world = World()
    sealer = high_bit_sealer(world.prekey.public)
    taken.add("bit 255 of the ephemeral key", "once", world, world.header(REQUEST, BOTH, 4), {}, b"x", sealer=sealer)


def taken_cases() -> list[Case]:
    taken = Taken()
    once_and_durable(taken)
    signed_only(taken)
    openers(taken)
    forms(taken)
    sealed_forms(taken)
    return taken.cases
