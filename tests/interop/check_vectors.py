"""Checks every case of the vectors (section 15 of the protocol page): check_vectors.py DIR"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp_wire import (
    bodies,
    certificates,
    error_body,
    frames,
    ids,
    points,
    presence,
    records,
    sealing,
    shapes,
    signatures,
)
from aicp_wire.header import Header, judge, read_header, shape_outcome
from aicp_wire.refusal import Refused

Case = dict[str, Any]
Reader = Callable[[Case], Case]
EVERYWHERE = (shapes.WIRE, shapes.UP, shapes.DOWN)


class Mismatch(Exception):
    """A case that is taken as it should be, with something in it that differs."""


def must_equal(what: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise Mismatch(f"{what}: expected {shorten(expected)}, got {shorten(got)}")


def shorten(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"


def unhex(case: Case, field: str) -> bytes:
    """Bytes are lowercase hex."""
    text = case[field]
    if re.fullmatch("(?:[0-9a-f]{2})*", text) is None:
        raise Mismatch(f"{field}: expected lowercase hex, got {shorten(text)}")
    return bytes.fromhex(text)


def decimal(case: Case, field: str) -> int:
    text = case[field]
    if not isinstance(text, str) or re.fullmatch("0|[1-9][0-9]*", text) is None:
        raise Mismatch(f"{field}: expected a decimal string, got {shorten(text)}")
    return int(text)


def door_of(case: Case, *doors: str) -> str:
    door: str = case["door"]
    if door not in doors:
        raise Mismatch(f"door: expected one of {doors}, got {shorten(door)}")
    return door


def read_key(case: Case) -> Case:
    public = unhex(case, "public")
    if "seed" in case:
        signer = signatures.Signer(unhex(case, "seed"))
        must_equal("public", case["public"], signer.public.hex())
        must_equal("scalar times base", signer.public, points.encode(points.multiply(signer.scalar, points.BASE)))
    points.admit(public)
    identity = signatures.agent_id(public)
    if "text" in case:
        must_equal("id of text", identity, ids.decode_id(case["text"]))
    return {"public": public.hex(), "id": identity.hex(), "text": ids.encode_id(identity)}


def read_prekey(case: Case) -> Case:
    public = sealing.public_of(unhex(case, "secret"))
    return {"public": public.hex(), "id": sealing.prekey_id(public).hex()}


def read_shapes(case: Case) -> Case:
    numbers, door = (case["type"], case["receipt"], case["sequence"]), door_of(case, *EVERYWHERE)
    expected = case["outcomes"].split(" ")
    must_equal("number of outcomes", 256, len(expected))
    for flags, want in enumerate(expected):
        must_equal(f"flags {flags:#04x}", want, shape_outcome(*numbers, flags, door))
    return {"outcomes": case["outcomes"]}


def read_headers(case: Case) -> Case:
    data = unhex(case, "header")
    header, shape = read_header(data, door_of(case, *EVERYWHERE))
    must_equal("the header packed again", data, header.pack())
    return {**header.described(), "shape": shape}


def read_frame(case: Case) -> Case:
    data, public = unhex(case, "frame"), unhex(case, "source_public")
    given = "prekey_secret" in case
    prekeys = [sealing.Prekey(unhex(case, "prekey_secret"), decimal(case, "prekey_not_after"))] if given else []
    try:
        frame = frames.read_wire_frame(data, public, prekeys, decimal(case, "now") if given else 0)
    except Refused as refused:
        if refused.reason == "unknown-prekey" and not given:
            raise Mismatch("prekey_secret: expected in a sealed frame, got absent") from None
        raise
    must_equal("prekey_secret stands", bool(frame.header.flags & shapes.ENCRYPTED), given)
    return {"plain": frame.plain.hex(), "shape": frame.shape, **described(frame.content)}


def described(content: presence.Content) -> Case:
    return {"metadata": content.metadata.described(), "body": content.body.hex()}


def read_metadata(case: Case) -> Case:
    header, door = Header.unpack(unhex(case, "header")), door_of(case, *EVERYWHERE)
    shape = judge(header, door, ids=False, length=False)
    return described(presence.read_content(header, shape, door, unhex(case, "plain")))


def read_error(case: Case) -> Case:
    data = unhex(case, "body")
    error = error_body.decode_error(case["content_type"], data)
    return {**vars(error), "canonical": error.encode(case["content_type"]) == data}


def read_record(case: Case) -> Case:
    data = unhex(case, "record")
    if data[:1] == bytes([records.REVOCATIONS]) and "authority_public" in case:
        fields = records.read_revocations(data, unhex(case, "authority_public"))
        return {"kind": "revocations", "fields": fields}
    if "authority" in case:
        member = certificates.read_member(data, unhex(case, "authority"))
        return {"kind": "node", "fields": member.described()}
    host = unhex(case, "host_public") if "host_public" in case else None
    record = records.read_record(data, host)
    must_equal("host_public stands", record.kind == records.AGENT, host is not None)
    return {"kind": records.KINDS[record.kind], "fields": record.described()}


def read_signature(case: Case) -> Case:
    context = b""
    if case["context"]:
        context = case["context"].encode() + b"\0"
        if context not in signatures.CONTEXTS:
            raise Mismatch(f"context: expected one of section 5, got {shorten(case['context'])}")
    signatures.verify(unhex(case, "public"), context + unhex(case, "message"), unhex(case, "signature"))
    return {}


def read_door_frame(case: Case) -> Case:
    frame = frames.read_door_frame(unhex(case, "frame"), door_of(case, shapes.UP, shapes.DOWN))
    event = {} if frame.content.event is None else {"event": frame.content.event}
    return {"shape": frame.shape, **event, **described(frame.content)}


def read_door_body(case: Case) -> Case:
    return {"fields": bodies.decode_door_body(case["message"], case["content_type"], unhex(case, "body"))}


@dataclass(frozen=True)
class File:
    """The reader of a case; the fields that it is given and that are not compared: all of `given`, some of `may`."""

    reader: Reader
    given: frozenset[str]
    may: frozenset[str] = frozenset()
    given_if_refused: frozenset[str] | None = None

    def judge_fields(self, case: Case, got: Case | None) -> None:
        """The case has the fields of section 15 and no others; `got` is None if it is to be refused."""
        must = self.given | {"name"} | (got or {}).keys()
        if got is None:
            # every reason has a code but `short`
            code = {"code"} - ({"code"} if case["refused"] == "short" else set())
            must = (self.given if self.given_if_refused is None else self.given_if_refused) | {"name", "refused"} | code
        must_equal("fields that are missing", [], sorted(must - case.keys()))
        must_equal("fields beyond those of section 15", [], sorted(case.keys() - must - self.may))


def _file(reader: Reader, given: str, may: str = "", given_if_refused: str | None = None) -> File:
    refused = None if given_if_refused is None else frozenset(given_if_refused.split())
    return File(reader, frozenset(given.split()), frozenset(may.split()), refused)


FILES: dict[str, File] = {
    "keys.json": _file(read_key, "seed", given_if_refused="public"),
    "prekeys.json": _file(read_prekey, "secret"),
    "shapes.json": _file(read_shapes, "type receipt sequence door"),
    "headers.json": _file(read_headers, "header door"),
    "frames.json": _file(read_frame, "frame source_public", "prekey_secret prekey_not_after now"),
    "metadata.json": _file(read_metadata, "plain header door"),
    "errors.json": _file(read_error, "content_type body"),
    "records.json": _file(read_record, "record", "host_public authority_public authority"),
    "signatures.json": _file(read_signature, "public context message signature"),
    "local/frames.json": _file(read_door_frame, "frame door"),
    "local/bodies.json": _file(read_door_body, "message content_type body"),
}


def compare(name: str, expected: Any, got: Any) -> None:
    """`expected` is from the vectors. Objects are compared field by field, to say which one differs."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            compare(f"{name}.{key}", expected.get(key, "absent"), got.get(key, "absent"))
        return
    if type(expected) is not type(got):
        raise Mismatch(f"{name}: expected {shorten(expected)}, got {shorten(got)} of another type")
    must_equal(name, expected, got)


def check_case(file: str, case: Case) -> None:
    """Raises Mismatch or Refused if the case does not come out."""
    kind = FILES[file]
    if "refused" in case:
        try:
            kind.reader(case)
        except Refused as refused:
            must_equal("reason", case["refused"], refused.reason)
            must_equal("code", case.get("code"), refused.code)
            kind.judge_fields(case, None)
            return
        raise Mismatch(f"expected refused {case['refused']}, got taken")
    got = kind.reader(case)
    for field, value in got.items():
        compare(field, case.get(field, "absent"), value)
    kind.judge_fields(case, got)


def check_cases(file: str, cases: list[Case]) -> tuple[int, list[str]]:
    """How many passed, and a line for each failure."""
    passed = 0
    failures: list[str] = []
    seen: set[str] = set()
    for number, case in enumerate(cases):
        name = str(case.get("name", f"case {number}"))
        try:
            if name in seen:
                raise Mismatch("name: expected one that is unique in its file, got it twice")
            seen.add(name)
            check_case(file, case)
            passed += 1
        except Mismatch as mismatch:
            failures.append(f"{file}: {name}: {mismatch}")
        except Refused as refused:
            failures.append(f"{file}: {name}: expected taken, got refused {refused}")
        except KeyError as missing:
            failures.append(f"{file}: {name}: expected the field {missing}, got none")
        except Exception as error:  # a case must not stop the others
            failures.append(f"{file}: {name}: {type(error).__name__}: {error}")
    return passed, failures


def load_cases(path: Path) -> list[Case]:
    """Raises ValueError unless the file is of the form of section 15, with at least one case."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.keys() != {"about", "cases"}:
        raise ValueError('expected {"about": text, "cases": [...]}')
    cases = content["cases"]
    if not isinstance(content["about"], str) or not isinstance(cases, list):
        raise ValueError("about is no text, or cases is no array")
    if not cases or not all(isinstance(case, dict) for case in cases):
        raise ValueError("no cases, or some that are no objects")
    return cases


def check_directory(directory: Path) -> tuple[int, list[str]]:
    passed = 0
    failures: list[str] = []
    for file in FILES:
        try:
            cases = load_cases(directory / file)
        except (OSError, ValueError) as error:
            failures.append(f"{file}: cannot be read: {error}")
            continue
        good, bad = check_cases(file, cases)
        passed += good
        failures += bad
    there = [*directory.glob("*.json"), *directory.glob("local/*.json")]
    for name in sorted(path.relative_to(directory).as_posix() for path in there):
        if name not in FILES:
            failures.append(f"{name}: section 15 does not name this file, so it was not checked")
    return passed, failures


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: check_vectors.py DIR", file=sys.stderr)
        return 2
    passed, failures = check_directory(Path(arguments[0]))
    for failure in failures:
        print(failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
