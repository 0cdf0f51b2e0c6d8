"""A mesh in this process: agents of any number of nodes, what they say to each other, and a way to break it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .._door import schema
from .._door.frame import Frame
from .._door.ids import id_from_text, id_to_text
from .._door.kinds import MessageType, Receipt, Shape
from .._door.metadata import Key
from .._hearing import said_error
from .._socket import ProtocolFactory
from ..agent import Attaching
from ..errors import MeshError
from .door import Door, Failure, application_of
from .mail import Item, Mailbox, end_of, error_end, from_submission

WORDS = {4004: "it expired after a delivery", 4012: "it expired, never delivered", 4014: "too many failed deliveries"}

# With these an agent refuses for good; with any other code the message comes again.
REFUSED_FOR_GOOD = (4008, 4010)


@dataclass
class Hosted:
    """An agent that has been here."""

    name: str
    node: str
    mailbox: Mailbox
    door: Door | None = None
    attach: schema.Attach = field(default_factory=schema.Attach)


@dataclass
class Stub:
    """A submission whose end is awaited, and how far it has come."""

    destination: bytes
    ended: bool = False


class MockMesh:
    """Stands for the daemons.

    `lease` and `pause` are those of deliveries, in seconds, the pause doubling with each failed one; after `failures`
    of them a message is given up. All that a daemon keeps on disk this keeps until it is closed.
    """

    def __init__(self, *, lease: float = 30.0, pause: float = 0.01, failures: int = 20) -> None:
        self._lease, self._pause, self._failures = lease, pause, failures
        self._agents: dict[bytes, Hosted] = {}
        self._doors: set[Door] = set()
        self._stubs: dict[tuple[bytes, int], Stub] = {}
        # What agents refused, in order: the code and the words of each refusal.
        self.refusals: list[MeshError] = []

    async def __aenter__(self) -> MockMesh:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()
        for hosted in self._agents.values():
            hosted.mailbox.close()

    # for tests

    def attach(
        self, name: str, *, node: str = "mock", capabilities: Sequence[str] = (), topics: Sequence[str] = ()
    ) -> Attaching:
        """As `aicp.attach`, on a node of this mesh."""

        async def dial(factory: ProtocolFactory) -> None:
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            _, door = await loop.connect_accepted_socket(lambda: Door(self, node), ours)
            self._doors.add(door)
            await loop.create_unix_connection(factory, sock=theirs)

        return Attaching(name, capabilities, topics, dial)

    async def cut(self) -> None:
        """All daemons die at once and are there again: connections are lost, nothing that was kept is."""
        doors, self._doors = self._doors, set()
        for door in doors:
            self.left(door)
            door.cut()
        await asyncio.sleep(0)

    def waiting(self, name: str, node: str = "mock") -> int:
        """How many messages to that agent are not handled yet."""
        hosted = self._agents.get(agent_id(name, node))
        return sum(item.is_message for item in hosted.mailbox.items) if hosted else 0

    # for the door

    def node_id(self, node: str) -> bytes:
        return hashlib.sha256(f"node {node}".encode()).digest()

    def attach_session(self, door: Door, attach: schema.Attach) -> schema.AttachReply:
        me = agent_id(attach.name, door.node)
        hosted = self._agents.get(me)
        if hosted is None:
            mailbox = Mailbox(self._lease, self._pause, self._failures, lambda item: self._deliver(me, item), self._end)
            hosted = self._agents[me] = Hosted(attach.name, door.node, mailbox)
        if hosted.door is not None and hosted.door is not door:
            older = hosted.door
            self.detach(older, me)
            older.take_over(me)
        hosted.door, hosted.attach = door, attach
        door.agents.add(me)
        # The answer to the attach goes before what waits.
        asyncio.get_running_loop().call_soon(hosted.mailbox.pump)
        node = self.node_id(door.node)
        return schema.AttachReply(id_to_text(me), id_to_text(node), door.node, round(self._lease * 1000), 10_485_760)

    def left(self, door: Door) -> None:
        self._doors.discard(door)
        for agent in list(door.agents):
            self.detach(door, agent)

    def detach(self, door: Door, agent: bytes) -> None:
        hosted = self._agents.get(agent)
        if hosted is not None and hosted.door is door:
            hosted.door = None
            hosted.mailbox.lose_session()
        door.agents.discard(agent)

    def pump(self, door: Door) -> None:
        for agent in list(door.agents):
            self._agents[agent].mailbox.pump()

    def working(self, agent: bytes, number: int | None) -> None:
        item = self._agents[agent].mailbox.held(number)
        if item is None:
            raise Failure(4004, "this delivery is void: it was taken over, or its lease has ended")
        self._agents[agent].mailbox.working(item)

    def resolve(self, address: str, node: str) -> schema.ResolveReply:
        found = self._find(address, node)
        hosted = self._agents[found]
        return schema.ResolveReply(id_to_text(found), hosted.name, id_to_text(self.node_id(hosted.node)), hosted.node)

    def _find(self, address: str, node: str) -> bytes:
        identity = id_from_text(address)
        if identity is None:
            name, _, where = address.partition("@")
            named = [one for one, hosted in self._agents.items() if hosted.name == name]
            here = [one for one in named if self._agents[one].node == (where or node)]
            identity = here[0] if here else named[0] if named and not where else None
        if identity is None or identity not in self._agents:
            raise Failure(4001, f"nobody is known as {address}")
        return identity

    def question(self, subject: str, node: str) -> object:
        if subject == "node.agents":
            return schema.NodeAgents("aicp.agents/1", tuple(self._listed(node)))
        if subject == "node.status":
            return schema.NodeStatus("aicp.status/1", id_to_text(self.node_id(node)), node, "mock", mesh="mock")
        raise Failure(4010, "the mock node does not know this subject")

    def _listed(self, node: str) -> list[schema.DirectoryAgent]:
        return [
            schema.DirectoryAgent(
                hosted.name,
                id_to_text(identity),
                id_to_text(self.node_id(hosted.node)),
                hosted.node,
                hosted.node == node,
                hosted.node == node and hosted.door is not None,
                hosted.attach.capabilities,
                hosted.attach.topics,
            )
            for identity, hosted in self._agents.items()
        ]

    def proved(self, source: bytes, node: str) -> dict[Key, Any]:
        """What the node of the destination proved about a source."""
        hosted = self._agents.get(source)
        if hosted is None:
            raise Failure(4001, "nobody is known by this id")
        return {
            Key.SOURCE_NAME: hosted.name,
            Key.SOURCE_NODE: self.node_id(hosted.node),
            Key.SOURCE_NODE_NAME: hosted.node,
            Key.HOPS: 0,
            Key.PROOF: 1 if hosted.node == node else 2,
        }

    def submit(self, door: Door, frame: Frame) -> None:
        destination = self._agents.get(frame.header.destination)
        if destination is None:
            raise Failure(4001, "nobody is known by this id")
        if frame.header.shape is Shape.ONCE:
            if destination.door is not None and destination.door.has_credit():
                destination.door.deliver_once(frame, application_of(frame))
            elif frame.header.type is MessageType.REQUEST:
                gone = destination.door is None
                raise Failure(4001 if gone else 4009, "the agent is offline" if gone else "the agent reads too slowly")
            return
        self._submit_durable(door, frame, destination)

    def _submit_durable(self, door: Door, frame: Frame, destination: Hosted) -> None:
        last = frame.metadata.number(Key.LAST_STAGE)
        if last is None:
            last = Receipt.HANDLED if frame.header.type is MessageType.REQUEST else Receipt.ACCEPTED
        if last != Receipt.NONE:
            door.tell(frame, Receipt.ACCEPTED)
        if last in (Receipt.STORED, Receipt.HANDLED):
            door.tell(frame, Receipt.STORED)
        key = frame.header.source, frame.header.id
        if key in self._stubs:
            return
        if frame.header.type is MessageType.REQUEST or Key.HANDLED_WANTED in frame.metadata.known:
            self._stubs[key] = Stub(frame.header.destination)
        destination.mailbox.put(from_submission(frame, application_of(frame)))

    def respond(self, door: Door, frame: Frame, number: int | None) -> None:
        mailbox = self._agents[frame.header.source].mailbox
        item = mailbox.held(number)
        if item is None or item.id != frame.header.id:
            raise Failure(4004, "this delivery is void: it was taken over, or its lease has ended")
        mailbox.take(item)
        door.tell(frame, Receipt.ACCEPTED)
        answer = end_of(item, MessageType.RESPONSE)
        answer.content_type, answer.body = frame.header.content_type, frame.body
        name = frame.metadata.text(Key.CONTENT_TYPE_NAME)
        answer.known = {Key.CONTENT_TYPE_NAME: name} if name else {}
        self._send_end(answer)

    def handled(self, agent: bytes, number: int | None) -> None:
        mailbox = self._agents[agent].mailbox
        item = mailbox.held(number)
        if item is None:
            return
        mailbox.take(item)
        if item.is_message:
            self._send_end(end_of(item, MessageType.ACK))
        else:
            self._stubs.pop((agent, item.id), None)

    def refused(self, agent: bytes, number: int | None, frame: Frame) -> None:
        if number is None:
            self._declined(agent, frame)
            return
        mailbox = self._agents[agent].mailbox
        item = mailbox.held(number)
        if item is not None:
            error = said_error(frame)
            if isinstance(error, MeshError):
                self.refusals.append(error)
            if isinstance(error, MeshError) and error.code in REFUSED_FOR_GOOD:
                mailbox.take(item)
                if item.is_message:
                    self._send_end(error_end(item, error.code, f"its agent refused it: {error.message}"))
            else:
                mailbox.fail(item)
            mailbox.pump()

    def _declined(self, agent: bytes, frame: Frame) -> None:
        """It will not do what it was asked once, which does not come again."""
        error = said_error(frame)
        if not isinstance(error, MeshError):
            return
        self.refusals.append(error)
        failure = Failure(5000, "its agent could not handle it", error.retry_after)
        if error.code in REFUSED_FOR_GOOD:
            failure = Failure(error.code, f"its agent refused it: {error.message}", error.retry_after)
        asker = self._agents.get(frame.header.destination)
        if asker is not None and asker.door is not None:
            asker.door.refuse(frame.header.id, frame.header.destination, failure, agent)

    def _end(self, item: Item, code: int) -> None:
        """It ended without being handled. Of an end that nobody takes nobody is told."""
        if item.is_message:
            self._send_end(error_end(item, code, WORDS[code]))

    def _send_end(self, end: Item) -> None:
        """The first end wins; one that no stub waits for is dropped."""
        stub = self._stubs.get((end.destination, end.id))
        if stub is not None and not stub.ended:
            stub.ended = True
            self._agents[end.destination].mailbox.put(end)

    def _deliver(self, agent: bytes, item: Item) -> bool:
        door = self._agents[agent].door
        if door is None or not door.has_credit():
            return False
        door.deliver(item, self._lease)
        return True


def agent_id(name: str, node: str) -> bytes:
    """The same name on the same node is the same agent, as with a daemon."""
    return hashlib.sha256(f"agent {name}@{node}".encode()).digest()
