"""Checks every case of the vectors (section 15 of the protocol page): check_vectors.py DIR"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aicp_wire import bodies, error_body, frames, ids, points, presence, records, sealing, signatures
from aicp_wire.header import Header, judge, read_header, shape_outcome
from aicp_wire.refusal import Refused

Case = dict[str, Any]
Reader = Callable[[Case], dict[str, Any]]

# names that the rule of section 15 allows besides those that this reader writes
ALIASES = {
    "capability": "capability_asked_for",
    "marked_possibly_delivered_before": "marked",
    "possibly_delivered_before": "marked",
    "last_stage_to_hear_of": "last_stage",
    "x.509_chain": "x509_chain",
    "X.509_chain": "x509_chain",
    "x_509_chain": "x509_chain",
}
# uints of which the page does not say whether they have 64 bits
LOOSE = {"lease", "lease_ms", "message_bytes_max"}
ABOUT_A_CASE = {"name", "about", "note", "refused", "code"}


class Mismatch(Exception):
    """A case that is taken as it should be, with something in it that differs."""


def must_equal(what: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise Mismatch(f"{what}: expected {shorten(expected)}, got {shorten(got)}")


def shorten(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"


def read_key(case: Case) -> dict[str, Any]:
    public = bytes.fromhex(case["public"])
    if "seed" in case:
        signer = signatures.Signer(bytes.fromhex(case["seed"]))
        must_equal("public", case["public"], signer.public.hex())
        must_equal("scalar times base", signer.public, points.encode(points.multiply(signer.scalar, points.BASE)))
    points.admit(public)
    identity = signatures.agent_id(public)
    if "text" in case:
        must_equal("id of text", identity, ids.decode_id(case["text"]))
    return {"public": public.hex(), "id": identity.hex(), "text": ids.encode_id(identity)}


def read_prekey(case: Case) -> dict[str, Any]:
    public = sealing.public_of(bytes.fromhex(case["secret"]))
    return {"public": public.hex(), "id": sealing.prekey_id(public).hex()}


def read_shapes(case: Case) -> dict[str, Any]:
    words = [
        shape_outcome(int(case["type"]), int(case["receipt"]), int(case["sequence"]), flags, case["door"])
        for flags in range(256)
    ]
    expected = case["outcomes"].split()
    must_equal("number of outcomes", 256, len(expected))
    for flags, (want, got) in enumerate(zip(expected, words)):
        must_equal(f"flags {flags:#04x}", want, got)
    return {"outcomes": case["outcomes"]}


def read_headers(case: Case) -> dict[str, Any]:
    data = bytes.fromhex(case["header"])
    header, shape = read_header(data, case["door"])
    must_equal("the header packed again", data, header.pack())
    return {**header.described(), "shape": shape}


def read_frame(case: Case) -> dict[str, Any]:
    prekeys = []
    if "prekey_secret" in case:
        prekeys = [sealing.Prekey(bytes.fromhex(case["prekey_secret"]), int(case["prekey_not_after"]))]
    data, public = bytes.fromhex(case["frame"]), bytes.fromhex(case.get("source_public", ""))
    frame = frames.read_wire_frame(data, public, prekeys, int(case.get("now", 0)))
    return {"plain": frame.plain.hex(), "shape": frame.shape, **described(frame.content)}


def described(content: presence.Content) -> dict[str, Any]:
    return {"metadata": content.metadata.described(), "body": content.body.hex(), "event": content.event}


def read_metadata(case: Case) -> dict[str, Any]:
    header = Header.unpack(bytes.fromhex(case["header"]))
    shape = judge(header, case["door"], ids=False, length=False)
    content = presence.read_content(header, shape, case["door"], bytes.fromhex(case["plain"]))
    return {"shape": shape, **described(content)}


def read_error(case: Case) -> dict[str, Any]:
    data = bytes.fromhex(case["body"])
    error = error_body.decode_error(case["content_type"], data)
    return {**vars(error), "canonical": error.encode(case["content_type"]) == data}


def read_record(case: Case) -> dict[str, Any]:
    host = bytes.fromhex(case["host_public"]) if "host_public" in case else None
    record = records.read_record(bytes.fromhex(case["record"]), host)
    return {"kind": records.KINDS[record.kind], "fields": record.described()}


def read_signature(case: Case) -> dict[str, Any]:
    signed = context_bytes(case["context"]) + bytes.fromhex(case["message"])
    signatures.verify(bytes.fromhex(case["public"]), signed, bytes.fromhex(case["signature"]))
    return {}


def context_bytes(context: str) -> bytes:
    """A context as hex or as text, in which the zero byte at the end may be left out."""
    if not context.startswith("AICP"):
        return bytes.fromhex(context)
    return context.removesuffix("\\0").removesuffix("\0").encode() + b"\0"


def read_door_frame(case: Case) -> dict[str, Any]:
    frame = frames.read_door_frame(bytes.fromhex(case["frame"]), case["door"])
    return {"plain": frame.plain.hex(), "shape": frame.shape, **described(frame.content)}


def read_door_body(case: Case) -> dict[str, Any]:
    data = bytes.fromhex(case["body"])
    return {"fields": bodies.decode_door_body(case["message"], case["content_type"], data)}


# file: the reader of a case, and the fields of a case that are given to it and not compared
FILES: dict[str, tuple[Reader, set[str]]] = {
    "keys.json": (read_key, {"seed"}),
    "prekeys.json": (read_prekey, {"secret"}),
    "shapes.json": (read_shapes, {"type", "receipt", "sequence", "door"}),
    "headers.json": (read_headers, {"header", "door"}),
    "frames.json": (read_frame, {"frame", "source_public", "prekey_secret", "prekey_not_after", "now"}),
    "metadata.json": (read_metadata, {"plain", "header", "door"}),
    "errors.json": (read_error, {"content_type", "body"}),
    "records.json": (read_record, {"record", "host_public"}),
    "signatures.json": (read_signature, {"public", "context", "message", "signature"}),
    "local/frames.json": (read_door_frame, {"frame", "door"}),
    "local/bodies.json": (read_door_body, {"message", "content_type", "body"}),
}


def compare(name: str, expected: Any, got: Any) -> None:
    """`expected` is from the vectors. Objects are compared field by field, to say which one differs."""
    if isinstance(expected, dict) and isinstance(got, dict) and name != "application":
        renamed = {ALIASES.get(key, key): value for key, value in expected.items()}
        if not renamed.get("application", True):
            del renamed["application"]
        for key in sorted(renamed.keys() | got.keys()):
            compare(key, renamed.get(key, "absent"), got.get(key, "absent"))
        return
    if name in LOOSE:
        expected, got = str(expected), str(got)
    if type(expected) is not type(got):
        raise Mismatch(f"{name}: expected {shorten(expected)}, got {shorten(got)} of another type")
    must_equal(name, expected, got)


def check_case(file: str, case: Case) -> None:
    """Raises Mismatch or Refused if the case does not come out."""
    reader, given = FILES[file]
    if "refused" in case:
        try:
            reader(case)
        except Refused as refused:
            must_equal("reason", case["refused"], refused.reason)
            if case.get("code") is not None and refused.reason != "short":
                must_equal("code", int(case["code"]), refused.code)
            return
        raise Mismatch(f"expected refused {case['refused']}, got taken")
    got = reader(case)
    for field, expected in case.items():
        if field in given or field in ABOUT_A_CASE or field == "host_public":
            continue
        if field not in got:
            raise Mismatch(f"{field}: a field that this reader does not know")
        compare(field, expected, got[field])


def check_cases(file: str, cases: list[Case]) -> tuple[int, list[str]]:
    """How many passed, and a line for each failure."""
    passed = 0
    failures: list[str] = []
    seen: set[str] = set()
    for number, case in enumerate(cases):
        name = str(case.get("name", f"case {number}"))
        try:
            if name in seen:
                raise Mismatch("the name occurs twice")
            seen.add(name)
            check_case(file, case)
            passed += 1
        except Mismatch as mismatch:
            failures.append(f"{file}: {name}: {mismatch}")
        except Refused as refused:
            failures.append(f"{file}: {name}: expected taken, got refused {refused}")
        except Exception as error:  # a case must not stop the others
            failures.append(f"{file}: {name}: {type(error).__name__}: {error}")
    return passed, failures


def check_directory(directory: Path) -> tuple[int, list[str]]:
    passed = 0
    failures: list[str] = []
    for file in FILES:
        try:
            cases = json.loads((directory / file).read_text(encoding="utf-8"))["cases"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            failures.append(f"{file}: cannot be read: {error}")
            continue
        if not cases:
            failures.append(f"{file}: no cases")
        good, bad = check_cases(file, cases)
        passed += good
        failures += bad
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
