"""Tests of headers, shapes, bodies, metadata and the events of the door."""

from __future__ import annotations

import json
import os
from typing import Any

import msgpack

from aicp_wire import bodies, door, error_body, frames, presence, protobuf, shapes
from aicp_wire.header import Header, judge, shape_outcome
from aicp_wire.metadata import encode_metadata, join_plain
from aicp_wire.refusal import Refused
from aicp_wire.shapes import ACK, BROADCAST, DOWN, ERROR, PING, REQUEST, RESPONSE, UP, WIRE
from selftest_parts import Base

DELIVERED = {65: "alice", 66: bytes(32), 67: "north", 69: 2, 70: 2**63, 72: 2}
DURABLY = DELIVERED | {2: 5, 64: 9, 68: 1, 74: 30000}


class Shapes(Base):
    def test_some_outcomes(self) -> None:
        expected = {
            (REQUEST, 0, 0, 0x03, WIRE): "once",
            (REQUEST, 0, 0, 0x02, WIRE): "unprotected",
            (REQUEST, 0, 1, 0x07, WIRE): "durable",
            (REQUEST, 0, 0, 0x07, WIRE): "shape",
            (REQUEST, 0, 0, 0x23, WIRE): "flags",
            (REQUEST, 0, 2, 0x19, WIRE): "chunk",
            (REQUEST, 0, 2, 0x0A, WIRE): "unprotected",
            (BROADCAST, 0, 0, 0x0B, WIRE): "shape",
            (ACK, 2, 4, 0x07, WIRE): "durable",
            (ACK, 3, 0, 0x02, WIRE): "receipt",
            (ACK, 0, 0, 0x09, WIRE): "chunk-ack",
            (ACK, 0, 0, 0x1A, WIRE): "stream-end",
            (PING, 0, 0, 0x03, WIRE): "shape",
            (ACK, 0, 0, 0x00, UP): "receipt",
            (ACK, 2, 0, 0x00, UP): "handled",
            (ACK, 2, 0, 0x00, DOWN): "told",
            (ACK, 2, 0, 0x04, DOWN): "durable",
            (ACK, 3, 0, 0x04, DOWN): "shape",
            (ERROR, 0, 0, 0x04, UP): "shape",
            (ERROR, 0, 0, 0x04, DOWN): "durable",
            (REQUEST, 0, 0, 0x02, DOWN): "shape",
            (0, 0, 0, 0x20, WIRE): "type",
            (7, 1, 0, 0x03, UP): "type",
            (PING, 1, 0, 0x02, WIRE): "receipt",
            (REQUEST, 0, 1, 0x00, UP): "shape",
            (REQUEST, 0, 1, 0x18, UP): "chunk",
            (ACK, 0, 0, 0x08, DOWN): "chunk-ack",
        }
        for arguments, outcome in expected.items():
            self.assertEqual(outcome, shape_outcome(*arguments), arguments)


class Headers(Base):
    def judge(self, where: str, type_: int, **more: Any) -> str:
        fields = {"source": b"s" * 32, "destination": b"d" * 32, "payload_length": 82, "type": type_} | more
        return judge(Header(**fields), where)

    def test_ids_of_zeros(self) -> None:
        zeros: dict[str, Any] = {"destination": bytes(32), "payload_length": 2}
        acked = {"flags": shapes.REQUIRES_ACK}
        self.refused("zero-id", lambda: self.judge(WIRE, PING, source=bytes(32), flags=2))
        self.refused("zero-id", lambda: self.judge(WIRE, PING, destination=bytes(32), flags=2))
        self.refused("zero-id", lambda: self.judge(DOWN, PING, source=bytes(32)))
        self.assertEqual("told", self.judge(DOWN, ACK, receipt=1, **zeros))
        self.assertEqual("durable", self.judge(UP, BROADCAST, **zeros, **acked))
        for type_ in (REQUEST, PING, BROADCAST):
            self.judge(UP, type_, **zeros)
        for type_ in (REQUEST, PING):
            self.judge(UP, type_, **zeros, source=bytes(32))
        for more in (
            {"type_": RESPONSE},
            {"type_": REQUEST} | acked,
            {"type_": REQUEST, "flags": shapes.STREAMING},
            {"type_": ACK, "receipt": 2},
            {"type_": ERROR, "content_type": 1},
            {"type_": BROADCAST, "source": bytes(32)},
        ):
            self.refused("zero-id", lambda: self.judge(UP, **more, **zeros))
        self.refused("zero-id", lambda: self.judge(UP, PING, source=bytes(32)))
        self.refused("zero-id", lambda: self.judge(UP, REQUEST, source=bytes(32), destination=b"d" * 32))

    def test_the_first_failing_line_decides(self) -> None:
        self.refused("zero-id", lambda: self.judge(WIRE, PING, source=bytes(32), flags=0))
        self.refused("shape", lambda: self.judge(UP, REQUEST, source=bytes(32), flags=2))
        self.refused("zero-id", lambda: self.judge(UP, BROADCAST, source=bytes(32), content_type=5, payload_length=0))
        self.refused("content-type", lambda: self.judge(WIRE, PING, flags=2, content_type=255, payload_length=0))
        self.refused("length", lambda: self.judge(WIRE, PING, flags=2, payload_length=81))
        self.refused("too-large", lambda: self.judge(WIRE, ACK, flags=2, payload_length=81))


class Metadata(Base):
    def read(self, shape: str, header: Header, plain: bytes, where: str = WIRE) -> presence.Content:
        return presence.read_content(header, shape, where, plain)

    def test_unknown_keys(self) -> None:
        ping = Header(type=PING)
        content = self.read("ping", ping, join_plain(encode_metadata({0: 1, 15: 2, 63: 3, 80: 4, 127: 5}), b""))
        self.assertEqual(({}, {0, 15, 63, 80, 127}), (content.metadata.known, content.metadata.ignored))

    def test_frames_of_streams_have_none(self) -> None:
        for shape, header in (
            ("chunk", Header(type=REQUEST, content_type=4)),
            ("chunk-ack", Header(type=ACK, content_type=4)),
            ("stream-end", Header(type=ACK)),
        ):
            self.assertEqual({}, self.read(shape, header, b"\0\0").metadata.described())
            self.refused("metadata-presence", self.read, shape, header, b"\0\1\x80")
        self.refused("body", self.read, "stream-end", Header(type=ACK), b"\0\0x")
        self.refused("length", self.read, "ping", Header(type=PING), b"\0")

    def test_as_the_vectors_write_it(self) -> None:
        door_keys = DURABLY | {71: True}
        header = Header(type=REQUEST, flags=shapes.REQUIRES_ACK)
        plain = join_plain(encode_metadata(door_keys | {11: "sum"}, {"k": [1]}), b"")
        expected = {
            "expiry": "5",
            "capability": "sum",
            "delivery_number": "9",
            "source_name": "alice",
            "source_node": "00" * 32,
            "source_node_name": "north",
            "attempt": 1,
            "hops": 2,
            "received": str(2**63),
            "marked": True,
            "proof": 2,
            "lease": "30000",
            "application": {"k": "9101"},
        }
        self.assertEqual(expected, self.read("durable", header, plain, DOWN).metadata.described())


class Bodies(Base):
    def test_error_bodies(self) -> None:
        error = error_body.ErrorBody(4009, "full", "00ff00ff00ff00ff", 250)
        for encoding in (1, 2, 3):
            self.assertEqual(error, error_body.decode_error(encoding, error.encode(encoding)))
        self.assertEqual("08a91f", error.encode(2).hex()[:6])
        written = error_body.ErrorBody(4001, 'é"\n', "0" * 16).encode(3)
        head = '{"error_code":4001,"error_message":"é\\"\\n","original_message_id":"0000000000000000",'
        self.assertEqual((head + '"retry_after_ms":0}').encode(), written)
        self.assertEqual(1, error_body.encoding_for(5))

    def test_forms_of_error_bodies(self) -> None:
        good: dict[str, Any] = {"error_code": 4001, "error_message": "", "original_message_id": "0" * 16}
        many = good | {f"k{number}": number for number in range(61)}
        self.assertEqual(4001, error_body.decode_error(1, msgpack.packb(many)).error_code)
        endless = json.dumps(good)[:-1] + ',"more":' + "9" * 5000 + "}"
        self.assertEqual(4001, error_body.decode_error(3, endless.encode()).error_code)
        for encoding, data in (
            (1, msgpack.packb(many | {"one": 1})),
            (1, msgpack.packb(good | {"error_code": 4001.0})),
            (3, json.dumps(good | {"error_code": 4001.0}).encode()),
            (3, json.dumps(good | {"error_code": True}).encode()),
            (2, protobuf.encode("ErrorBody", good) + b"\x0a\0"),
            (2, protobuf.encode("ErrorBody", good) + b"\x10\0"),
            (2, protobuf.encode("ErrorBody", good) + b"\x0b\x0c"),
        ):
            self.refused("error-body", error_body.decode_error, encoding, data)

    def test_door_bodies(self) -> None:
        values: dict[str, dict[str, Any]] = {
            "Attach": {"name": "alice", "capabilities": ["a", ""], "topics": []},
            "AttachReply": {
                "agent_id": "aicp1a",
                "node_id": "aicp1b",
                "node_name": "north",
                "lease_ms": 30000,
                "message_bytes_max": 2**33,
            },
            "Resolve": {"address": "alice@north"},
            "ResolveReply": {"agent_id": "x", "agent_name": "alice", "node_id": "y", "node_name": "north"},
        }
        for message, fields in values.items():
            for encoding in (1, 2, 3):
                data = bodies.encode(message, encoding, fields)
                self.assertEqual(fields, bodies.decode_door_body(message, encoding, data))
        self.assertEqual({"address": ""}, bodies.decode_door_body("Resolve", 3, b"{}"))
        for bad in (b"[]", b"{", b'{"address":1}', b'{"address":null}', b'{"address":"a","address":"a"}', b"\xff"):
            self.refused("body", bodies.decode_door_body, "Resolve", 3, bad)

    def test_json_levels(self) -> None:
        for levels, good in ((7, True), (8, False)):
            data = b'{"address":"[[","x":' + b"[" * levels + b"]" * levels + b"}"
            if good:
                self.assertEqual("[[", bodies.decode_door_body("Resolve", 3, data)["address"])
            else:
                self.refused("body", bodies.decode_door_body, "Resolve", 3, data)

    def test_protobuf(self) -> None:
        for value in (0, 1, 127, 128, 300, 2**32 - 1, 2**64 - 1):
            data = protobuf.encode_varint(value)
            self.assertEqual((value, len(data)), protobuf.decode_varint(data, 0))
        group = b"\x7b\x08\x05\x7c"
        self.assertEqual("x", protobuf.decode("Resolve", group + b"\x0a\x01x" + b"\x35\0\0\0\0")["address"])
        for bad in (b"\x08", b"\x0a\x02x", b"\x00\x01", b"\x0f", b"\x7b", b"\x7c", b"\xff" * 11, b"\x0a\x01\xff"):
            with self.assertRaises(protobuf.BadProtobuf, msg=bad):
                protobuf.decode("Resolve", bad)
        for bad in (b"\x08\0", b"\x0b\x0c"):  # a known field of another wire type
            with self.assertRaises(protobuf.BadProtobuf, msg=bad):
                protobuf.decode("Resolve", bad)


class Door(Base):
    def read(self, where: str, type_: int, known: dict[int, Any], **more: Any) -> frames.Frame:
        body = more.pop("body", b"")
        header = Header(type=type_, source=os.urandom(32), message_id=7, **more)
        return frames.read_door_frame(frames.make_door_frame(header, join_plain(encode_metadata(known), body)), where)

    def test_events(self) -> None:
        error = error_body.ErrorBody(4008, "", "0" * 16).encode(1)
        other, acked = {"destination": bytes([1]) * 32}, {"flags": shapes.REQUIRES_ACK}
        rows: list[tuple[str, str, int, dict[int, Any], dict[str, Any]]] = [
            ("attach", UP, REQUEST, {4: "agent.attach", 75: 1, 76: 2}, {}),
            ("detach", UP, REQUEST, {4: "agent.detach"}, {}),
            ("working", UP, REQUEST, {4: "agent.working", 64: 1}, {}),
            ("credit", UP, REQUEST, {4: "agent.credit", 75: 1, 76: 2}, {}),
            ("credit", DOWN, REQUEST, {4: "agent.credit", 75: 1, 76: 2}, {}),
            ("resolve", UP, REQUEST, {4: "agent.resolve"}, {}),
            ("order", UP, REQUEST, {4: "node.outbox.drop"}, {}),
            ("order", UP, REQUEST, {4: "node.clock.trust"}, {}),
            ("question", UP, REQUEST, {4: "node.outbox"}, {}),
            ("question", UP, REQUEST, {4: "node.status"}, {}),
            ("question", UP, REQUEST, {4: "other"}, {}),
            ("question", UP, REQUEST, {}, {}),
            ("submit", UP, REQUEST, {4: "agent.attach", 73: 0}, other),
            ("submit", UP, REQUEST, {13: True, 14: True, 73: 2}, other | acked),
            ("submit", UP, BROADCAST, {5: "t"}, other | acked),
            ("submit", UP, RESPONSE, {}, other),
            ("respond", UP, RESPONSE, {64: 1, 73: 1}, other | acked),
            ("ping", UP, PING, {}, other),
            ("handled", UP, ACK, {64: 1}, other | {"receipt": 2}),
            ("refuse", UP, ERROR, {64: 1}, other | {"content_type": 1, "body": error}),
            ("delivery", DOWN, REQUEST, DELIVERED, other),
            ("delivery", DOWN, REQUEST, DELIVERED | {4: "agent.credit"}, other),
            ("delivery", DOWN, RESPONSE, DELIVERED, other),
            ("answer", DOWN, RESPONSE, {}, other),
            ("answer", DOWN, RESPONSE, {}, {}),
            ("durable delivery", DOWN, REQUEST, DURABLY | {71: True}, other | acked),
            ("durable delivery", DOWN, ACK, DURABLY, other | acked | {"receipt": 2}),
            ("told", DOWN, ACK, {}, other | {"receipt": 3}),
            ("refused", DOWN, ERROR, {}, other | {"content_type": 1, "body": error}),
            ("pong", DOWN, ACK, {69: 1}, other),
        ]
        self.assertEqual({event.name for event in door.EVENTS}, {row[0] for row in rows})
        for event, where, type_, known, more in rows:
            self.assertEqual(event, self.read(where, type_, known, **more).content.event)

    def test_keys_that_must_not_stand(self) -> None:
        other: dict[str, Any] = {"destination": bytes([1]) * 32}
        for where, type_, known, more in (
            (UP, REQUEST, {64: 1}, {}),
            (UP, REQUEST, {77: 1}, {}),
            (UP, REQUEST, {12: 1}, {}),
            (UP, ACK, {}, {"receipt": 2}),
            (UP, RESPONSE, {}, {"flags": shapes.REQUIRES_ACK}),
            (DOWN, REQUEST, DELIVERED | {73: 1}, {}),
            (DOWN, REQUEST, DELIVERED | {3: 2}, {}),
            (DOWN, REQUEST, {}, {}),
            (DOWN, REQUEST, {4: "agent.credit", 65: "alice", 75: 1, 76: 1}, {}),
            (DOWN, RESPONSE, {65: "alice"}, {}),
            (DOWN, RESPONSE, {75: 1}, {}),
            (DOWN, PING, {65: "alice"}, {}),
            (DOWN, ACK, {70: 1}, {}),
            (DOWN, REQUEST, DELIVERED | {71: True}, {}),
            (UP, REQUEST, {4: "node.status", 73: 0}, {"destination": bytes(32)}),
            (UP, REQUEST, {4: "agent.credit", 75: 1}, {"destination": bytes(32)}),
        ):
            with self.assertRaises(Refused) as raised:
                self.read(where, type_, known, **(other | more))
            self.assertEqual("metadata-presence", raised.exception.reason, known)
        for key, value in ((73, 4), (64, "1"), (72, 0), (65, "Alice")):
            with self.assertRaises(Refused) as raised:
                self.read(UP if key == 73 else DOWN, REQUEST, (DURABLY if key != 73 else {}) | {key: value}, **other)
            self.assertEqual("metadata-value", raised.exception.reason, key)
