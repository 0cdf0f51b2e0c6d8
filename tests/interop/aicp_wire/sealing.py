"""Section 6: prekeys, and bodies sealed to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .header import Header, signed_form
from .refusal import Refused, require

TAG = 16
FRONT = 36  # prekey id and ephemeral key


def prekey_id(public: bytes) -> bytes:
    return hashlib.sha256(b"AICP/1 prekey\0" + public).digest()[:4]


def public_of(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


@dataclass(frozen=True)
class Prekey:
    """A prekey with its private half, as its node holds it."""

    secret: bytes
    not_after: int

    @property
    def public(self) -> bytes:
        return public_of(self.secret)

    @property
    def id(self) -> bytes:
        return prekey_id(self.public)


def shared_secret(secret: bytes, public: bytes) -> bytes:
    """X25519; refuses a result of zeros (the library raises on it)."""
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("shared-secret", "zeros") from None
    require(shared != bytes(32), "shared-secret", "zeros")
    return shared


def derive(
    shared: bytes, nonce: bytes, ephemeral: bytes, prekey: bytes, source: bytes, destination: bytes
) -> tuple[bytes, bytes]:
    """The AES key and the iv of one frame."""
    info = b"AICP/1 body\0" + ephemeral + prekey + source + destination
    okm = HKDF(algorithm=SHA256(), length=44, salt=nonce, info=info).derive(shared)
    return okm[:32], okm[32:]


def seal(key: bytes, iv: bytes, header: bytes, plain: bytes) -> bytes:
    return AESGCM(key).encrypt(iv, plain, signed_form(header))


def unseal(key: bytes, iv: bytes, header: bytes, sealed: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(iv, sealed, signed_form(header))
    except InvalidTag:
        raise Refused("seal", "the tag does not hold") from None


def seal_content(
    header: bytes, plain: bytes, nonce: bytes, ephemeral_secret: bytes, prekey_public: bytes
) -> bytes:
    """The content of an encrypted and signed frame; `header` has its final payload length."""
    fields = Header.unpack(header)
    ephemeral = public_of(ephemeral_secret)
    shared = shared_secret(ephemeral_secret, prekey_public)
    key, iv = derive(shared, nonce, ephemeral, prekey_public, fields.source, fields.destination)
    return prekey_id(prekey_public) + ephemeral + seal(key, iv, header, plain)


def choose_prekey(wanted: bytes, prekeys: list[Prekey], now: int) -> Prekey:
    """The prekey of that id, if it has not expired. Those that are held count as not yet erased, whatever `now` is."""
    for prekey in prekeys:
        if prekey.id == wanted:
            require(now <= prekey.not_after, "expired-prekey")
            return prekey
    raise Refused("unknown-prekey", wanted.hex())


def unseal_content(header: bytes, content: bytes, nonce: bytes, prekeys: list[Prekey], now: int) -> bytes:
    """The plain body; it is sealed again and compared, so a mistake here cannot hide in a lenient library."""
    prekey = choose_prekey(content[:4], prekeys, now)
    ephemeral, sealed = content[4:FRONT], content[FRONT:]
    fields = Header.unpack(header)
    shared = shared_secret(prekey.secret, ephemeral)
    key, iv = derive(shared, nonce, ephemeral, prekey.public, fields.source, fields.destination)
    plain = unseal(key, iv, header, sealed)
    if seal(key, iv, header, plain) != sealed:
        raise AssertionError("sealing again gave other bytes")
    return plain
