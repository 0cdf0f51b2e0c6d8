"""What arrives: messages, deliveries that want an answer, and outcomes. Everything that the daemon proved or told
about them can be read; nothing that arrived is changed.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgpack

from . import _letter
from ._door.frame import Frame
from ._door.ids import id_to_text, message_id_to_text
from ._door.kinds import ContentType, MessageType, Shape
from ._door.metadata import Key
from .body import Body, decode
from .errors import AicpError, BadBody, Invalid, Refuse

if TYPE_CHECKING:
    from ._core import Core


class Proof(enum.IntEnum):
    """What the daemon proved about a source."""

    SAME_HOST = 1
    SIGNATURE = 2


@dataclass(frozen=True)
class Sender:
    """Who said it, and what was proved of that."""

    id: str
    name: str
    node: str
    node_id: str
    proof: Proof | None

    @property
    def address(self) -> str:
        """`name@node`, as one would address it."""
        return f"{self.name}@{self.node}"


class Message:
    """What one agent said to another, and what is known about it."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __repr__(self) -> str:
        # Envelope alone: a body may be anybody's secret.
        return f"<{self.type.name} {self.id} from {self.sender.address}, {len(self.raw)} bytes>"

    @cached_property
    def id(self) -> str:
        """The message's id; in an answer, that of the message it answers."""
        return message_id_to_text(self._frame.header.id)

    @property
    def type(self) -> MessageType:
        return self._frame.header.type

    @property
    def durable(self) -> bool:
        """Whether it is kept until its end is known."""
        return self._frame.header.shape is Shape.DURABLE

    @cached_property
    def sender(self) -> Sender:
        """Who said it. Proved by the daemon, unlike anything that stands in the body."""
        known = self._frame.metadata
        node, proof = known.octets(Key.SOURCE_NODE), known.number(Key.PROOF)
        return Sender(
            id_to_text(self._frame.header.source),
            known.text(Key.SOURCE_NAME) or "",
            known.text(Key.SOURCE_NODE_NAME) or "",
            id_to_text(node) if node else "",
            Proof(proof) if proof else None,
        )

    @property
    def subject(self) -> str | None:
        return self._frame.metadata.text(Key.SUBJECT)

    @property
    def topic(self) -> str | None:
        """The topic of a BROADCAST."""
        return self._frame.metadata.text(Key.TOPIC)

    @property
    def capability(self) -> str | None:
        """The capability that was asked for."""
        return self._frame.metadata.text(Key.CAPABILITY)

    @property
    def session(self) -> str | None:
        return self._frame.metadata.text(Key.SESSION_ID)

    @property
    def traceparent(self) -> str | None:
        return self._frame.metadata.text(Key.TRACEPARENT)

    @property
    def attempt(self) -> int:
        """Which attempt to deliver it this is, from 1. What is sent once has one."""
        return self._frame.metadata.number(Key.ATTEMPT) or 1

    @property
    def marked(self) -> bool:
        """Whether it was possibly delivered before."""
        return Key.MARKED in self._frame.metadata.known

    @property
    def hops(self) -> int:
        """How many relays passed it on."""
        return self._frame.metadata.number(Key.HOPS) or 0

    @property
    def sent_at(self) -> datetime.datetime:
        """When the source's daemon accepted it."""
        return _moment(self._frame.header.timestamp)

    @property
    def received_at(self) -> datetime.datetime | None:
        """When the daemon here took it."""
        return _moment_or_none(self._frame.metadata.number(Key.RECEIVED))

    @property
    def deadline(self) -> datetime.datetime | None:
        """When it stops being worth anything."""
        return _moment_or_none(self._frame.metadata.number(Key.EXPIRY))

    @property
    def lease(self) -> float | None:
        """For how many seconds a durable delivery stays with this agent from its arrival, or from the last word that
        work goes on.

        While a handler runs, the library says that word.
        """
        lease = self._frame.metadata.number(Key.LEASE)
        return None if lease is None else lease / 1000

    @property
    def content_type(self) -> ContentType:
        return self._frame.header.content_type

    @property
    def content_type_name(self) -> str | None:
        """The name of the body's type, where that is a named one."""
        return self._frame.metadata.text(Key.CONTENT_TYPE_NAME)

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        return self._frame.body

    @cached_property
    def body(self) -> Any:
        """The body as a value: what MessagePack or JSON stand for, a str, bytes, or `None`. Raises `BadBody`."""
        return decode(self.content_type, self.raw)

    @property
    def text(self) -> str:
        """The body as text, whatever it says it is. Untrusted: escape it before it reaches a terminal."""
        try:
            return self.raw.decode()
        except UnicodeDecodeError as error:
            raise BadBody("the body is no text") from error

    @cached_property
    def entries(self) -> Mapping[str, Any]:
        """Entries of the application's own, beside the body."""
        application = self._frame.metadata.application
        return {key: msgpack.unpackb(value, strict_map_key=False) for key, value in application.items()}


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to settle a durable delivery. It is void on another connection."""

    number: int
    epoch: int
    lease: float
    until: float


class Delivery(Message):
    """A message to this agent.

    A durable one stays with the agent until it is handled, refused or answered, or until the lease ends; after that
    it comes again. `serve` does all this for handlers.
    """

    def __init__(self, frame: Frame, ticket: Ticket | None, core: Core) -> None:
        super().__init__(frame)
        self._ticket = ticket
        self._core = core

    async def handled(self) -> None:
        """It is done: the daemon forgets it, and the sender hears HANDLED if it asked. Nobody waits for this of a
        message that is sent once.
        """
        if self._ticket:
            header = self._frame.header
            self._core.settle(self._ticket, _letter.handled(header.source, self._ticket.number), header.id)

    async def refuse(self, why: Refuse | str) -> None:
        """It cannot be done now: the daemon delivers it again later, and in the end tells the sender. With code 4008 or
        4010 it is never done, and the sender hears so at once. Whoever asked once hears at once in any case, for it
        does not come again."""
        header = self._frame.header
        number = self._ticket.number if self._ticket else None
        letter = _letter.refusal(header.source, number, header.id, why if isinstance(why, Refuse) else Refuse(why))
        if self._ticket:
            self._core.settle(self._ticket, letter, header.id)
        elif header.type is MessageType.REQUEST:
            await self._core.post(letter, header.id)

    async def respond(self, value: Any) -> None:
        """Answers a REQUEST, which also is its end.

        The answer to a durable one is on this host's disk when this returns; if the connection is lost before,
        whether it was taken is unknown, and the message comes again if it was not.
        """
        header = self._frame.header
        if header.type is not MessageType.REQUEST:
            raise Invalid("only a REQUEST can be answered")
        number = self._ticket.number if self._ticket else None
        letter = _letter.answer(header.source, Body.of(value), number)
        letter.judge(self._core.body_bytes_max)
        if self._ticket is None:
            await self._core.post(letter, header.id)
        else:
            await self._core.respond(self._ticket, letter, header.id)

    async def working(self) -> None:
        """Work goes on: the lease begins anew. Raises `OutcomeUnknown` if the message is somebody else's by now."""
        if self._ticket:
            await self._core.working(self._ticket)


@dataclass(frozen=True)
class Outcome:
    """How a durable submission ended, where nobody in this process waits for it: it was sent before a restart, or
    whoever waited has left. Without an error and without an answer it was handled.
    """

    id: str
    answer: Message | None
    error: AicpError | None


def _moment(nanoseconds: int) -> datetime.datetime:
    # Beyond the year 9999 a time says no more than that it never comes.
    seconds = min(nanoseconds / 1e9, 253_402_300_799.0)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _moment_or_none(nanoseconds: int | None) -> datetime.datetime | None:
    return None if nanoseconds is None else _moment(nanoseconds)
