"""Bodies of the protocol itself, read and written in each of the three encodings."""

from __future__ import annotations

import dataclasses
import json
import typing
from functools import lru_cache
from typing import Any, TypeVar

import msgpack

from . import protobuf
from .ids import is_message_id
from .kinds import ContentType
from .packed import LEVELS_MAX, Item, Malformed, walk_map
from .refusal import Unfit, require
from .schema import ErrorBody

T = TypeVar("T")
ENTRIES_MAX = 64
DIGITS_MAX = 40
ERROR_MUST = {"error_code", "error_message", "original_message_id"}
ERROR_MESSAGE_BYTES_MAX = 1024
UINT_BITS = {(ErrorBody, "error_code"): 32, (ErrorBody, "retry_after_ms"): 32}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a body: str, int or bool, or a body in it; alone or in an array."""

    name: str
    number: int
    kind: Any
    many: bool

    @property
    def empty(self) -> Any:
        return () if self.many else self.kind()


def fields_of(body: Any) -> tuple[Field, ...]:
    return _fields_of(body)


@lru_cache
def _fields_of(body: Any) -> tuple[Field, ...]:
    hints = typing.get_type_hints(body)
    found = []
    for place, field in enumerate(dataclasses.fields(body)):
        kind = hints[field.name]
        many = typing.get_origin(kind) is tuple
        found.append(Field(field.name, place + 1, typing.get_args(kind)[0] if many else kind, many))
    return tuple(found)


class JsonObject(list[tuple[str, Any]]):
    """The pairs of an object, doubled names included."""


def read_body(body: type[T], content_type: ContentType, data: bytes) -> T:
    """The body, or Unfit(`body`)."""
    try:
        if content_type is ContentType.MESSAGEPACK:
            return from_pairs(body, messagepack_pairs(walk_map(data)))
        if content_type is ContentType.JSON:
            return from_pairs(body, json_object(data))
        if content_type is ContentType.PROTOBUF:
            return from_protobuf(body, data)
    except (Malformed, protobuf.BadProtobuf, ValueError, RecursionError) as error:
        raise Unfit("body", str(error)) from None
    raise Unfit("body", f"content type {content_type.name}")


def write_body(body: Any, content_type: ContentType = ContentType.MESSAGEPACK) -> bytes:
    """All fields in their order; in Protocol Buffers without the empty ones."""
    if content_type is ContentType.PROTOBUF:
        return to_protobuf(body)
    plain = dataclasses.asdict(body)
    if content_type is ContentType.JSON:
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
    packed: bytes = msgpack.packb(plain)
    return packed


# MessagePack and JSON


def messagepack_pairs(pairs: list[tuple[Item, Item]], level: int = 1) -> JsonObject:
    if len(pairs) > ENTRIES_MAX:
        raise ValueError("more than 64 entries")
    result = JsonObject()
    seen: set[str] = set()
    for key, item in pairs:
        if key.kind != "str" or key.value in seen:
            raise ValueError("a key that is no str, or stands twice")
        seen.add(key.value)
        result.append((key.value, messagepack_value(item)))
    return result


def messagepack_value(item: Item) -> Any:
    """As JSON would give it; `None` for what no field is."""
    if item.kind in ("uint", "int", "str", "bool"):
        return item.value
    if item.kind == "array":
        return [messagepack_value(entry) for entry in item.value]
    if item.kind == "map":
        # A map that belongs to no known field may have any keys.
        if any(key.kind != "str" for key, _ in item.value):
            return None
        return JsonObject((key.value, messagepack_value(value)) for key, value in item.value)
    return None


def json_object(data: bytes) -> JsonObject:
    text = data.decode("utf-8", "strict")
    found = json.loads(text, object_pairs_hook=JsonObject, parse_int=json_integer, parse_constant=refuse_constant)
    if not isinstance(found, JsonObject):
        raise ValueError("no object")
    judge_levels(found, 1)
    if any(has_half(name) for name, _ in found):
        raise ValueError("half of a surrogate pair")
    return found


def json_integer(digits: str) -> int | float:
    """What has a minus sign, even zero, suits no field; nor does what is far too long."""
    return float("nan") if digits.startswith("-") or len(digits) > DIGITS_MAX else int(digits)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def judge_levels(value: Any, level: int) -> None:
    if not isinstance(value, list):
        return
    if level > LEVELS_MAX:
        raise ValueError("more than eight levels")
    for entry in value:
        judge_levels(entry[1] if isinstance(value, JsonObject) else entry, level + 1)


def has_half(text: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def from_pairs(body: type[T], pairs: JsonObject) -> T:
    known = {field.name: field for field in fields_of(body)}
    values: dict[str, Any] = {}
    for name, value in pairs:
        field = known.get(name)
        if field is None:
            continue
        if name in values:
            raise ValueError(f"{name} stands twice")
        if field.many:
            if not isinstance(value, list) or isinstance(value, JsonObject):
                raise ValueError(f"{name} is no array")
            values[name] = tuple(fitting(field, entry) for entry in value)
        else:
            values[name] = fitting(field, value)
    if body is ErrorBody and not values.keys() >= ERROR_MUST:
        raise ValueError("a field is missing")
    return body(**values)


def fitting(field: Field, value: Any) -> Any:
    """The value, if it is of the field's kind."""
    if dataclasses.is_dataclass(field.kind):
        if not isinstance(value, JsonObject):
            raise ValueError(f"{field.name} is no map")
        nested: Any = field.kind
        return from_pairs(nested, value)
    if type(value) is not field.kind:
        raise ValueError(f"{field.name} is of another type")
    if isinstance(value, int) and not 0 <= value < 1 << 64:
        raise ValueError(f"{field.name} is out of range")
    if isinstance(value, str) and has_half(value):
        raise ValueError("half of a surrogate pair")
    return value


# Protocol Buffers


def from_protobuf(body: type[T], data: bytes) -> T:
    known = {field.number: field for field in fields_of(body)}
    values: dict[str, Any] = {}
    for number, value in protobuf.read_fields(data):
        field = known.get(number)
        if field is None:
            continue
        read = from_wire(body, field, value)
        # The last of several counts.
        values[field.name] = (*values.get(field.name, ()), read) if field.many else read
    return body(**values)


def from_wire(body: Any, field: Field, value: int | bytes | None) -> Any:
    is_number = field.kind in (int, bool)
    if isinstance(value, int) and is_number:
        low = value & (1 << UINT_BITS.get((body, field.name), 64)) - 1
        return field.kind(low)
    if isinstance(value, bytes) and not is_number:
        return value.decode("utf-8", "strict") if field.kind is str else from_protobuf(field.kind, value)
    raise protobuf.BadProtobuf(f"{field.name} is of another kind")


def to_protobuf(body: Any) -> bytes:
    out = b""
    for field in fields_of(type(body)):
        value = getattr(body, field.name)
        if value == field.empty and not dataclasses.is_dataclass(field.kind):
            continue
        for entry in value if field.many else (value,):
            if field.kind in (int, bool):
                out += protobuf.write_number(field.number, int(entry))
            else:
                octets = entry.encode() if isinstance(entry, str) else to_protobuf(entry)
                out += protobuf.write_octets(field.number, octets)
    return out


# Errors


def read_error(content_type: ContentType, data: bytes) -> ErrorBody:
    """The body of an ERROR, which must say what went wrong, or Unfit(`error-body`)."""
    try:
        error = read_body(ErrorBody, content_type, data)
    except Unfit as unfit:
        raise Unfit("error-body", str(unfit)) from None
    require(4000 <= error.error_code <= 5999, "error-body", f"code {error.error_code}")
    require(len(error.error_message.encode()) <= ERROR_MESSAGE_BYTES_MAX, "error-body", "a long message")
    require(is_message_id(error.original_message_id), "error-body", "original_message_id")
    require(error.retry_after_ms < 1 << 32, "error-body", "retry_after_ms")
    return error
