"""A MessagePack walker that keeps what the usual decoders lose: formats, exact bytes, order and doubled keys."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEVELS = 8


class Malformed(Exception):
    """Bad MessagePack; the caller knows which reason that is."""


@dataclass(frozen=True)
class Item:
    """One value. `kind` is uint, int (a signed format), nil, bool, float, str, bin, array or map."""

    kind: str
    value: Any
    start: int
    end: int

    def is_uint(self, least: int = 0, most: int = 2**64 - 1) -> bool:
        return self.kind == "uint" and least <= self.value <= most

    def is_true(self) -> bool:
        return self.kind == "bool" and self.value is True

    def is_bin(self, length: int) -> bool:
        return self.kind == "bin" and len(self.value) == length

    def is_text(self, most: int) -> bool:
        """A str of 1 to `most` bytes without control characters."""
        return self.kind == "str" and is_text(self.value, most)


def is_text(value: str, most: int) -> bool:
    if not 1 <= len(value.encode()) <= most:
        return False
    return not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in value)


class Walker:
    """Walks over one buffer. Lengths are compared with what is there before anything is made of them."""

    def __init__(self, data: bytes, levels: int = LEVELS) -> None:
        self.data = data
        self.at = 0
        self.levels = levels

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Malformed("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "big", signed=signed)

    def item(self, level: int = 1) -> Item:
        """The next value; a container found here is of level `level`."""
        start = self.at
        kind, value = self.value(self.take(1)[0], level)
        return Item(kind, value, start, self.at)

    def value(self, first: int, level: int) -> tuple[str, Any]:
        if first <= 0x7F:
            return "uint", first
        if first >= 0xE0:
            return "int", first - 0x100
        if first <= 0x8F:
            return "map", self.pairs(first & 0x0F, level)
        if first <= 0x9F:
            return "array", self.items(first & 0x0F, level)
        if first <= 0xBF:
            return "str", self.string(first & 0x1F)
        reader = READERS.get(first)
        if reader is None:
            raise Malformed(f"byte {first:#04x}")
        return reader(self, level)

    def string(self, length: int) -> str:
        try:
            return self.take(length).decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Malformed("a str that is not UTF-8") from None

    def count(self, number: int, least_bytes: int, level: int) -> int:
        if level > self.levels:
            raise Malformed("too many levels")
        if number * least_bytes > len(self.data) - self.at:
            raise Malformed("more entries than bytes")
        return number

    def items(self, number: int, level: int) -> list[Item]:
        return [self.item(level + 1) for _ in range(self.count(number, 1, level))]

    def pairs(self, number: int, level: int) -> list[tuple[Item, Item]]:
        return [(self.item(level + 1), self.item(level + 1)) for _ in range(self.count(number, 2, level))]


Reader = Callable[[Walker, int], tuple[str, Any]]


def _uint(width: int) -> Reader:
    return lambda walker, level: ("uint", walker.number(width))


def _int(width: int) -> Reader:
    return lambda walker, level: ("int", walker.number(width, signed=True))


def _float(form: str, width: int) -> Reader:
    return lambda walker, level: ("float", struct.unpack(form, walker.take(width))[0])


def _str(width: int) -> Reader:
    return lambda walker, level: ("str", walker.string(walker.number(width)))


def _bin(width: int) -> Reader:
    return lambda walker, level: ("bin", walker.take(walker.number(width)))


def _array(width: int) -> Reader:
    return lambda walker, level: ("array", walker.items(walker.number(width), level))


def _map(width: int) -> Reader:
    return lambda walker, level: ("map", walker.pairs(walker.number(width), level))


# 0xc1 and the extension types (0xc7 to 0xc9, 0xd4 to 0xd8) are left out on purpose
READERS: dict[int, Reader] = {
    0xC0: lambda walker, level: ("nil", None),
    0xC2: lambda walker, level: ("bool", False),
    0xC3: lambda walker, level: ("bool", True),
    0xC4: _bin(1),
    0xC5: _bin(2),
    0xC6: _bin(4),
    0xCA: _float(">f", 4),
    0xCB: _float(">d", 8),
    0xCC: _uint(1),
    0xCD: _uint(2),
    0xCE: _uint(4),
    0xCF: _uint(8),
    0xD0: _int(1),
    0xD1: _int(2),
    0xD2: _int(4),
    0xD3: _int(8),
    0xD9: _str(1),
    0xDA: _str(2),
    0xDB: _str(4),
    0xDC: _array(2),
    0xDD: _array(4),
    0xDE: _map(2),
    0xDF: _map(4),
}


def walk(data: bytes, levels: int = LEVELS) -> Item:
    """The one value that fills `data` from the first byte to the last."""
    walker = Walker(data, levels)
    item = walker.item()
    if walker.at != len(data):
        raise Malformed("bytes left over")
    return item


def walk_map(data: bytes, levels: int = LEVELS) -> list[tuple[Item, Item]]:
    """The pairs of the one map that fills `data`."""
    item = walk(data, levels)
    if item.kind != "map":
        raise Malformed("not a map")
    return item.value


def pack_uint(value: int, width: int | None = None) -> bytes:
    """An uint in its shortest form, or in uint 8, 16, 32 or 64 (`width` in bytes)."""
    if width is None:
        if value <= 0x7F:
            return bytes([value])
        width = next(w for w in (1, 2, 4, 8) if value < 1 << (8 * w))
    return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[width]]) + value.to_bytes(width, "big")
