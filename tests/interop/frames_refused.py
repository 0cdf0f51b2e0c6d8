"""Frames that must be refused, with one fault each."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import msgpack

import faults
from aicp_wire import frames, shapes
from aicp_wire.header import Header
from aicp_wire.metadata import encode_metadata, join_map, join_plain
from aicp_wire.protobuf import encode as encode_protobuf
from aicp_wire.refusal import CODES
from aicp_wire.sealing import Prekey
from aicp_wire.shapes import ACK, BROADCAST, ERROR, PING, REQUEST, RESPONSE
from frame_world import ACKED, BOTH, SIGNED, STREAM, Case, World, error_of, plain_of


def long_error(size: int) -> bytes:
    """The body of an ERROR in JSON, without a fault but its size."""
    body = error_of(4001, 3)
    return body + b" " * (size - len(body))


class Refusals:
    """Collects the cases."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def add(self, reason: str, name: str, world: World, header: Header, frame: bytes) -> None:
        case: Case = {"name": name, **world.given(header, frame)}
        code = CODES[reason]
        self.cases.append(case | {"refused": reason} | ({} if code is None else {"code": code}))

    def plain(self, reason: str, name: str, world: World, header: Header, plain: bytes) -> None:
        """A frame that is sealed and signed as it should be."""
        self.add(reason, name, world, header, world.frame(header, plain))


def header_faults(out: Refusals) -> None:
    notice = plain_of({}, error_of(4001, 1))
    faulty: list[tuple[str, str, int, int, dict[str, Any]]] = [
        ("version", "version 2", PING, SIGNED, {"version": 2}),
        ("type", "type 0", 0, SIGNED, {}),
        ("type", "type 7", 7, SIGNED, {}),
        ("flags", "flag 0x0020", PING, SIGNED | 0x20, {}),
        ("flags", "flag 0x0080", REQUEST, BOTH | 0x80, {}),
        ("hops", "ttl above initial ttl", PING, SIGNED, {"ttl": 5, "initial_ttl": 4}),
        ("hops", "initial ttl 33", PING, SIGNED, {"ttl": 1, "initial_ttl": 33}),
        ("content-type", "content type 6", PING, SIGNED, {"content_type": 6}),
        ("content-type", "content type 254", PING, SIGNED, {"content_type": 254}),
        ("content-type", "a PING with content type 255", PING, SIGNED, {"content_type": 255}),
        ("content-type", "a pong with a content type", ACK, SIGNED, {"content_type": 4, "plain": b""}),
        ("content-type", "a stream-end with a content type", ACK, SIGNED | 0x18, {"content_type": 4}),
        (
            "content-type",
            "a STORED with a content type",
            ACK,
            SIGNED,
            {"content_type": 1, "receipt": 1, "sequence": 1, "plain": plain_of({3: 2})},
        ),
        ("content-type", "a notice in text", ERROR, SIGNED, {"content_type": 5, "plain": notice}),
        ("content-type", "a notice without one", ERROR, SIGNED, {"plain": notice}),
        ("receipt", "a receipt in a PING", PING, SIGNED, {"receipt": 1}),
        ("receipt", "ACCEPTED on the wire", ACK, SIGNED, {"receipt": 3, "plain": b""}),
        ("zero-id", "destination of zeros", PING, SIGNED, {"destination": bytes(32)}),
        ("shape", "a PING that requires an ACK", PING, SIGNED | shapes.REQUIRES_ACK, {"sequence": 1}),
        ("shape", "a place without REQUIRES_ACK", REQUEST, BOTH, {"sequence": 1}),
        ("shape", "REQUIRES_ACK without a place", REQUEST, ACKED, {}),
        ("shape", "HANDLED outside of a flow", ACK, SIGNED, {"receipt": 2}),
        ("shape", "an encrypted PING", PING, BOTH, {}),
        ("unprotected", "a REQUEST that is only signed", REQUEST, SIGNED, {}),
        ("unprotected", "a PING that is not signed", PING, 0, {}),
    ]
    for reason, name, type_, flags, more in faulty:
        world = World()
        content_type = more.pop("content_type", 0)
        plain = more.pop("plain", plain_of({}))
        header = world.header(type_, flags, content_type, **more)
        out.plain(reason, name, world, header, plain)
    world = World()
    header = world.header(PING, SIGNED)
    frame = world.frame(header, plain_of({}))
    out.add("short", "nothing at all", world, header, b"")
    out.add("short", "95 bytes", world, header, frame[:95])
    out.add("short", "the last byte is missing", world, header, frame[:-1])
    out.add("length", "a byte after the frame", world, header, frame + b"\0")
    out.plain("length", "a PING without a metadata length", world, header, b"")
    header = world.header(ACK, SIGNED)
    out.plain("too-large", "a pong with a metadata length", world, header, plain_of({}))
    header = world.header(ERROR, SIGNED, 1)
    full = encode_metadata({15: bytes(16384 - 5)})
    assert len(full) == 16384
    out.plain("too-large", "a notice above its most", world, header, join_plain(full, long_error(65537)))


def signature_faults(out: Refusals) -> None:
    world = World()
    header = world.header(PING, SIGNED, 4)
    frame = world.frame(header, plain_of({}, b"body"))
    for name, at in {
        "message id": 9,
        "timestamp": 17,
        "high flags": 86,
        "initial ttl": 90,
        "body": 98,
        "R": -80,
        "S": -48,
        "nonce": -1,
    }.items():
        flipped = bytearray(frame)
        flipped[at] ^= 1 if name != "initial ttl" else 8
        out.add("signature", f"a flipped bit in {name}", world, header, bytes(flipped))
    other = World()
    other.public = world.public
    out.add("wrong-key", "the key of somebody else", other, header, other.frame(header, plain_of({})))
    sealed = World()
    header = sealed.header(REQUEST, BOTH, 4)
    flipped = bytearray(sealed.frame(header, plain_of({}, b"body")))
    flipped[96 + 36] ^= 1
    out.add("signature", "a flipped bit in the sealed body", sealed, header, bytes(flipped))
    for name, signer in {
        "S + L": faults.HighS(os.urandom(32)),
        "R is the identity": faults.FixedR(faults.IDENTITY_BYTES),
        "R is not canonical": faults.FixedR(faults.IDENTITY_NOT_CANONICAL),
        "R with a torsion part": faults.TorsionInR(os.urandom(32)),
    }.items():
        world = World(signer)
        out.plain("signature", name, world, world.header(PING, SIGNED), plain_of({}))
    for name, key in faults.bad_keys().items():
        world = World(key)
        out.plain("key", f"a key {name}", world, world.header(PING, SIGNED), plain_of({}))


def sealing_faults(out: Refusals) -> None:
    for name, u in faults.SMALL_U.items():
        world = World()
        header = world.header(REQUEST, BOTH, 4)
        sealer = faults.small_ephemeral(u, world.prekey.public)
        frame = frames.make_wire_frame(header, plain_of({}, b"x"), world.signer, sealer=sealer)
        out.add("shared-secret", f"an ephemeral key of small order, {name}", world, header, frame)
    for fault in ("a bit of the tag", "a bit of the ciphertext", "ends swapped", "salt of zeros", "ttl in the aad"):
        world = World()
        header = world.header(REQUEST, BOTH, 4)
        sealer = faults.bad_sealer(world.prekey.public, fault)
        frame = frames.make_wire_frame(header, plain_of({}, b"x"), world.signer, sealer=sealer)
        out.add("seal", f"sealed with {fault}", world, header, frame)
    world = World()
    header = world.header(REQUEST, BOTH, 4)
    frame = world.frame(header, plain_of({}, b"x"))
    world.prekey = Prekey(os.urandom(32), world.prekey.not_after)
    out.add("unknown-prekey", "another prekey", world, header, frame)
    world = World()
    world.prekey = replace(world.prekey, not_after=world.now - 1)
    header = world.header(RESPONSE, ACKED, 4, sequence=1)
    out.plain("expired-prekey", "one nanosecond late", world, header, plain_of(world.durable(RESPONSE), b"x"))


def form_faults(out: Refusals) -> None:
    """Metadata bytes, each in a once REQUEST."""
    deep: Any = 1
    for _ in range(8):
        deep = [deep]
    value = msgpack.packb(1)
    packed: list[tuple[str, str, bytes]] = [
        ("metadata-form", "9 levels", encode_metadata({}, {"deep": deep})),
        ("metadata-form", "an extension type", join_map([b"\xa1x\xd4\x01\x00"])),
        ("metadata-form", "a timestamp extension", join_map([b"\xa1x\xd6\xff\0\0\0\0"])),
        ("metadata-form", "the byte 0xc1", join_map([b"\xa1x\xc1"])),
        ("metadata-form", "an array", b"\x90"),
        ("metadata-form", "bytes left over", b"\x80\xc0"),
        ("metadata-form", "cut short", b"\x81\x04"),
        ("metadata-form", "a map 32 of many entries", b"\xdf\xff\xff\xff\xff"),
        ("metadata-form", "a bin 32 longer than what is there", join_map([b"\xa1x\xc6\xff\xff\xff\xff"])),
        ("metadata-form", "a str that is not UTF-8, deep", join_map([b"\xa1x\x91\xa1\xff"])),
        ("metadata-form", "a surrogate in a str", join_map([b"\xa1x\xa3\xed\xa0\x80"])),
        ("metadata-key", "a str key twice", join_map([b"\xa1x" + value, b"\xd9\x01x" + value])),
        ("metadata-key", "an uint key twice, of two widths", join_map([b"\x04\xa1a", b"\xcc\x04\xa1b"])),
        ("metadata-key", "an unknown key twice", join_map([b"\x20\xc0", b"\x20\xc0"])),
        ("metadata-key", "key 0 twice", join_map([b"\x00\xc0", b"\xcc\x00\xc0"])),
        ("metadata-key", "key 128", join_map([b"\xcc\x80" + value])),
        ("metadata-key", "a key in a signed format", join_map([b"\xd0\x04\xa1a"])),
        ("metadata-key", "a negative key", join_map([b"\xff" + value])),
        ("metadata-key", "an empty str key", join_map([b"\xa0" + value])),
        ("metadata-key", "a str key of 129 bytes", join_map([b"\xd9\x81" + b"k" * 129 + value])),
        ("metadata-key", "a bin key", join_map([b"\xc4\x01x" + value])),
        ("metadata-key", "65 entries", encode_metadata({}, {f"k{n}": n for n in range(65)})),
        ("metadata-value", "an empty subject", encode_metadata({4: ""})),
        ("metadata-value", "a subject of 256 bytes", encode_metadata({4: "s" * 256})),
        ("metadata-value", "a subject with U+0085", encode_metadata({4: "a\x85"})),
        ("metadata-value", "a subject that is a bin", encode_metadata({4: b"x"})),
        ("metadata-value", "an expiry in a signed format", join_map([b"\x02\xd3\0\0\0\0\0\0\0\1"])),
        ("metadata-value", "a session id of 65 bytes", encode_metadata({10: "s" * 65})),
        ("metadata-presence", "a flow id in a once", encode_metadata({3: 2})),
        ("metadata-presence", "HANDLED wanted in a once", encode_metadata({13: True})),
        ("metadata-presence", "AGAIN in a once", encode_metadata({14: True})),
        ("metadata-presence", "a topic in a REQUEST", encode_metadata({5: "t"})),
        ("metadata-presence", "a name of the content type", encode_metadata({1: "text/plain"})),
        ("metadata-presence", "key 65 on the wire", encode_metadata({65: "alice"})),
        ("metadata-presence", "key 79 on the wire", encode_metadata({79: 1})),
    ]
    for reason, name, data in packed:
        world = World()
        out.plain(reason, name, world, world.header(REQUEST, BOTH), join_plain(data, b""))
    for name, length in (("above what is there", 3), ("above 16384", 16385)):
        world = World()
        plain = length.to_bytes(2, "big") + bytes(2 if length == 3 else 16385)
        out.plain("metadata-length", f"a metadata length {name}", world, world.header(REQUEST, BOTH, 4), plain)


def presence_faults(out: Refusals) -> None:
    """Durable frames without a key that must stand, or with one that must not; the same for the other shapes."""
    for key, name in ((2, "expiry"), (3, "flow id"), (12, "floor"), (13, "HANDLED wanted")):
        world = World()
        known = world.durable(REQUEST)
        del known[key]
        header = world.header(REQUEST, ACKED, 4, sequence=1)
        out.plain("metadata-presence", f"a durable REQUEST without {name}", world, header, plain_of(known, b"x"))
    stream_keys = {6: os.urandom(8), 8: os.urandom(32)}
    stored = {"receipt": 1, "sequence": 1}
    wrong: list[tuple[str, str, int, int, int, dict[str, int], dict[int, Any], dict[str, Any]]] = [
        ("metadata-presence", "a BROADCAST without a topic", BROADCAST, BOTH, 0, {}, {}, {}),
        ("metadata-presence", "255 without a name", REQUEST, BOTH, 255, {}, {}, {}),
        ("metadata-presence", "a STORED without a flow id", ACK, SIGNED, 0, stored, {}, {}),
        ("metadata-presence", "an opener without a secret", REQUEST, STREAM, 4, {}, {6: bytes(8)}, {}),
        ("metadata-presence", "a ping with a subject", PING, SIGNED, 0, {}, {4: "x"}, {}),
        ("metadata-presence", "a ping with a str key", PING, SIGNED, 0, {}, {}, {"x": 1}),
        ("metadata-presence", "an opener with an expiry", REQUEST, STREAM, 4, {}, stream_keys | {2: 5}, {}),
        ("metadata-presence", "a STORED with a str key", ACK, SIGNED, 0, stored, {3: 2}, {"x": 1}),
        ("metadata-value", "a stream id of 7 bytes", REQUEST, STREAM, 4, {}, stream_keys | {6: bytes(7)}, {}),
    ]
    for reason, name, type_, flags, content_type, more, known, application in wrong:
        world = World()
        header = world.header(type_, flags, content_type, **more)
        out.plain(reason, name, world, header, plain_of(known, b"", application))
    values: list[tuple[str, int, dict[int, Any]]] = [
        ("a floor above the sequence", REQUEST, {12: 6}),
        ("a floor of zero", REQUEST, {12: 0}),
        ("a flow id of answers in a REQUEST", REQUEST, {3: 3}),
        ("a flow id of messages in a RESPONSE", RESPONSE, {3: 4}),
        ("a flow id of zero", REQUEST, {3: 0}),
        ("a flow id of 2^63", REQUEST, {3: 2**63}),
        ("HANDLED wanted is false", REQUEST, {13: False}),
    ]
    for name, type_, known in values:
        world = World()
        header = world.header(type_, ACKED, 4, sequence=5)
        out.plain("metadata-value", name, world, header, plain_of(world.durable(type_) | known, b"x"))
    world = World()
    header = world.header(RESPONSE, ACKED, 4, sequence=1)
    known = world.durable(RESPONSE) | {13: True}
    out.plain("metadata-presence", "HANDLED wanted in a RESPONSE", world, header, plain_of(known, b"x"))


def body_faults(out: Refusals) -> None:
    world = World()
    out.plain("body", "a body without a content type", world, world.header(REQUEST, BOTH), plain_of({}, b"x"))
    header = world.header(ACK, ACKED, sequence=1, receipt=2)
    out.plain("body", "a HANDLED with a body", world, header, plain_of(world.durable(ACK), b"x"))
    known = {6: os.urandom(8), 8: os.urandom(32)}
    out.plain("body", "an opener with a body", world, world.header(REQUEST, STREAM, 4), plain_of(known, b"x"))
    header = world.header(ERROR, SIGNED, 3)
    out.plain("too-large", "a body of 65537 bytes in an ERROR", world, header, plain_of({}, long_error(65537)))
    header = world.header(PING, SIGNED, 4)
    out.plain("too-large", "a body of 65537 bytes in a PING", world, header, plain_of({}, bytes(65537)))
    good = {"error_code": 4001, "error_message": "", "original_message_id": "0" * 16}
    bodies: list[tuple[str, int, bytes]] = [
        ("an empty body", 1, b""),
        ("code 3999", 1, msgpack.packb(good | {"error_code": 3999})),
        ("code 6000", 2, encode_protobuf("ErrorBody", good | {"error_code": 6000})),
        ("a long message", 1, msgpack.packb(good | {"error_message": "m" * 1025})),
        ("uppercase hex", 1, msgpack.packb(good | {"original_message_id": "A" * 16})),
        ("no message id", 2, encode_protobuf("ErrorBody", {"error_code": 4001})),
        ("no message", 3, b'{"error_code":4001,"original_message_id":"0000000000000000"}'),
        ("bytes left over", 1, msgpack.packb(good) + b"\xc0"),
        ("a doubled field", 3, b'{"error_code":4001,' + error_of(4001, 3)[1:]),
        ("a negative advice", 1, msgpack.packb(good | {"retry_after_ms": -1})),
        ("an advice of 2^32", 3, error_of(4009, 3, retry=2**32)),
        ("a code that is a float", 1, msgpack.packb(good | {"error_code": 4001.0})),
        ("a code that is a float in JSON", 3, json.dumps(good | {"error_code": 4001.0}).encode()),
        ("a code with an exponent", 3, json.dumps(good).replace("4001", "4001e0").encode()),
        ("an advice of null", 3, json.dumps(good | {"retry_after_ms": None}).encode()),
        ("an advice of nil", 1, msgpack.packb(good | {"retry_after_ms": None})),
        ("a message that is a bin", 1, msgpack.packb(good | {"error_message": b"x"})),
        ("a message that is not UTF-8", 2, encode_protobuf("ErrorBody", good) + b"\x12\x01\xff"),
        ("a known field of another wire type", 2, encode_protobuf("ErrorBody", good) + b"\x25\0\0\0\0"),
        ("a known field that is a group", 2, encode_protobuf("ErrorBody", good) + b"\x23\x24"),
        ("a group that is not closed", 2, encode_protobuf("ErrorBody", good) + b"\x7b"),
        ("65 entries", 1, msgpack.packb(good | {f"k{n}": n for n in range(62)})),
        ("an unknown key twice", 1, b"\x85\xa1x\xc0\xa1x\xc0" + msgpack.packb(good)[1:]),
        ("a key that is no string", 1, b"\x84\x01\xc0" + msgpack.packb(good)[1:]),
        ("an extension type", 1, b"\x84\xa1x\xd4\1\0" + msgpack.packb(good)[1:]),
        ("9 levels", 3, b'{"x":' + b"[" * 8 + b"]" * 8 + b"," + json.dumps(good).encode()[1:]),
        ("an array", 3, b"[]"),
        ("a comma too many", 3, json.dumps(good).encode()[:-1] + b",}"),
        ("content of another encoding", 3, msgpack.packb(good)),
    ]
    for name, encoding, body in bodies:
        world = World()
        out.plain("error-body", f"ERROR: {name}", world, world.header(ERROR, SIGNED, encoding), plain_of({}, body))
    world = World()
    header = world.header(ERROR, SIGNED, 1)
    out.plain("metadata-presence", "4015 without a flow id", world, header, plain_of({}, error_of(4015, 1)))
    out.plain("metadata-presence", "4001 with a flow id", world, header, plain_of({3: 2}, error_of(4001, 1)))


def refused_cases() -> list[Case]:
    out = Refusals()
    header_faults(out)
    signature_faults(out)
    sealing_faults(out)
    form_faults(out)
    presence_faults(out)
    body_faults(out)
    return out.cases
