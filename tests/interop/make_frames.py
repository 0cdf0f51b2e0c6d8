"""Makes frames for another implementation to check, in the form of frames.json: make_frames.py OUT.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aicp_wire.shapes import ENCRYPTED
from frames_refused import refused_cases
from frames_taken import taken_cases

BYTES_MOST = 3_000_000
GIVEN = {"name", "frame", "source_public"}
SEALED = {"prekey_secret", "prekey_not_after", "now"}
TAKEN = {"plain", "shape", "metadata", "body"}
FLAGS_AT = 87  # the low byte


def judge_form(case: dict[str, Any]) -> None:
    """Each case has the fields that section 15 gives to frames.json, and no others."""
    frame = bytes.fromhex(case["frame"])
    sealed = len(frame) > FLAGS_AT and bool(frame[FLAGS_AT] & ENCRYPTED)
    fields = GIVEN | (SEALED if sealed else set())
    if "refused" not in case:
        fields |= TAKEN
    elif case["refused"] == "short":
        fields |= {"refused"}
    else:
        fields |= {"refused", "code"}
    if case.keys() != fields:
        raise AssertionError(f"{case['name']}: {sorted(case.keys() ^ fields)}")


def make_file() -> dict[str, Any]:
    cases = taken_cases() + refused_cases()
    names = [case["name"] for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise AssertionError(f"names that occur twice: {doubled}")
    for case in cases:
        judge_form(case)
    return {"about": "frames of an implementation that was written from the page alone", "cases": cases}


def write_file(made: dict[str, Any]) -> str:
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    if len(text.encode()) > BYTES_MOST:
        raise AssertionError(f"{len(text.encode())} bytes")
    return text


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: make_frames.py OUT.json", file=sys.stderr)
        return 2
    made = make_file()
    Path(arguments[0]).write_text(write_file(made), encoding="utf-8")
    refused = sum("refused" in case for case in made["cases"])
    print(f"{len(made['cases']) - refused} frames to take, {refused} to refuse")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
