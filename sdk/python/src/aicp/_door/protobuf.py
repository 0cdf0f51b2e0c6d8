"""As much of the Protocol Buffers wire format as these bodies need: varints, and fields with a length."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5


class BadProtobuf(Exception):
    """The bytes are no message."""


def write_varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def write_number(number: int, value: int) -> bytes:
    return write_varint(number << 3 | VARINT) + write_varint(value)


def write_octets(number: int, value: bytes) -> bytes:
    return write_varint(number << 3 | LENGTH) + write_varint(len(value)) + value


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(data):
            raise BadProtobuf("a varint that is cut short")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >= 1 << 64:
                raise BadProtobuf("a varint of more than 64 bits")
            return value, at + place + 1
    raise BadProtobuf("a varint of more than ten bytes")


def read_fields(data: bytes) -> list[tuple[int, int | bytes | None]]:
    """Number and value of each field: an int, bytes, or `None` for a kind that no body here has."""
    found: list[tuple[int, int | bytes | None]] = []
    groups: list[int] = []
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise BadProtobuf("a field number out of range")
        value: int | bytes | None = None
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire in (FIXED32, FIXED64, LENGTH):
            length = {FIXED32: 4, FIXED64: 8}.get(wire)
            if length is None:
                length, at = read_varint(data, at)
            if length > len(data) - at:
                raise BadProtobuf("a field that is cut short")
            value = data[at : at + length] if wire == LENGTH else None
            at += length
        elif wire == GROUP:
            groups.append(number)
        elif wire == GROUP_END:
            if not groups or groups.pop() != number:
                raise BadProtobuf("the end of a group that did not begin")
            continue
        else:
            raise BadProtobuf("an unknown kind of field")
        # What is in a group is skipped, but for the fact that one began.
        if not groups or (wire == GROUP and len(groups) == 1):
            found.append((number, value))
    if groups:
        raise BadProtobuf("a group without an end")
    return found
