"""A strict walk over MessagePack, which keeps what the usual decoder forgets: formats, exact bytes, doubled keys.

Metadata and the bodies of the protocol itself are read by it. Bodies of applications are not: they are the `msgpack`
package's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

LEVELS_MAX = 8
# first byte: kind, bytes of the number that follows
NUMBERS = {0xCC: ("uint", 1), 0xCD: ("uint", 2), 0xCE: ("uint", 4), 0xCF: ("uint", 8)}
SIGNED = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
FLOATS = {0xCA: (">f", 4), 0xCB: (">d", 8)}
COUNTED = {
    0xC4: ("bin", 1),
    0xC5: ("bin", 2),
    0xC6: ("bin", 4),
    0xD9: ("str", 1),
    0xDA: ("str", 2),
    0xDB: ("str", 4),
    0xDC: ("array", 2),
    0xDD: ("array", 4),
    0xDE: ("map", 2),
    0xDF: ("map", 4),
}
CONSTANTS = {0xC0: ("nil", None), 0xC2: ("bool", False), 0xC3: ("bool", True)}


class Malformed(Exception):
    """No MessagePack, or deeper than eight levels."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value. `kind` is uint, int (a signed format), nil, bool, float, str, bin, array or map."""

    kind: str
    value: Any
    begin: int
    end: int


class Walker:
    """Walks over one buffer. A length is compared with what is there before anything is made of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise Malformed("cut short")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "big", signed=signed)

    def item(self, level: int = 1) -> Item:
        """The next value; an array or a map that is found here is of that level."""
        begin = self.at
        kind, value = self.value(self.take(1)[0], level)
        return Item(kind, value, begin, self.at)

    def value(self, first: int, level: int) -> tuple[str, Any]:
        if first <= 0x7F:
            return "uint", first
        if first >= 0xE0:
            return "int", first - 0x100
        if first <= 0xBF:
            kind, count = ("map", first & 0x0F) if first <= 0x8F else ("array", first & 0x0F)
            return self.counted("str", first & 0x1F, level) if first >= 0xA0 else self.counted(kind, count, level)
        if first in CONSTANTS:
            return CONSTANTS[first]
        if first in NUMBERS:
            kind, width = NUMBERS[first]
            return kind, self.number(width)
        if first in COUNTED:
            kind, width = COUNTED[first]
            return self.counted(kind, self.number(width), level)
        if first in SIGNED:
            return "int", self.number(SIGNED[first], signed=True)
        if first in FLOATS:
            form, width = FLOATS[first]
            return "float", struct.unpack(form, self.take(width))[0]
        raise Malformed(f"byte {first:#04x}")

    def counted(self, kind: str, count: int, level: int) -> tuple[str, Any]:
        if kind == "bin":
            return kind, self.take(count)
        if kind == "str":
            try:
                return kind, self.take(count).decode("utf-8", "strict")
            except UnicodeDecodeError:
                raise Malformed("a str that is not UTF-8") from None
        if level > LEVELS_MAX:
            raise Malformed("too many levels")
        if count * (2 if kind == "map" else 1) > len(self.data) - self.at:
            raise Malformed("more entries than bytes")
        if kind == "array":
            return kind, [self.item(level + 1) for _ in range(count)]
        return kind, [(self.item(level + 1), self.item(level + 1)) for _ in range(count)]


def walk_map(data: bytes) -> list[tuple[Item, Item]]:
    """The pairs of the one map that fills `data`."""
    walker = Walker(data)
    item = walker.item()
    if walker.at != len(data):
        raise Malformed("bytes left over")
    if item.kind != "map":
        raise Malformed("not a map")
    pairs: list[tuple[Item, Item]] = item.value
    return pairs
