"""Reads back what make_frames makes, and checks the parts against known values and against the libraries."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import msgpack

import check_vectors
import faults
import make_frames
from aicp_wire import bodies, door, error_body, frames, ids, points, protobuf, records, sealing, shapes, signatures
from aicp_wire.header import Header, shape_outcome
from aicp_wire.metadata import encode_metadata, join_plain
from aicp_wire.refusal import Refused
from aicp_wire.shapes import ACK, BROADCAST, DOWN, ERROR, PING, REQUEST, RESPONSE, UP, WIRE
from aicp_wire.strict_msgpack import Malformed, walk

MADE = make_frames.make_file()["cases"]
DELIVERED = {65: "alice", 66: bytes(32), 67: "north", 69: 2, 70: 2**63, 72: 2}
DURABLY = DELIVERED | {2: 5, 64: 9, 68: 1, 74: 30000}


class Base(unittest.TestCase):
    def refused(self, reason: str, call: Any, *arguments: Any) -> None:
        with self.assertRaises(Refused) as raised:
            call(*arguments)
        self.assertEqual(reason, raised.exception.reason, raised.exception)


class MadeFrames(Base):
    def test_there_are_enough(self) -> None:
        refused = sum("refused" in case for case in MADE)
        self.assertGreaterEqual(refused, 30)
        self.assertGreaterEqual(len(MADE) - refused, 30)
        self.assertGreaterEqual(len(MADE), 60)

    def test_they_come_out(self) -> None:
        passed, failures = check_vectors.check_cases("frames.json", MADE)
        self.assertEqual((len(MADE), []), (passed, failures))

    def test_a_wrong_expectation_is_noticed(self) -> None:
        case = next(case for case in MADE if case["name"] == "once REQUEST, 1 KiB")
        for field, value in {"shape": "durable", "body": "00", "plain": "0000", "metadata": {"subject": "x"}}.items():
            changed = copy.deepcopy(case) | {field: value}
            self.assertEqual(0, check_vectors.check_cases("frames.json", [changed])[0], field)
        refused = next(case for case in MADE if case.get("refused") == "signature")
        self.assertEqual(0, check_vectors.check_cases("frames.json", [refused | {"refused": "key"}])[0])
        self.assertEqual(0, check_vectors.check_cases("frames.json", [refused | {"code": 4010}])[0])

    def test_a_directory_without_files_fails(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            passed, failures = check_vectors.check_directory(Path(directory))
        self.assertEqual((0, len(check_vectors.FILES)), (passed, len(failures)))


    def test_every_kind_of_file(self) -> None:
        signer, host = signatures.Signer(os.urandom(32)), signatures.Signer(os.urandom(32))
        prekey = os.urandom(32)
        record = {1: signer.public, 2: "a", 3: [], 4: [], 7: host.id, 8: [b"x"], 9: 1, 10: 2}
        made = records.make_record(records.AGENT, record, signer, host)
        front = Header(type=REQUEST, flags=4, source=signer.id, message_id=1)
        wire = Header(type=PING, flags=2, source=signer.id, destination=host.id, payload_length=82, sequence=0)
        error = error_body.ErrorBody(4001, "", "0" * 16)
        context = signatures.NODE_RECORD
        outcomes = " ".join(["receipt"] * 32 + ["flags"] * 224)
        files: dict[str, list[dict[str, Any]]] = {
            "keys.json": [
                {"seed": signer.seed.hex(), "public": signer.public.hex(), "text": ids.encode_id(signer.id)},
                {"public": bytes(32).hex(), "refused": "key", "code": 4002},
            ],
            "prekeys.json": [{"secret": prekey.hex(), "public": sealing.public_of(prekey).hex()}],
            "shapes.json": [
                {"type": 6, "receipt": 1, "sequence": 0, "door": UP, "outcomes": outcomes}
            ],
            "headers.json": [
                {"header": wire.pack().hex(), "door": WIRE, "shape": "ping", "flags": 2, "timestamp": "0"},
                {"header": "01", "door": WIRE, "refused": "short"},
            ],
            "frames.json": MADE[:1],
            "metadata.json": [
                {"plain": "0000", "header": wire.pack().hex(), "door": WIRE, "metadata": {}, "body": ""},
                {"plain": "0001", "header": wire.pack().hex(), "door": WIRE, "refused": "metadata-length"},
            ],
            "errors.json": [
                {"content_type": 1, "body": error.encode(1).hex(), **vars(error), "canonical": True},
                {"content_type": 3, "body": (error.encode(3) + b" ").hex(), **vars(error), "canonical": False},
                {"content_type": 2, "body": "", "refused": "error-body", "code": 4010},
            ],
            "records.json": [
                {
                    "record": made.hex(),
                    "host_public": host.public.hex(),
                    "kind": "agent",
                    "fields": {
                        "public_key": signer.public.hex(),
                        "name": "a",
                        "capabilities": [],
                        "topics": [],
                        "hosting_node": host.id.hex(),
                        "x_509_chain": ["78"],
                        "sequence": "1",
                        "expiry": "2",
                    },
                }
            ],
            "signatures.json": [
                {
                    "public": host.public.hex(),
                    "context": written,
                    "message": "00",
                    "signature": host.sign_in(context, b"\0").hex(),
                }
                for written in (context.hex(), context.decode())
            ],
            "local/frames.json": [
                {
                    "frame": frames.make_door_frame(front, b"\0\0").hex(),
                    "door": UP,
                    "shape": "durable",
                    "event": "submit",
                    "metadata": {},
                    "body": "",
                }
            ],
            "local/bodies.json": [
                {"message": "Resolve", "content_type": 2, "body": "0a0161", "fields": {"address": "a"}}
            ],
        }
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "local").mkdir()
            for file, cases in files.items():
                named = [{"name": str(number), **case} for number, case in enumerate(cases)]
                Path(directory, file).write_text(json.dumps({"about": "", "cases": named}))
            self.assertEqual((sum(map(len, files.values())), []), check_vectors.check_directory(Path(directory)))


class Points(Base):
    def test_small_order_is_refused(self) -> None:
        encodings = {points.encode(point) for point in faults.TORSION}
        self.assertEqual(8, len(encodings))
        for encoding in encodings:
            self.refused("key", points.admit, encoding)

    def test_mixed_order_and_other_forms_are_refused(self) -> None:
        for key in faults.bad_keys().values():
            self.refused("key", points.admit, key.public)
        for encoding in (points.P.to_bytes(32, "little"), b"\xff" * 32, (2).to_bytes(32, "little")):
            self.refused("key", points.admit, encoding)

    def test_arithmetic_agrees_with_the_library(self) -> None:
        for _ in range(5):
            signer = signatures.Signer(os.urandom(32))
            self.assertEqual(signer.public, points.encode(points.multiply(signer.scalar, points.BASE)))
            signatures.verify(signer.public, b"message", signer.sign(b"message"))
            self.refused("signature", signatures.verify, signer.public, b"massage", signer.sign(b"message"))

    def test_rfc_8032_first_vector(self) -> None:
        signer = signatures.Signer(
            bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        )
        self.assertEqual("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", signer.public.hex())
        self.assertTrue(signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a"))


class Ids(Base):
    def test_round_trip(self) -> None:
        identity = os.urandom(32)
        text = ids.encode_id(identity)
        self.assertEqual(63, len(text))
        self.assertEqual(identity, ids.decode_id(text))
        self.assertEqual(identity, ids.decode_id(text.upper()))
        self.assertEqual(f"{text[:9]}…{text[-4:]}", ids.short_id(identity))

    def test_checksum_of_bip_350(self) -> None:
        data = [ids.ALPHABET.index(c) for c in "lqfn3a"]
        self.assertEqual(ids.BECH32M, ids._polymod(ids._expanded("a") + data))

    def test_faults(self) -> None:
        text = ids.encode_id(os.urandom(32))
        swapped = text[:-1] + ("q" if text[-1] != "q" else "p")
        for bad in (swapped, text[:-1], text + "q", text.replace("aicp", "aicq"), text[:20] + text[20:].upper(), "b"):
            self.refused("id-text", ids.decode_id, bad)


class MessagePack(Base):
    def test_agrees_with_the_library(self) -> None:
        value = {"a": [1, -1, 2**64 - 1, -(2**63), 1.5, None, True, b"x" * 300, "y" * 70000], "b": {3: []}}
        self.assertEqual("map", walk(msgpack.packb(value)).kind)
        for number in (0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1):
            self.assertEqual(number, walk(msgpack.packb(number)).value)
            self.assertEqual("uint", walk(msgpack.packb(number)).kind)

    def test_faults(self) -> None:
        for bad in ("", "c1", "d40100", "c70000", "a1ff", "91", "ddffffffff", "c000", "c6ffffffff", "91" * 9 + "c0"):
            with self.assertRaises(Malformed, msg=bad):
                walk(bytes.fromhex(bad))


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
        }
        for arguments, outcome in expected.items():
            self.assertEqual(outcome, shape_outcome(*arguments), arguments)


class Bodies(Base):
    def test_error_bodies(self) -> None:
        error = error_body.ErrorBody(4009, "full", "00ff00ff00ff00ff", 250)
        for encoding in (1, 2, 3):
            self.assertEqual(error, error_body.decode_error(encoding, error.encode(encoding)))
        self.assertEqual("08a91f", error.encode(2).hex()[:6])

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


class Records(Base):
    def setUp(self) -> None:
        self.agent, self.host = signatures.Signer(os.urandom(32)), signatures.Signer(os.urandom(32))
        self.values: dict[int, Any] = {1: self.agent.public, 2: "alice", 3: ["sum"], 4: [], 7: self.host.id}
        self.values |= {5: os.urandom(32), 6: 2**60, 9: 2**63, 10: 2**64 - 1}
        self.node = {1: self.host.public, 2: "north", 9: 1, 10: 2, 11: ["host:7400", "[::1]:1"], 12: [bytes(32)]}

    def read(self, values: dict[int, Any]) -> records.Record:
        data = records.make_record(records.AGENT, values, self.agent, self.host)
        return records.read_record(data, self.host.public)

    def test_round_trip(self) -> None:
        self.assertEqual(self.values, self.read(self.values | {99: {"new": 1}}).values)
        made = records.make_record(records.NODE, self.node, self.host)
        self.assertEqual(self.node, records.read_record(made).values)

    def test_faults(self) -> None:
        without_prekey = {key: value for key, value in self.values.items() if key != 5}
        for change in ({2: "Alice"}, {3: ["a"] * 33}, {11: []}, {8: []}, {9: -1}):
            self.refused("record-value", self.read, self.values | change)
        self.refused("record-value", self.read, without_prekey)
        self.refused("record-form", self.read, self.values | {128: 1})
        self.refused("key", self.read, self.values | {1: bytes(32)})
        self.refused("countersignature", self.read, self.values | {7: bytes(32)})
        good = records.make_record(records.AGENT, self.values, self.agent, self.host)
        for at, reason in ((-1, "countersignature"), (-65, "record-signature"), (0, "record-form")):
            flipped = bytearray(good)
            flipped[at] ^= 0x10
            self.refused(reason, records.read_record, bytes(flipped), self.host.public)
        self.refused("record-form", records.read_record, good + b"\0", self.host.public)
        for address in ("host", "host:", ":1", "host:0", "host:65536", "::1:80", "[::g]:1", "host:+1"):
            values = self.node | {11: [address]}
            self.refused("record-value", records.read_record, records.make_record(records.NODE, values, self.host))


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
            ("other questions to the node", UP, REQUEST, {4: "node.status"}, {}),
            ("submit", UP, REQUEST, {4: "agent.attach", 73: 0}, other),
            ("submit", UP, REQUEST, {13: True, 14: True, 73: 2}, other | acked),
            ("submit", UP, BROADCAST, {5: "t"}, other | acked),
            ("submit", UP, RESPONSE, {}, other),
            ("respond to a durable REQUEST", UP, RESPONSE, {64: 1, 73: 1}, other | acked),
            ("ping", UP, PING, {}, other),
            ("handled", UP, ACK, {64: 1}, other | {"receipt": 2}),
            ("refuse", UP, ERROR, {64: 1}, other | {"content_type": 1, "body": error}),
            ("delivery", DOWN, REQUEST, DELIVERED, other),
            ("delivery that must be acknowledged", DOWN, REQUEST, DURABLY | {71: True}, other | acked),
            ("delivery that must be acknowledged", DOWN, ACK, DURABLY, other | acked | {"receipt": 2}),
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
        ):
            with self.assertRaises(Refused) as raised:
                self.read(where, type_, known, **other, **more)
            self.assertEqual("metadata-presence", raised.exception.reason, known)
        for key, value in ((73, 4), (64, "1"), (72, 0), (65, "Alice")):
            with self.assertRaises(Refused) as raised:
                self.read(UP if key == 73 else DOWN, REQUEST, (DURABLY if key != 73 else {}) | {key: value}, **other)
            self.assertEqual("metadata-value", raised.exception.reason, key)


if __name__ == "__main__":
    unittest.main()
