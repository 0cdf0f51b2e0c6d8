"""The vectors of the agents' door: what is to be taken is taken as it stands, and what is to be refused is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from aicp._door import bodies, schema
from aicp._door.frame import read_frame
from aicp._door.header import LAYOUT, read_header
from aicp._door.kinds import ContentType, Way
from aicp._door.metadata import Key, Metadata
from aicp._door.refusal import Unfit

Case = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[3] / "proto" / "vectors" / "local"
ANY = b"\1" * 32
DECIMAL = {Key.EXPIRY, Key.DELIVERY_NUMBER, Key.RECEIVED, Key.LEASE, Key.CREDIT_MESSAGES, Key.CREDIT_BYTES}


def cases(name: str) -> list[Any]:
    found = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cases"]
    assert found, f"{name} has no cases"
    return [pytest.param(case, id=case["name"]) for case in found]


def described(metadata: Metadata) -> Case:
    """As the vectors write it."""
    result: Case = {}
    for number, value in metadata.known.items():
        key = Key(number)
        shown = value.hex() if isinstance(value, bytes) else str(value) if key in DECIMAL else value
        result[key.name.lower()] = shown
    if metadata.application:
        result["application"] = {name: raw.hex() for name, raw in metadata.application.items()}
    return result


@pytest.mark.parametrize("case", cases("frames.json"))
def test_each_frame_of_the_vectors_is_judged_as_they_say(case: Case) -> None:
    data, way = bytes.fromhex(case["frame"]), Way(case["door"])
    if "refused" in case:
        with pytest.raises(Unfit) as refused:
            read_frame(data, way)
        assert (refused.value.reason, refused.value.code) == (case["refused"], case["code"])
        return
    frame = read_frame(data, way)
    assert frame.header.shape.value == case["shape"]
    assert frame.body.hex() == case["body"]
    assert described(frame.metadata) == case["metadata"]
    assert (frame.event and frame.event.value) == case["event"]


@pytest.mark.parametrize("case", cases("bodies.json"))
def test_each_body_of_the_vectors_is_judged_as_they_say(case: Case) -> None:
    kind = getattr(schema, case["message"])
    content_type, data = ContentType(case["content_type"]), bytes.fromhex(case["body"])
    if "refused" in case:
        with pytest.raises(Unfit) as refused:
            bodies.read_body(kind, content_type, data)
        assert (refused.value.reason, refused.value.code) == (case["refused"], case["code"])
        return
    body = bodies.read_body(kind, content_type, data)
    assert json.loads(json.dumps(dataclasses.asdict(body))) == case["fields"]
    again = bodies.write_body(body, content_type)
    assert bodies.read_body(kind, content_type, again) == body
    if case["name"].startswith(case["message"]):
        assert again == data, "what is written is what the vectors have"


@pytest.mark.parametrize("case", cases("../errors.json"))
def test_each_error_of_the_vectors_is_judged_as_they_say(case: Case) -> None:
    content_type, data = ContentType(case["content_type"]), bytes.fromhex(case["body"])
    if "refused" in case:
        with pytest.raises(Unfit) as refused:
            bodies.read_error(content_type, data)
        assert (refused.value.reason, refused.value.code) == (case["refused"], case["code"])
        return
    error = bodies.read_error(content_type, data)
    said = {name: case[name] for name in dataclasses.asdict(error)}
    assert dataclasses.asdict(error) == said
    assert (bodies.write_body(error, content_type) == data) == case["canonical"]


def test_each_shape_at_the_door_is_found_as_the_vectors_say() -> None:
    judged = 0
    found = json.loads((FOLDER.parent / "shapes.json").read_text(encoding="utf-8"))["cases"]
    for case in found:
        if case["door"] == "wire":
            continue
        for flags, expected in enumerate(case["outcomes"].split(" ")):
            # A content type and a length that suit most shapes; those that they do not suit were found all the same.
            fields = (1, case["type"], 1, 0, ANY, ANY, 2, flags, 0, int(case["type"] == 4), 0)
            data = LAYOUT.pack(*fields, case["receipt"], case["sequence"])
            try:
                got = read_header(data, Way(case["door"])).shape.value
            except Unfit as unfit:
                got = unfit.reason
            assert got in (expected, "content-type", "length"), (case["name"], flags)
            judged += got == expected
    assert judged > 7000


def test_every_file_of_the_vectors_is_read() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == ["bodies.json", "frames.json"]
