"""One connection at the mock mesh's door: frames up become calls, what the mesh says becomes frames down."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgpack

from .._credit import Amount
from .._door import schema
from .._door.bodies import read_body, write_body
from .._door.events import Event
from .._door.frame import BadFrame, Draft, Frame, FrameReader, draw_id, write_frame
from .._door.ids import message_id_to_text
from .._door.kinds import ZERO_ID, ContentType, MessageType, Receipt, Shape, Way
from .._door.metadata import Key
from .._door.refusal import Unfit
from .mail import Item

if TYPE_CHECKING:
    from .mesh import MockMesh

T = TypeVar("T")
# The mock takes all that comes.
MUCH = 1 << 40


class Failure(Exception):
    """Why something that was asked for is not done."""

    def __init__(self, code: int, words: str, retry_after: float | None = None) -> None:
        super().__init__(words)
        self.code, self.words, self.retry_after = code, words, retry_after


class Door(asyncio.Protocol):
    """What the daemon is for one client."""

    def __init__(self, mesh: MockMesh, node: str) -> None:
        self.mesh, self.node = mesh, node
        self.agents: set[bytes] = set()
        self.credit: Amount | None = None
        self.given = Amount()
        self._reader = FrameReader(Way.UP)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, why: Exception | None) -> None:
        self.mesh.left(self)

    def cut(self) -> None:
        """As if the daemon had died."""
        self.agents.clear()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except Unfit as unfit:
            raise AssertionError(f"the library sent what no agent may send: {unfit}") from unfit

    def _take(self, frame: Frame | BadFrame) -> None:
        if isinstance(frame, BadFrame):
            self.refuse(frame.header.id, frame.header.source, Failure(frame.refusal.code, str(frame.refusal)))
            return
        source = frame.header.source
        try:
            if source != ZERO_ID and source not in self.agents:
                raise Failure(4002, "this connection is not attached as the source, or another one has taken over")
            self._act(frame)
        except Failure as failure:
            self.refuse(frame.header.id, source, failure)

    def _act(self, frame: Frame) -> None:
        mesh, event = self.mesh, frame.event
        number = frame.metadata.number(Key.DELIVERY_NUMBER)
        if event in (Event.ATTACH, Event.CREDIT):
            self._heed_credit(frame)
        if event is Event.ATTACH:
            self.answer(frame, mesh.attach_session(self, self._read(frame, schema.Attach)))
        elif event is Event.CREDIT:
            mesh.pump(self)
        elif event is Event.DETACH:
            mesh.detach(self, frame.header.source)
            self.answer(frame, None)
        elif event is Event.WORKING:
            mesh.working(frame.header.source, number)
            self.answer(frame, None)
        elif event is Event.RESOLVE:
            self.answer(frame, mesh.resolve(self._read(frame, schema.Resolve).address, self.node))
        elif event in (Event.QUESTION, Event.ORDER):
            self.answer(frame, mesh.question(frame.metadata.text(Key.SUBJECT) or "", self.node))
        elif event is Event.PING:
            self.pong(frame)
        elif event is Event.SUBMIT:
            mesh.submit(self, frame)
        elif event is Event.RESPOND:
            mesh.respond(self, frame, number)
        elif event is Event.HANDLED:
            mesh.handled(frame.header.source, number)
        elif event is Event.REFUSE:
            mesh.refused(frame.header.source, number, frame)

    def _read(self, frame: Frame, body: type[T]) -> T:
        try:
            return read_body(body, frame.header.content_type, frame.body)
        except Unfit as unfit:
            raise Failure(4010, str(unfit)) from unfit

    def _heed_credit(self, frame: Frame) -> None:
        known = frame.metadata
        count, octets = known.number(Key.CREDIT_MESSAGES), known.number(Key.CREDIT_BYTES)
        if count is None or octets is None:
            return
        if self.credit is None:
            told = {Key.SUBJECT: "agent.credit", Key.CREDIT_MESSAGES: MUCH, Key.CREDIT_BYTES: MUCH}
            draft = Draft(MessageType.REQUEST, Shape.ONCE, draw_id(), self.mesh.node_id(self.node), ZERO_ID)
            self._write(write_frame(draft, told))
        before = self.credit or Amount()
        self.credit = Amount(max(count, before.count), max(octets, before.octets))

    # down

    def answer(self, frame: Frame, body: object | None) -> None:
        """The node's own answer to a question."""
        content_type = ContentType.NONE if body is None else ContentType.MESSAGEPACK
        node, asker = self.mesh.node_id(self.node), frame.header.source
        draft = Draft(MessageType.RESPONSE, Shape.ONCE, frame.header.id, node, asker, content_type)
        self._write(write_frame(draft, {}, b"" if body is None else write_body(body)))

    def refuse(self, message_id: int, agent: bytes, failure: Failure, source: bytes | None = None) -> None:
        """What was asked for is not done, as this node says or, with a source, an agent."""
        source = source or self.mesh.node_id(self.node)
        draft = Draft(MessageType.ERROR, Shape.NOTICE, message_id, source, agent, ContentType.MESSAGEPACK)
        text, retry_after_ms = message_id_to_text(message_id), round((failure.retry_after or 0) * 1000)
        body = schema.ErrorBody(failure.code, failure.words, text, retry_after_ms)
        self._write(write_frame(draft, {}, write_body(body)))

    def take_over(self, agent: bytes) -> None:
        """Another client has the name; who is attached as nobody else is hung up on."""
        self.refuse(0, agent, Failure(4008, "another client has attached as this agent"))
        self.agents.discard(agent)
        if not self.agents and self._transport is not None:
            self._transport.close()

    def tell(self, frame: Frame, receipt: Receipt) -> None:
        """A stage of a submission."""
        node, agent = self.mesh.node_id(self.node), frame.header.source
        draft = Draft(MessageType.ACK, Shape.TOLD, frame.header.id, node, agent, receipt=receipt)
        self._write(write_frame(draft, {}))

    def pong(self, frame: Frame) -> None:
        destination = frame.header.destination
        source, known = self.mesh.node_id(self.node), {}
        if destination != ZERO_ID:
            source, known = destination, self.mesh.proved(destination, self.node)
        draft = Draft(MessageType.ACK, Shape.PONG, frame.header.id, source, frame.header.source)
        self._write(write_frame(draft, known))

    def has_credit(self) -> bool:
        credit, given = self.credit, self.given
        return credit is None or (given.count < credit.count and given.octets < credit.octets)

    def deliver_once(self, frame: Frame, application: dict[str, Any]) -> None:
        """What is sent at most once."""
        header = frame.header
        known = {Key(key): value for key, value in frame.metadata.known.items() if key < Key.DELIVERY_NUMBER}
        known |= self.mesh.proved(header.source, self.node) | {Key.RECEIVED: time.time_ns()}
        draft = Draft(
            header.type,
            Shape.ONCE,
            header.id,
            header.source,
            header.destination,
            header.content_type,
            timestamp=time.time_ns(),
        )
        self._give(write_frame(draft, known, frame.body, application))

    def deliver(self, item: Item, lease: float) -> None:
        """What stays here until it is handled."""
        known = dict(item.known) | self.mesh.proved(item.source, self.node)
        known |= {
            Key.EXPIRY: item.expiry,
            Key.RECEIVED: time.time_ns(),
            Key.DELIVERY_NUMBER: item.number,
            Key.ATTEMPT: item.tries,
            Key.LEASE: round(lease * 1000),
        }
        if item.tries > 1 or item.again:
            known[Key.MARKED] = True
        draft = Draft(
            item.type,
            Shape.DURABLE,
            item.id,
            item.source,
            item.destination,
            item.content_type,
            Receipt.HANDLED if item.type is MessageType.ACK else Receipt.NONE,
            time.time_ns(),
        )
        self._give(write_frame(draft, known, item.body, item.application))

    def _give(self, data: bytes) -> None:
        self.given = self.given.plus(len(data))
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def application_of(frame: Frame) -> dict[str, Any]:
    """The applications' own entries, as values."""
    found = frame.metadata.application
    return {key: msgpack.unpackb(value, strict_map_key=False) for key, value in found.items()}
