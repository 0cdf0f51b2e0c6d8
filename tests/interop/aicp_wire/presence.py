"""Section 4, second half: which key stands where, what a body may be, and a whole plain body judged by its header."""

from __future__ import annotations

from dataclasses import dataclass

from . import door
from .error_body import ErrorBody, decode_error
from .header import Header
from .metadata import Metadata, parse_metadata, split_plain
from .refusal import require
from .shapes import ACK, BODY_MOST, BROADCAST, ERROR, PING, REQUEST, SMALL_BODY_MOST, TALK, WIRE

NO_METADATA = ("chunk", "chunk-ack", "stream-end")
NO_BODY = ("stored", "told", "handled", "opener", "stream-end")
OLDER_FLOW = 4015

Rules = tuple[set[int], set[int]]  # must, may


@dataclass
class Content:
    """What stands in a plain body that was taken."""

    metadata: Metadata
    body: bytes
    error: ErrorBody | None = None
    event: str | None = None


def talks(header: Header, shape: str) -> bool:
    """REQUEST, RESPONSE, BROADCAST that are once, durable or opener: 4, 9, 10, 11 and str keys may stand."""
    return header.type in TALK and shape in ("once", "durable", "opener")


def wire_rules(header: Header, shape: str) -> Rules:
    """Keys 1 to 14 on the wire. Key 3 in a notice hangs on its body and is judged in `judge_notice`."""
    must: set[int] = set()
    may: set[int] = set()
    if header.content_type == 255:
        must.add(1)
    if shape == "durable":
        must |= {2, 3, 12}
        may.add(14)
    if shape == "once":
        may.add(2)
    if shape == "stored":
        must.add(3)
    if shape == "notice":
        may.add(3)
    if talks(header, shape):
        may |= {4, 9, 10, 11}
        if header.type == BROADCAST:
            must.add(5)
    if shape == "opener":
        must |= {6, 8}
        may.add(7)
    if shape == "durable" and header.type == REQUEST:
        must.add(13)
    if shape == "durable" and header.type == BROADCAST:
        may.add(13)
    return must, may


def door_rules(header: Header, shape: str, where: str) -> Rules:
    """Keys 1 to 14 at the door: as on the wire, without the daemon's own, and less of them must stand."""
    must, may = wire_rules(header, shape)
    may |= must & {2, 13}
    must -= {2, 3, 6, 8, 12, 13}
    may -= {3, 6, 8, 12}
    if where == door.DOWN and shape == "durable":
        must.add(2)
    return must, may


def judge_presence(header: Header, shape: str, where: str, metadata: Metadata) -> str | None:
    """Refuses with `metadata-presence`; the event, at the door."""
    must, may = wire_rules(header, shape) if where == WIRE else door_rules(header, shape, where)
    event = None
    if where != WIRE:
        event = door.find_event(header, shape, where, metadata)
        if event is not None:
            must, may = must | event.must, may | event.may
    for key in must:
        require(key in metadata.known, "metadata-presence", f"key {key} is missing")
    for key in metadata.known:
        require(key in must or key in may, "metadata-presence", f"key {key} must not stand")
    if metadata.application:
        require(talks(header, shape), "metadata-presence", "a str key")
    return event.name if event is not None else None


def judge_flow(header: Header, shape: str, metadata: Metadata) -> None:
    """Floor and flow id against the header of a durable frame on the wire."""
    if shape != "durable":
        return
    require(metadata.known[12] <= header.sequence, "metadata-value", "the floor is above the sequence")
    answers = header.type not in (REQUEST, BROADCAST)
    require(metadata.known[3] & 1 == answers, "metadata-value", "a flow id of the other kind")


def judge_body(header: Header, shape: str, body: bytes) -> None:
    most = SMALL_BODY_MOST if header.type in (ERROR, PING) else BODY_MOST
    require(len(body) <= most, "too-large", f"a body of {len(body)} bytes")
    if header.content_type == 0 or shape in NO_BODY or (shape == "durable" and header.type == ACK):
        require(not body, "body", "must be empty")


def judge_notice(where: str, metadata: Metadata, error: ErrorBody) -> None:
    """On the wire the flow id stands in a notice if and only if its code is 4015."""
    if where == WIRE:
        require((3 in metadata.known) == (error.error_code == OLDER_FLOW), "metadata-presence", "key 3 in a notice")


def read_content(header: Header, shape: str, where: str, plain: bytes) -> Content:
    """Metadata and body of a plain body, all judged."""
    if shape == "pong" and where == WIRE:
        require(not plain, "too-large", "a pong has no plain body")
        return Content(Metadata(), b"")
    data, body = split_plain(plain)
    if shape in NO_METADATA:
        require(not data, "metadata-presence", f"metadata in a {shape}")
    metadata = parse_metadata(data, at_door=where != WIRE)
    event = judge_presence(header, shape, where, metadata)
    if where == WIRE:
        judge_flow(header, shape, metadata)
    judge_body(header, shape, body)
    error = None
    if header.type == ERROR:
        error = decode_error(header.content_type, body)
        if shape == "notice":
            judge_notice(where, metadata, error)
    return Content(metadata, body, error, event)
