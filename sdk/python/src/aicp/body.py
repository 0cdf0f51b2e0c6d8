"""What one agent says to another: bytes, and what they are. Never looked into on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgpack

from ._door.kinds import ContentType
from .errors import BadBody, Invalid


@dataclass(frozen=True)
class Body:
    """A body to be sent. Most callers give plain values instead: see `Body.of`."""

    content_type: ContentType = ContentType.NONE
    octets: bytes = b""
    name: str | None = None

    def __repr__(self) -> str:
        # Says how long it is, never what is in it.
        return f"Body({self.name or self.content_type.name}, {len(self.octets)} bytes)"

    @classmethod
    def of(cls, value: Any) -> Body:
        """A str is text, bytes are octets, `None` is no body, a `Body` is itself; any other value is MessagePack."""
        if isinstance(value, Body):
            return value
        if value is None:
            return cls()
        if isinstance(value, str):
            return cls.text(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return cls(ContentType.OCTETS, bytes(value))
        return cls.msgpack(value)

    @classmethod
    def empty(cls) -> Body:
        """No body at all. As the answer of a handler it is an answer, where `None` is none."""
        return cls()

    @classmethod
    def text(cls, text: str) -> Body:
        """Text."""
        return cls(ContentType.TEXT, text.encode())

    @classmethod
    def json(cls, value: Any) -> Body:
        """A value, as JSON."""
        try:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            return cls(ContentType.JSON, text.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"the body has no form in JSON: {error}") from error

    @classmethod
    def msgpack(cls, value: Any) -> Body:
        """A value, as MessagePack."""
        try:
            return cls(ContentType.MESSAGEPACK, msgpack.packb(value, use_bin_type=True))
        except (TypeError, ValueError, OverflowError) as error:
            raise Invalid(f"the body has no form in MessagePack: {error}") from error

    @classmethod
    def named(cls, name: str, octets: bytes) -> Body:
        """Bytes of a type that is told by name, as `image/png`."""
        return cls(ContentType.NAMED, octets, name)


def decode(content_type: ContentType, octets: bytes) -> Any:
    """The value that a body stands for: what `Body.of` was given on the other side, as far as there is one."""
    try:
        if content_type is ContentType.MESSAGEPACK and octets:
            return msgpack.unpackb(octets, raw=False, strict_map_key=False)
        if content_type is ContentType.JSON and octets:
            return json.loads(octets)
        if content_type is ContentType.TEXT:
            return octets.decode()
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise BadBody(f"the body is no {content_type.name}: {error}") from error
    is_nothing = content_type in (ContentType.NONE, ContentType.MESSAGEPACK, ContentType.JSON) and not octets
    return None if is_nothing else octets
