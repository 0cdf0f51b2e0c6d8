"""Reads back what make_frames makes, checks a directory of vectors of every kind, and runs the tests of the parts."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import check_vectors
import make_frames
import selftest_door
import selftest_parts
from aicp_wire import error_body, frames, ids, records, sealing, signatures
from aicp_wire.header import Header
from aicp_wire.shapes import PING, REQUEST, UP, WIRE
from selftest_parts import Base

MADE_FILE = make_frames.make_file()
MADE = MADE_FILE["cases"]


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

    def test_the_size_of_the_file(self) -> None:
        self.assertLess(len(make_frames.write_file(MADE_FILE)), make_frames.BYTES_MOST)


class Vectors(Base):
    """A directory with a case or two of every kind, in exactly the form of section 15."""

    def setUp(self) -> None:
        signer, host = signatures.Signer(os.urandom(32)), signatures.Signer(os.urandom(32))
        prekey = os.urandom(32)
        record = {1: signer.public, 2: "a", 3: [], 4: [], 7: host.id, 8: [b"x"], 9: 1, 10: 2}
        made = records.make_record(records.AGENT, record, signer, host)
        fields = {"public_key": signer.public.hex(), "name": "a", "capabilities": [], "topics": []}
        fields |= {"host": host.id.hex(), "chain": ["78"], "sequence": "1", "expiry": "2"}
        wire = Header(type=PING, flags=2, source=signer.id, destination=host.id, payload_length=82)
        submitted = Header(type=REQUEST, flags=4, source=signer.id, destination=host.id, message_id=1)
        opened = Header(type=REQUEST, flags=8, source=signer.id, destination=host.id)
        error = error_body.ErrorBody(4001, "", "0" * 16)
        plain = {"header": wire.pack().hex(), "door": WIRE}
        context = signatures.NODE_RECORD
        public = host.public.hex()
        digest = os.urandom(32)
        nothing = {"metadata": {}, "body": ""}
        self.files: dict[str, list[dict[str, Any]]] = {
            "keys.json": [
                {
                    "seed": signer.seed.hex(),
                    "public": signer.public.hex(),
                    "id": signer.id.hex(),
                    "text": ids.encode_id(signer.id),
                },
                {"public": bytes(32).hex(), "refused": "key", "code": 4002},
            ],
            "prekeys.json": [
                {
                    "secret": prekey.hex(),
                    "public": sealing.public_of(prekey).hex(),
                    "id": sealing.prekey_id(sealing.public_of(prekey)).hex(),
                }
            ],
            "shapes.json": [
                {
                    "type": 6,
                    "receipt": 1,
                    "sequence": 0,
                    "door": UP,
                    "outcomes": " ".join(["receipt"] * 32 + ["flags"] * 224),
                }
            ],
            "headers.json": [
                {"header": wire.pack().hex(), "door": WIRE, "shape": "ping", **wire.described()},
                {"header": "01", "door": WIRE, "refused": "short"},
            ],
            "frames.json": MADE[:1],
            "metadata.json": [
                {"plain": "0000", **plain, **nothing},
                {"plain": "0001", **plain, "refused": "metadata-length", "code": 4010},
            ],
            "errors.json": [
                {"content_type": 1, "body": error.encode(1).hex(), **vars(error), "canonical": True},
                {"content_type": 3, "body": (error.encode(3) + b" ").hex(), **vars(error), "canonical": False},
                {"content_type": 2, "body": "", "refused": "error-body", "code": 4010},
            ],
            "records.json": [{"record": made.hex(), "host_public": public, "kind": "agent", "fields": fields}],
            "signatures.json": [
                {
                    "public": public,
                    "context": context[:-1].decode(),
                    "message": "00",
                    "signature": host.sign_in(context, b"\0").hex(),
                },
                {"public": public, "context": "", "message": digest.hex(), "signature": host.sign(digest).hex()},
            ],
            "local/frames.json": [
                {
                    "frame": frames.make_door_frame(submitted, b"\0\0").hex(),
                    "door": UP,
                    "shape": "durable",
                    "event": "submit",
                    **nothing,
                },
                {"frame": frames.make_door_frame(opened, b"\0\0").hex(), "door": UP, "shape": "opener", **nothing},
            ],
            "local/bodies.json": [
                {"message": "Resolve", "content_type": 2, "body": "0a0161", "fields": {"address": "a"}},
                {"message": "Resolve", "content_type": 1, "body": "c0", "refused": "body", "code": 4010},
            ],
        }
        for cases in self.files.values():
            cases[:] = [{"name": str(number), **case} for number, case in enumerate(cases)]

    def check(self, more: dict[str, Any] | None = None) -> tuple[int, list[str]]:
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "local").mkdir()
            for file, cases in self.files.items():
                Path(directory, file).write_text(json.dumps({"about": "", "cases": cases}))
            for file, content in (more or {}).items():
                Path(directory, file).write_text(json.dumps(content))
            return check_vectors.check_directory(Path(directory))

    def test_every_kind_of_file(self) -> None:
        self.assertEqual((sum(map(len, self.files.values())), []), self.check())

    def test_files_that_are_missing_empty_or_unknown(self) -> None:
        good = sum(map(len, self.files.values()))
        for content in ({"about": "", "cases": []}, {"cases": self.files["prekeys.json"]}, []):
            passed, failures = self.check({"prekeys.json": content})
            self.assertEqual((good - 1, 1), (passed, len(failures)), failures)
        passed, failures = self.check({"more.json": {"about": "", "cases": []}})
        self.assertEqual((good, 1), (passed, len(failures)), failures)
        with tempfile.TemporaryDirectory() as directory:
            passed, failures = check_vectors.check_directory(Path(directory))
        self.assertEqual((0, len(check_vectors.FILES)), (passed, len(failures)))

    def test_exactly_one_form(self) -> None:
        for file, cases in self.files.items():
            for case in cases:
                for field in case.keys() - {"name"}:
                    less = {key: value for key, value in case.items() if key != field}
                    self.assertEqual(0, check_vectors.check_cases(file, [less])[0], f"{file} without {field}")
                self.assertEqual(0, check_vectors.check_cases(file, [case | {"event": None}])[0], file)
                self.assertEqual(1, check_vectors.check_cases(file, [case, case])[0], file)
        changes: list[tuple[str, int, dict[str, Any]]] = [
            ("headers.json", 1, {"code": 4010}),
            ("keys.json", 1, {"code": "4002"}),
            ("signatures.json", 0, {"context": signatures.NODE_RECORD.hex()}),
            ("signatures.json", 0, {"context": signatures.NODE_RECORD.decode()}),
            ("errors.json", 0, {"error_code": "4001"}),
            ("prekeys.json", 0, {"id": self.files["prekeys.json"][0]["id"] + " "}),
            ("local/frames.json", 0, {"event": "delivery"}),
        ]
        for file, number, change in changes:
            case = self.files[file][number] | change
            self.assertEqual(0, check_vectors.check_cases(file, [case])[0], (file, change))


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    """The other modules' tests too."""
    for module in (selftest_parts, selftest_door):
        tests.addTests(loader.loadTestsFromModule(module))
    return tests


if __name__ == "__main__":
    unittest.main()
