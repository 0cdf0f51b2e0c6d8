"""Signatures and sealed contents with exactly one fault."""

from __future__ import annotations

import os

from aicp_wire import points, sealing
from aicp_wire.header import Header
from aicp_wire.points import BASE, IDENTITY, L, P
from aicp_wire.signatures import Signer, agent_id, challenge

TORSION = points.small_order_points()
IDENTITY_BYTES = (1).to_bytes(32, "little")
IDENTITY_NOT_CANONICAL = (P + 1).to_bytes(32, "little")

# u-coordinates of small order on the Montgomery curve
SMALL_U = {
    "0": bytes(32),
    "1": (1).to_bytes(32, "little"),
    "p - 1": (P - 1).to_bytes(32, "little"),
    "p": P.to_bytes(32, "little"),
    "p + 1": (P + 1).to_bytes(32, "little"),
    "0 with bit 255": (1 << 255).to_bytes(32, "little"),
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8, the other": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
}


def scalar_bytes(number: int) -> bytes:
    return number.to_bytes(32, "little")


def random_scalar() -> int:
    return int.from_bytes(os.urandom(64), "little") % L


class HighS(Signer):
    """S + L in the place of S."""

    def sign(self, message: bytes) -> bytes:
        signature = super().sign(message)
        return signature[:32] + scalar_bytes(int.from_bytes(signature[32:], "little") + L)


class FixedR(Signer):
    """R is these bytes, which stand for the identity; the equation holds."""

    def __init__(self, r: bytes) -> None:
        super().__init__(os.urandom(32))
        self.r = r

    def sign(self, message: bytes) -> bytes:
        return self.r + scalar_bytes(challenge(self.r, self.public, message) * self.scalar % L)


class TorsionInR(Signer):
    """R has a torsion part: the equation holds only when it is multiplied by the cofactor."""

    def sign(self, message: bytes) -> bytes:
        r = random_scalar()
        r_bytes = points.encode(points.add(points.multiply(r, BASE), TORSION[1]))
        k = challenge(r_bytes, self.public, message)
        return r_bytes + scalar_bytes((r + k * self.scalar) % L)


class BadKey:
    """A key that must not be admitted, with signatures for which the equation holds."""

    def __init__(self, public: bytes, scalar: int) -> None:
        self.public = public
        self.scalar = scalar
        self.id = agent_id(public)

    def sign(self, message: bytes) -> bytes:
        while True:
            r = random_scalar()
            r_bytes = points.encode(points.multiply(r, BASE))
            k = challenge(r_bytes, self.public, message)
            if k % 8 == 0:  # then the key's torsion part vanishes in k*A
                return r_bytes + scalar_bytes((r + k * self.scalar) % L)


def bad_keys() -> dict[str, BadKey]:
    """By name."""
    keys = {
        f"of small order, number {number}": BadKey(points.encode(point), 0) for number, point in enumerate(TORSION)
    }
    keys["not canonical"] = BadKey(IDENTITY_NOT_CANONICAL, 0)
    keys["the identity with a sign"] = BadKey((1 | 1 << 255).to_bytes(32, "little"), 0)
    signer = Signer(os.urandom(32))
    point = points.decode(signer.public)
    assert point is not None and not points.equal(point, IDENTITY)
    for order, torsion in ((2, TORSION[4]), (8, TORSION[1])):
        keys[f"with a torsion part of order {order}"] = BadKey(
            points.encode(points.add(point, torsion)), signer.scalar
        )
    return keys


def small_ephemeral(u: bytes, prekey_public: bytes):  # type: ignore[no-untyped-def]
    """A sealer whose ephemeral key is of small order; all else is as it must be for the shared secret of zeros."""

    def sealer(front: bytes, plain: bytes, nonce: bytes) -> bytes:
        header = Header.unpack(front)
        key, iv = sealing.derive(bytes(32), nonce, u, prekey_public, header.source, header.destination)
        return sealing.prekey_id(prekey_public) + u + sealing.seal(key, iv, front, plain)

    return sealer


def high_bit_sealer(prekey_public: bytes):  # type: ignore[no-untyped-def]
    """A sealer without a fault, whose ephemeral key has bit 255 set."""

    def sealer(front: bytes, plain: bytes, nonce: bytes) -> bytes:
        header = Header.unpack(front)
        secret = os.urandom(32)
        ephemeral = bytearray(sealing.public_of(secret))
        ephemeral[31] |= 0x80
        shared = sealing.shared_secret(secret, prekey_public)
        key, iv = sealing.derive(shared, nonce, bytes(ephemeral), prekey_public, header.source, header.destination)
        return sealing.prekey_id(prekey_public) + ephemeral + sealing.seal(key, iv, front, plain)

    return sealer


def bad_sealer(prekey_public: bytes, fault: str):  # type: ignore[no-untyped-def]
    """A sealer with a fault under the seal: another tag, or another input of the derivation."""

    def sealer(front: bytes, plain: bytes, nonce: bytes) -> bytes:
        header = Header.unpack(front)
        secret = os.urandom(32)
        ephemeral = sealing.public_of(secret)
        shared = sealing.shared_secret(secret, prekey_public)
        ends = [header.source, header.destination]
        if fault == "ends swapped":
            ends.reverse()
        salt = bytes(16) if fault == "salt of zeros" else nonce
        key, iv = sealing.derive(shared, salt, ephemeral, prekey_public, *ends)
        sealed = sealing.seal(key, iv, front, plain)
        if fault == "ttl in the aad":
            sealed = sealing.AESGCM(key).encrypt(iv, plain, front)
        if fault == "a bit of the tag":
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        if fault == "a bit of the ciphertext":
            sealed = bytes([sealed[0] ^ 0x80]) + sealed[1:]
        return sealing.prekey_id(prekey_public) + ephemeral + sealed

    return sealer
