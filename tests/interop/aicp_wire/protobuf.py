"""As much of the Protocol Buffers wire format as the bodies of AICP need: varints, strings, repeated strings."""

from __future__ import annotations

from typing import Any

VARINT, FIXED64, LENGTH, START, END, FIXED32 = 0, 1, 2, 3, 4, 5

UINT, STRING, STRINGS = "uint", "string", "strings"

# name, kind and number of each field: section 8 and, numbered in their order from 1 on, section 12
MESSAGES: dict[str, tuple[tuple[str, str, int], ...]] = {
    "ErrorBody": (
        ("error_code", UINT, 1),
        ("error_message", STRING, 2),
        ("original_message_id", STRING, 3),
        ("retry_after_ms", UINT, 4),
    ),
    "Attach": (("name", STRING, 1), ("capabilities", STRINGS, 2), ("topics", STRINGS, 3)),
    "AttachReply": (
        ("agent_id", STRING, 1),
        ("node_id", STRING, 2),
        ("node_name", STRING, 3),
        ("lease_ms", UINT, 4),
        ("message_bytes_max", UINT, 5),
    ),
    "Resolve": (("address", STRING, 1),),
    "ResolveReply": (
        ("agent_id", STRING, 1),
        ("agent_name", STRING, 2),
        ("node_id", STRING, 3),
        ("node_name", STRING, 4),
    ),
}

UINT_BITS = {("ErrorBody", "error_code"): 32, ("ErrorBody", "retry_after_ms"): 32}


class BadProtobuf(Exception):
    """The bytes are not a message."""


def empty_value(kind: str) -> Any:
    return {UINT: 0, STRING: "", STRINGS: []}[kind]


def encode_varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(data):
            raise BadProtobuf("a varint that is cut short")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >= 1 << 64:
                raise BadProtobuf("a varint above 64 bits")
            return value, at + place + 1
    raise BadProtobuf("a varint of more than ten bytes")


def encode(message: str, values: dict[str, Any]) -> bytes:
    """Ascending field numbers; empty and zero values are left out."""
    result = b""
    for name, kind, number in MESSAGES[message]:
        value = values.get(name, empty_value(kind))
        if kind == UINT:
            if value:
                result += encode_varint(number << 3 | VARINT) + encode_varint(value)
            continue
        for text in value if kind == STRINGS else [value] if value else []:
            data = text.encode()
            result += encode_varint(number << 3 | LENGTH) + encode_varint(len(data)) + data
    return result


def fields(data: bytes) -> list[tuple[int, int, Any]]:
    """Number, wire type and value of each field; of a group only that it begins, what is in it is skipped."""
    result: list[tuple[int, int, Any]] = []
    open_groups: list[int] = []
    at = 0
    while at < len(data):
        tag, at = decode_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise BadProtobuf("a field number out of range")
        value: Any = None
        if wire == VARINT:
            value, at = decode_varint(data, at)
        elif wire in (FIXED64, FIXED32, LENGTH):
            length = {FIXED64: 8, FIXED32: 4}.get(wire)
            if length is None:
                length, at = decode_varint(data, at)
            if length > len(data) - at:
                raise BadProtobuf("a field that is cut short")
            value, at = data[at : at + length], at + length
        elif wire == START:
            if not open_groups:
                result.append((number, wire, None))
            open_groups.append(number)
            continue
        elif wire == END:
            if not open_groups or open_groups.pop() != number:
                raise BadProtobuf("a group that was not open")
            continue
        else:
            raise BadProtobuf("an unknown wire type")
        if not open_groups:
            result.append((number, wire, value))
    if open_groups:
        raise BadProtobuf("a group that is not closed")
    return result


def decode(message: str, data: bytes) -> dict[str, Any]:
    """The last one of a field wins, unknown fields are skipped, known ones of another wire type refuse it all."""
    table = {number: (name, kind) for name, kind, number in MESSAGES[message]}
    values = {name: empty_value(kind) for name, kind, _ in MESSAGES[message]}
    for number, wire, value in fields(data):
        if number not in table:
            continue
        name, kind = table[number]
        if wire != (VARINT if kind == UINT else LENGTH):
            raise BadProtobuf(f"{name}: another wire type")
        if kind == UINT:
            values[name] = value & (1 << UINT_BITS.get((message, name), 64)) - 1
        else:
            try:
                text = value.decode("utf-8", "strict")
            except UnicodeDecodeError:
                raise BadProtobuf("a string that is not UTF-8") from None
            if kind == STRING:
                values[name] = text
            else:
                values[name].append(text)
    return values
