"""What is sent, kept apart from the frame, so that it can be written again with another mark.

Judges what callers chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from ._credit import Amount
from ._door import bodies, schema
from ._door.frame import Draft, write_frame
from ._door.header import payload_limits
from ._door.ids import message_id_to_text
from ._door.kinds import METADATA_BYTES_MAX, METADATA_ENTRIES_MAX, ZERO_ID, ContentType, MessageType, Receipt, Shape
from ._door.metadata import Key, is_text
from ._limits import REASON_BYTES_MAX
from .body import Body
from .errors import BodyTooLarge, Invalid, Refuse

# Key 73: the last stage to hear of.
STAGES = {"accepted": Receipt.ACCEPTED, "stored": Receipt.STORED, "handled": Receipt.HANDLED}
# Room for the library's own keys beside the applications' entries.
OWN_ENTRIES = 8
OWN_BYTES = 1024


@dataclass(slots=True)
class Extras:
    """What an agent may add to a message."""

    expiry: int | None = None
    traceparent: str | None = None
    session: str | None = None
    capability: str | None = None
    entries: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Letter:
    """One submission, as long as it may have to be sent."""

    type: MessageType
    shape: Shape
    destination: bytes
    body: Body = field(default_factory=Body)
    subject: str | None = None
    topic: str | None = None
    extras: Extras = field(default_factory=Extras)
    handled_wanted: bool = False
    last_stage: Receipt | None = None
    delivery_number: int | None = None
    credit: Amount | None = None
    # Who says it, where that is not yet this agent.
    source: bytes | None = None

    @property
    def wants_outcome(self) -> bool:
        """Whether its end, and not only where it lies, was asked for."""
        return self.last_stage is Receipt.HANDLED

    def judge(self, body_bytes_max: int) -> None:
        """Judges all that the caller chose, before anything is under way."""
        most = min(body_bytes_max, payload_limits(self.type, self.shape)[1] - METADATA_BYTES_MAX - 2)
        if len(self.body.octets) > most:
            raise BodyTooLarge(len(self.body.octets), most)
        extras = self.extras
        texts = (
            ("a subject", self.subject, 255),
            ("a topic", self.topic, 255),
            ("a content type's name", self.body.name, 127),
            ("a traceparent", extras.traceparent, 128),
            ("a session id", extras.session, 64),
            ("a capability", extras.capability, 64),
        )
        for what, text, length in texts:
            if text is not None and not is_text(text, length):
                raise Invalid(f"{what} is 1 to {length} bytes without control characters")
        if self.body.octets and self.body.content_type is ContentType.NONE:
            raise Invalid("a body has a content type")
        if extras.entries:
            judge_entries(extras.entries)

    def write(self, message_id: int, source: bytes, again: bool = False) -> bytes:
        """The frame."""
        draft = Draft(
            self.type,
            self.shape,
            message_id,
            source if self.source is None else self.source,
            self.destination,
            self.body.content_type,
            Receipt.HANDLED if self.shape is Shape.HANDLED else Receipt.NONE,
        )
        return write_frame(draft, self._metadata(again), self.body.octets, dict(self.extras.entries))

    def _metadata(self, again: bool) -> dict[Key, Any]:
        extras = self.extras
        known: dict[Key, Any] = {
            Key.CONTENT_TYPE_NAME: self.body.name,
            Key.EXPIRY: extras.expiry,
            Key.SUBJECT: self.subject,
            Key.TOPIC: self.topic,
            Key.TRACEPARENT: extras.traceparent,
            Key.SESSION_ID: extras.session,
            Key.CAPABILITY: extras.capability,
            Key.HANDLED_WANTED: True if self.handled_wanted else None,
            Key.AGAIN: True if again else None,
            Key.DELIVERY_NUMBER: self.delivery_number,
            Key.LAST_STAGE: None if self.last_stage is None else int(self.last_stage),
            Key.CREDIT_MESSAGES: self.credit.count if self.credit else None,
            Key.CREDIT_BYTES: self.credit.octets if self.credit else None,
        }
        return {key: value for key, value in known.items() if value is not None}


def judge_entries(entries: Mapping[str, Any]) -> None:
    """The applications' own entries: few, short, and of a form that the reader on the other side takes."""
    for key in entries:
        if not isinstance(key, str) or not 1 <= len(key.encode()) <= 128:
            raise Invalid("the key of an entry is a str of 1 to 128 bytes")
    try:
        packed = msgpack.packb(dict(entries), use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"an entry has no form in MessagePack: {error}") from error
    if len(entries) > METADATA_ENTRIES_MAX - OWN_ENTRIES or len(packed) > METADATA_BYTES_MAX - OWN_BYTES:
        raise Invalid("entries of an application's own are at most 56, and 15 KiB")


def packed(body: object) -> Body:
    """A body of the protocol itself."""
    return Body(ContentType.MESSAGEPACK, bodies.write_body(body))


def question(subject: str, body: Body | None = None) -> Letter:
    """A question to the node."""
    return Letter(MessageType.REQUEST, Shape.ONCE, ZERO_ID, body or Body(), subject)


def handled(destination: bytes, number: int) -> Letter:
    """A delivery was handled."""
    return Letter(MessageType.ACK, Shape.HANDLED, destination, delivery_number=number)


def refusal(destination: bytes, number: int | None, message_id: int, why: Refuse) -> Letter:
    """A delivery will not be handled; with a number, a durable one."""
    text = why.message.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")
    error = schema.ErrorBody(why.code, text, message_id_to_text(message_id), round((why.retry_after or 0) * 1000))
    return Letter(MessageType.ERROR, Shape.NOTICE, destination, packed(error), delivery_number=number)


def answer(destination: bytes, body: Body, number: int | None) -> Letter:
    """The answer to a REQUEST; with a number, to a durable delivery, which it ends."""
    if number is None:
        return Letter(MessageType.RESPONSE, Shape.ONCE, destination, body)
    stage = Receipt.ACCEPTED
    return Letter(MessageType.RESPONSE, Shape.DURABLE, destination, body, last_stage=stage, delivery_number=number)
