"""Bodies that the protocol itself defines, as MessagePack maps, JSON objects or Protocol Buffers."""

from __future__ import annotations

import json
from typing import Any

import msgpack

from . import protobuf
from .protobuf import STRING, UINT
from .refusal import Refused
from .strict_msgpack import LEVELS, Item, Malformed, walk_map

MESSAGEPACK, PROTOBUF, JSON = 1, 2, 3


ENTRIES_MOST = 64
INTEGER_MOST = 40  # digits; more are beyond every field


class BadBody(Exception):
    """Not of the form, whatever the reason is called where it is used."""


class JsonObject(list):  # type: ignore[type-arg]
    """The pairs of a JSON object, doubled names included."""


def _refuse_constant(name: str) -> None:
    raise BadBody(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    """An integer without end, or with a minus sign, becomes a float, which suits no field."""
    return int(digits) if len(digits) <= INTEGER_MOST and not digits.startswith("-") else float(digits)


def judge_json_levels(text: str) -> None:
    """Counts brackets outside of strings before anything is parsed."""
    level, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_string = True
        elif character in "[{":
            level += 1
            if level > LEVELS:
                raise BadBody("too many levels")
        elif character in "]}":
            level -= 1


def has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if isinstance(value, (list, tuple)):
        return any(has_surrogate(entry) for entry in value)
    return False


def json_pairs(data: bytes) -> list[tuple[str, Any]]:
    try:
        text = data.decode("utf-8", "strict")
        judge_json_levels(text)
        value = json.loads(text, object_pairs_hook=JsonObject, parse_int=_integer, parse_constant=_refuse_constant)
    except ValueError as error:
        raise BadBody(str(error)) from None
    if not isinstance(value, JsonObject):
        raise BadBody("not an object")
    if has_surrogate([name for name, _ in value]):
        raise BadBody("half of a surrogate pair in a name")
    return value


def _plain_value(item: Item) -> Any:
    """An Item as plain Python, where bytes, maps and None belong to no field."""
    if item.kind in ("uint", "int", "str", "bool", "float"):
        return item.value
    if item.kind == "array":
        return [_plain_value(entry) for entry in item.value]
    return None


def messagepack_pairs(data: bytes) -> list[tuple[str, Any]]:
    try:
        pairs = walk_map(data)
    except Malformed as malformed:
        raise BadBody(str(malformed)) from None
    if len(pairs) > ENTRIES_MOST:
        raise BadBody("too many entries")
    result = []
    seen: set[str] = set()
    for key, item in pairs:
        if key.kind != "str" or key.value in seen:
            raise BadBody("a key that is no string, or twice")
        seen.add(key.value)
        result.append((key.value, _plain_value(item)))
    return result


def is_of_kind(value: Any, kind: str) -> bool:
    if kind == UINT:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    if kind == STRING:
        return isinstance(value, str)
    plain_list = isinstance(value, list) and not isinstance(value, JsonObject)
    return plain_list and all(isinstance(entry, str) for entry in value)


def decode(message: str, content_type: int, data: bytes) -> tuple[dict[str, Any], set[str]]:
    """All fields of the message, and the names of those that stood there."""
    if content_type == PROTOBUF:
        try:
            values = protobuf.decode(message, data)
        except protobuf.BadProtobuf as bad:
            raise BadBody(str(bad)) from None
        return values, set(values)
    if content_type not in (MESSAGEPACK, JSON):
        raise BadBody(f"content type {content_type}")
    pairs = messagepack_pairs(data) if content_type == MESSAGEPACK else json_pairs(data)
    kinds = {name: kind for name, kind, _ in protobuf.MESSAGES[message]}
    values = {name: protobuf.empty_value(kind) for name, kind in kinds.items()}
    present: set[str] = set()
    for name, value in pairs:
        if name not in kinds:
            continue
        if name in present or not is_of_kind(value, kinds[name]) or has_surrogate(value):
            raise BadBody(f"{name}: twice, of another type, or half of a surrogate pair")
        present.add(name)
        values[name] = value
    return values, present


def encode(message: str, content_type: int, values: dict[str, Any]) -> bytes:
    """All fields in the order of the page; in Protocol Buffers without the empty ones."""
    if content_type == PROTOBUF:
        return protobuf.encode(message, values)
    ordered = {
        name: values.get(name, protobuf.empty_value(kind)) for name, kind, _ in protobuf.MESSAGES[message]
    }
    if content_type == MESSAGEPACK:
        return msgpack.packb(ordered)
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()


def decode_door_body(message: str, content_type: int, data: bytes) -> dict[str, Any]:
    """Attach, AttachReply, Resolve, ResolveReply: the form of section 12; what the fields say is not judged."""
    try:
        return decode(message, content_type, data)[0]
    except BadBody as bad:
        raise Refused("body", str(bad)) from None
