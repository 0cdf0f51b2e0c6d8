"""Ids of agents and nodes as text: bech32m with the prefix `aicp`."""

from __future__ import annotations

from functools import lru_cache

PREFIX = "aicp"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECK = 0x2BC830A3
GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
TEXT_CHARACTERS = len(PREFIX) + 1 + 58


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATORS):
            if top >> bit & 1:
                check ^= generator
    return check


EXPANDED = [ord(c) >> 5 for c in PREFIX] + [0] + [ord(c) & 31 for c in PREFIX]


@lru_cache(maxsize=1024)
def id_to_text(identity: bytes) -> str:
    """The text of 32 bytes."""
    if len(identity) != 32:
        raise ValueError("an id has 32 bytes")
    number = int.from_bytes(identity, "big") << 4
    data = [number >> 5 * place & 31 for place in range(51, -1, -1)]
    rest = _checksum(EXPANDED + data + [0] * 6) ^ CHECK
    data += [rest >> 5 * place & 31 for place in range(5, -1, -1)]
    return f"{PREFIX}1" + "".join(ALPHABET[value] for value in data)


@lru_cache(maxsize=1024)
def id_from_text(text: str) -> bytes | None:
    """The 32 bytes, or `None` if the text is no id."""
    if len(text) != TEXT_CHARACTERS or text not in (text.lower(), text.upper()):
        return None
    text = text.lower()
    data = [ALPHABET.find(c) for c in text[len(PREFIX) + 1 :]]
    if not text.startswith(f"{PREFIX}1") or -1 in data or _checksum(EXPANDED + data) != CHECK:
        return None
    number = 0
    for value in data[:52]:
        number = number << 5 | value
    return None if number & 15 else (number >> 4).to_bytes(32, "big")


def message_id_to_text(message_id: int) -> str:
    """16 lowercase hex digits."""
    return f"{message_id:016x}"


def is_message_id(text: str) -> bool:
    """Whether it is one, as text."""
    return len(text) == 16 and set(text) <= set("0123456789abcdef")
