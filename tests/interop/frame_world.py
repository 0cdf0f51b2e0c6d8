"""What the two lists of frames have in common: one source, one destination, and cases made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aicp_wire import frames, shapes
from aicp_wire.error_body import ErrorBody
from aicp_wire.header import Header
from aicp_wire.metadata import encode_metadata, join_plain
from aicp_wire.sealing import Prekey
from aicp_wire.signatures import Signer

Case = dict[str, Any]
Sealer = Callable[[bytes, bytes, bytes], bytes]

BOTH = shapes.PROTECTION
SIGNED = shapes.SIGNED
ACKED = shapes.PROTECTION | shapes.REQUIRES_ACK
STREAM = shapes.PROTECTION | shapes.STREAMING

HOUR = 3600 * 10**9


def random_number(bits: int) -> int:
    return int.from_bytes(os.urandom(bits // 8), "big")


@dataclass
class World:
    """Fresh keys and a moment."""

    signer: Any = field(default_factory=lambda: Signer(os.urandom(32)))
    public: bytes = b""
    destination: bytes = field(default_factory=lambda: os.urandom(32))
    now: int = field(default_factory=time.time_ns)
    prekey: Prekey = field(init=False)

    def __post_init__(self) -> None:
        self.public = self.public or self.signer.public
        self.prekey = Prekey(os.urandom(32), self.now + 20 * HOUR)

    def header(self, type_: int, flags: int, content_type: int = 0, sequence: int = 0, **more: Any) -> Header:
        fields: dict[str, Any] = {
            "message_id": random_number(64),
            "timestamp": self.now,
            "destination": self.destination,
            "ttl": 16,
            "initial_ttl": 16,
        }
        fields.update(more)
        return Header(type=type_, flags=flags, content_type=content_type, sequence=sequence, **fields)

    def durable(self, type_: int, **more: Any) -> dict[int, Any]:
        """The metadata that must stand in a durable frame of that type."""
        kind = 0 if type_ in (shapes.REQUEST, shapes.BROADCAST) else 1
        flow = random_number(64) >> 2 << 1 | kind
        known: dict[int, Any] = {2: self.now + HOUR, 3: flow or 2, 12: 1}
        if type_ == shapes.BROADCAST:
            known[5] = "weather"
        if type_ == shapes.REQUEST:
            known[13] = True
        known.update(more)
        return known

    def given(self, header: Header, frame: bytes) -> Case:
        """The fields of a case that the reader is given."""
        case: Case = {"frame": frame.hex(), "source_public": self.public.hex()}
        if header.flags & shapes.ENCRYPTED:
            case["prekey_secret"] = self.prekey.secret.hex()
            case["prekey_not_after"] = str(self.prekey.not_after)
            case["now"] = str(self.now)
        return case

    def frame(self, header: Header, plain: bytes, sealer: Sealer | None = None) -> bytes:
        return frames.make_wire_frame(header, plain, self.signer, self.prekey.public, sealer)


def plain_of(known: dict[int, Any], body: bytes = b"", application: dict[str, Any] | None = None) -> bytes:
    return join_plain(encode_metadata(known, application), body)


def error_of(code: int, content_type: int, message: str = "no such agent", retry: int = 0) -> bytes:
    return ErrorBody(code, message, f"{random_number(64):016x}", retry).encode(content_type)
