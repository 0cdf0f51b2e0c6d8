"""Whole frames: sections 4 to 7 on the wire, section 12 at the door."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from . import sealing, signatures
from .header import SIZE, Header, read_header
from .presence import Content, read_content
from .refusal import require
from .sealing import Prekey
from .shapes import BROADCAST, ENCRYPTED, PING, PROTECTION, REQUEST, REQUIRES_ACK, RESPONSE, SIGNED, WIRE, overhead

NONCE = 16
OLD_MOST = 60 * 10**9
AHEAD_MOST = 10 * 10**9


@dataclass
class Frame:
    """A frame that was taken."""

    header: Header
    shape: str
    plain: bytes
    content: Content


def split_payload(header: Header, payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Content, signature and nonce, each empty where the flags say that it is not there."""
    content, nonce, signature = payload, b"", b""
    if header.flags & PROTECTION:
        content, nonce = content[:-NONCE], content[-NONCE:]
    if header.flags & SIGNED:
        content, signature = content[:-64], content[-64:]
    return content, signature, nonce


def whole_payload(header: Header, data: bytes) -> bytes:
    """The payload of the one frame in `data`; less is `short`, more is `length`."""
    require(len(data) >= SIZE + header.payload_length, "short", "payload cut short")
    require(len(data) == SIZE + header.payload_length, "length", "bytes after the frame")
    return data[SIZE:]


def fresh(header: Header, now: int) -> bool:
    """Step 2 of section 7, for frames whose age is judged."""
    judged = header.type in (REQUEST, RESPONSE, BROADCAST, PING) and not header.flags & REQUIRES_ACK
    return not judged or header.timestamp - AHEAD_MOST <= now <= header.timestamp + OLD_MOST


def read_wire_frame(data: bytes, source_public: bytes, prekeys: list[Prekey], now: int = 0) -> Frame:
    """Header, signature, sealing, metadata and body, in the order of section 7; the age is left to `fresh`.
    Chunks and chunk acks are not read: the page does not yet say how they are sealed."""
    header, shape = read_header(data, WIRE)
    content, signature, nonce = split_payload(header, whole_payload(header, data))
    front = data[:SIZE]
    if not header.flags & SIGNED:
        raise NotImplementedError("frames of a stream's body")
    signatures.verify_frame(source_public, header.source, front, content, nonce, signature)
    plain = content
    if header.flags & ENCRYPTED:
        plain = sealing.unseal_content(front, content, nonce, prekeys, now)
    return Frame(header, shape, plain, read_content(header, shape, WIRE, plain))


def read_door_frame(data: bytes, where: str) -> Frame:
    header, shape = read_header(data, where)
    plain = whole_payload(header, data)
    return Frame(header, shape, plain, read_content(header, shape, where, plain))


class Signs(Protocol):
    """Whatever signs frames: a Signer, or one that makes faults."""

    id: bytes

    def sign(self, message: bytes) -> bytes: ...


def make_wire_frame(
    header: Header,
    plain: bytes,
    signer: Signs,
    prekey_public: bytes = b"",
    sealer: Callable[[bytes, bytes, bytes], bytes] | None = None,
) -> bytes:
    """Seals and signs as the flags say, unjudged; source and payload length are filled in.
    `sealer` makes the content of (header, plain body, nonce) where the usual one is not wanted."""
    nonce = os.urandom(NONCE)
    protection = header.flags & PROTECTION
    header = replace(header, source=signer.id, payload_length=len(plain) + overhead(protection))
    front = header.pack()
    content = plain
    if protection == PROTECTION and sealer is None:
        content = sealing.seal_content(front, plain, nonce, os.urandom(32), prekey_public)
    elif sealer is not None:
        content = sealer(front, plain, nonce)
    signature = signer.sign(signatures.frame_digest(front, content, nonce)) if protection & SIGNED else b""
    return front + content + signature + (nonce if protection else b"")


def make_door_frame(header: Header, plain: bytes) -> bytes:
    return replace(header, payload_length=len(plain)).pack() + plain
