"""Section 5: what is signed, and the strict verification of it."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import points
from .header import signed_form
from .refusal import Refused, require

AGENT_RECORD = b"AICP/1 agent record\0"
HOSTING = b"AICP/1 hosting\0"
NODE_RECORD = b"AICP/1 node record\0"
REVOCATION = b"AICP/1 revocation\0"
JOINING = (b"AICP/1 enrol\0", b"AICP/1 joiner\0", b"AICP/1 successor\0")
CONTEXTS = (AGENT_RECORD, HOSTING, NODE_RECORD, REVOCATION, *JOINING)


def agent_id(public: bytes) -> bytes:
    return hashlib.sha256(public).digest()


class Signer:
    """An Ed25519 key pair. Signing goes through the library; `scalar` is there for signatures with a fault."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.key.public_key().public_bytes_raw()
        self.id = agent_id(self.public)

    @property
    def scalar(self) -> int:
        clamped = bytearray(hashlib.sha512(self.seed).digest()[:32])
        clamped[0] &= 248
        clamped[31] = clamped[31] & 127 | 64
        return int.from_bytes(clamped, "little")

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def sign_in(self, context: bytes, message: bytes) -> bytes:
        return self.key.sign(context + message)


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % points.L


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Refuses with `key` or `signature`; S*B = R + k*A must hold without the cofactor."""
    a = points.admit(public)
    require(len(signature) == 64, "signature", "not 64 bytes")
    r_bytes, s = signature[:32], int.from_bytes(signature[32:], "little")
    require(s < points.L, "signature", "S is not below L")
    r = points.decode(r_bytes)
    if r is None:
        raise Refused("signature", "R is not canonical")
    require(not points.is_small_order(r), "signature", "R is of small order")
    k = challenge(r_bytes, public, message)
    left = points.multiply(s, points.BASE)
    right = points.add(r, points.multiply(k, a))
    require(points.equal(left, right), "signature", "the equation does not hold")


def frame_digest(header: bytes, content: bytes, nonce: bytes) -> bytes:
    return hashlib.sha256(signed_form(header) + content + nonce).digest()


def verify_frame(public: bytes, source: bytes, header: bytes, content: bytes, nonce: bytes, signature: bytes) -> None:
    """Admission, then whether it is the source's key, then the signature."""
    points.admit(public)
    require(agent_id(public) == source, "wrong-key")
    verify(public, frame_digest(header, content, nonce), signature)
