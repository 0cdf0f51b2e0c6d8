"""Section 10: ids in bech32m (BIP 350), message ids, names."""

from __future__ import annotations

import re

from .refusal import require

PREFIX = "aicp"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M = 0x2BC830A3
GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
TEXT_LENGTH = len(PREFIX) + 1 + 58

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MESSAGE_ID = re.compile(r"[0-9a-f]{16}")


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATORS):
            if top >> bit & 1:
                check ^= generator
    return check


def _expanded(prefix: str = PREFIX) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def encode_id(identity: bytes) -> str:
    if len(identity) != 32:
        raise ValueError("an id has 32 bytes")
    number = int.from_bytes(identity, "big") << 4
    data = [number >> 5 * place & 31 for place in range(51, -1, -1)]
    remainder = _polymod(_expanded() + data + [0] * 6) ^ BECH32M
    checksum = [remainder >> 5 * place & 31 for place in range(5, -1, -1)]
    return PREFIX + "1" + "".join(ALPHABET[value] for value in data + checksum)


def decode_id(text: str) -> bytes:
    require(text.isascii() and text in (text.lower(), text.upper()), "id-text", "mixed case")
    text = text.lower()
    require(len(text) == TEXT_LENGTH and text.startswith(PREFIX + "1"), "id-text", "length or prefix")
    data = [ALPHABET.find(c) for c in text[len(PREFIX) + 1 :]]
    require(-1 not in data, "id-text", "a character that bech32 does not have")
    require(_polymod(_expanded() + data) == BECH32M, "id-text", "checksum")
    number = 0
    for value in data[:52]:
        number = number << 5 | value
    require(number & 15 == 0, "id-text", "padding")
    return (number >> 4).to_bytes(32, "big")


def short_id(identity: bytes) -> str:
    """For people only."""
    text = encode_id(identity)
    return f"{PREFIX}1{text[5:9]}…{text[-4:]}"


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    return MESSAGE_ID.fullmatch(text) is not None
