"""Section 8: the body of an ERROR."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from . import bodies
from .ids import is_message_id
from .refusal import Refused, require

MEANINGS = {
    4001: "agent offline or unknown",
    4002: "authentication failed",
    4003: "message too large",
    4004: "timeout: the outcome is unknown",
    4005: "replayed or stale",
    4006: "hops exhausted",
    4007: "no route",
    4008: "refused by policy",
    4009: "full, or over quota",
    4010: "malformed or refused content",
    4011: "unknown version",
    4012: "expired, never delivered",
    4013: "unknown or old prekey",
    4014: "given up after too many deliveries",
    4015: "older flow",
    5000: "server error",
    5001: "storage failed",
}

MESSAGE_MOST = 1024
MUST = {"error_code", "error_message", "original_message_id"}


@dataclass(frozen=True)
class ErrorBody:
    error_code: int
    error_message: str
    original_message_id: str
    retry_after_ms: int = 0

    def encode(self, content_type: int) -> bytes:
        return bodies.encode("ErrorBody", content_type, asdict(self))

    def meaning(self) -> str:
        """Readers keep codes that they do not know."""
        return MEANINGS.get(self.error_code, "unknown")


def encoding_for(content_type_of_request: int) -> int:
    """The content type in which a request is answered by an ERROR."""
    return content_type_of_request if content_type_of_request in (1, 2, 3) else bodies.MESSAGEPACK


def decode_error(content_type: int, data: bytes) -> ErrorBody:
    try:
        values, present = bodies.decode("ErrorBody", content_type, data)
    except bodies.BadBody as bad:
        raise Refused("error-body", str(bad)) from None
    require(MUST <= present, "error-body", "a field is missing")
    error = ErrorBody(**values)
    require(4000 <= error.error_code <= 5999, "error-body", f"code {error.error_code}")
    require(len(error.error_message.encode()) <= MESSAGE_MOST, "error-body", "a long message")
    require(is_message_id(error.original_message_id), "error-body", "original_message_id")
    require(error.retry_after_ms < 1 << 32, "error-body", "retry_after_ms")
    return error
