"""Tests of points, signatures, ids, MessagePack, prekeys and records."""

from __future__ import annotations

import os
import unittest
from typing import Any

import msgpack

import faults
from aicp_wire import ids, points, records, sealing, signatures
from aicp_wire.refusal import Refused
from aicp_wire.strict_msgpack import Malformed, walk


class Base(unittest.TestCase):
    def refused(self, reason: str, call: Any, *arguments: Any) -> None:
        with self.assertRaises(Refused) as raised:
            call(*arguments)
        self.assertEqual(reason, raised.exception.reason, raised.exception)


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


class Sealing(Base):
    def test_bit_255_is_ignored_by_the_exchange(self) -> None:
        secret, public = os.urandom(32), bytearray(sealing.public_of(os.urandom(32)))
        shared = sealing.shared_secret(secret, bytes(public))
        public[31] |= 0x80
        self.assertEqual(shared, sealing.shared_secret(secret, bytes(public)))

    def test_small_order(self) -> None:
        for u in faults.SMALL_U.values():
            self.refused("shared-secret", sealing.shared_secret, os.urandom(32), u)

    def test_age(self) -> None:
        prekey = sealing.Prekey(os.urandom(32), 100)
        self.assertEqual(prekey, sealing.choose_prekey(prekey.id, [prekey], 100))
        self.refused("expired-prekey", sealing.choose_prekey, prekey.id, [prekey], 101)
        self.refused("unknown-prekey", sealing.choose_prekey, bytes(4), [prekey], 101)


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
        for addresses in ([""], ["a\n"], ["a" * 256], ["a:1"] * 17, "a:1", [b"a:1"]):
            values = self.node | {11: addresses}
            self.refused("record-value", records.read_record, records.make_record(records.NODE, values, self.host))
        with self.assertRaises(ValueError):
            records.read_record(good)

    def test_addresses_are_judged_when_they_are_dialled(self) -> None:
        values = self.node | {11: ["host", ":1", "host:65536", "[::g]:1"]}
        self.assertEqual(values, records.read_record(records.make_record(records.NODE, values, self.host)).values)

    def test_order_of_keys(self) -> None:
        self.assertEqual(self.values, self.read(self.values | {0: None}).values)
        body = b"\x82" + b"\x02\xa1a" + b"\x01\xc4\x20" + self.agent.public
        data = b"\1" + len(body).to_bytes(2, "big") + body + bytes(128)
        self.refused("record-form", records.read_record, data, self.host.public)
