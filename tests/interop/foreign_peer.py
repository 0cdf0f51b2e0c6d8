"""A node of the mesh in Python, with an agent of its own: identity, records, links, and both sides of section 16.

It keeps everything in memory and is made for checks: what happens is written down as events that a check waits for, and
what the other side does against the page as faults. Nothing here was taken from the first implementation.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aicp_peer import control, flows, link as links
from aicp_peer.control import Close
from aicp_peer.flows import ANSWERS, MESSAGES, Mark, OutFlow, Owned
from aicp_peer.link import Link
from aicp_wire import records, sealing, shapes, signatures
from aicp_wire.error_body import ErrorBody, encoding_for
from aicp_wire.frames import Frame, fresh, make_wire_frame, split_payload
from aicp_wire.header import SIZE, Header
from aicp_wire.ids import encode_id
from aicp_wire.metadata import encode_metadata, join_plain, parse_metadata, split_plain
from aicp_wire.presence import read_content
from aicp_wire.refusal import Refused
from aicp_wire.sealing import Prekey
from aicp_wire.shapes import ACK, BROADCAST, ENCRYPTED, ERROR, PING, REQUEST, REQUIRES_ACK, RESPONSE, SIGNED

HOUR = 3600 * 10**9
HOPS = 8
TEXT = 5
BOTH = ENCRYPTED | SIGNED
DURABLE = BOTH | REQUIRES_ACK
RECORD_SECONDS = 0.5  # how long a frame waits for the record of its source
STORED, HANDLED = 1, 2  # receipts


def random_id() -> int:
    return int.from_bytes(os.urandom(8), "big")


@dataclass
class Event:
    """Something that happened: `stored`, `delivered`, `answer` …"""

    kind: str
    link: Link | None = None
    frame: Frame | None = None
    data: bytes = b""
    detail: Any = None


@dataclass
class Agent:
    """`answer` says what a once REQUEST gets: the body of a RESPONSE, or the code of an ERROR. `outcome` says how a
    durable one ends: the body of a RESPONSE, or None for HANDLED alone."""

    name: str
    signer: signatures.Signer = field(default_factory=lambda: signatures.Signer(os.urandom(32)))
    prekeys: list[Prekey] = field(default_factory=list)
    answer: Callable[[bytes], bytes | int] = lambda body: b"foreign: " + body
    outcome: Callable[[bytes], bytes | None] = lambda body: b"foreign: " + body
    sequence: int = 0

    def __post_init__(self) -> None:
        if not self.prekeys:
            self.new_prekey()

    @property
    def id(self) -> bytes:
        return self.signer.id

    def new_prekey(self) -> None:
        self.prekeys = [Prekey(os.urandom(32), time.time_ns() + 24 * HOUR)]

    def record(self, host: signatures.Signer) -> bytes:
        self.sequence = max(self.sequence + 1, time.time_ns())
        prekey = self.prekeys[-1]
        values = {
            1: self.signer.public,
            2: self.name,
            3: ["talk"],
            4: [],
            5: prekey.public,
            6: prekey.not_after,
            7: host.id,
            9: self.sequence,
            10: self.sequence + 24 * HOUR,
        }
        return records.make_record(records.AGENT, values, self.signer, host)


class ForeignPeer:
    """A node. `peers` are the pinned node ids that may link with it."""

    def __init__(self, name: str, agent_name: str) -> None:
        self.name = name
        self.signer = signatures.Signer(os.urandom(32))
        self.agent = Agent(agent_name)
        self.agents = {self.agent.id: self.agent}
        self.peers: set[bytes] = set()
        self.port = 0
        self.server: Any = None
        self.sequence = 0
        self.links: dict[bytes, Link] = {}
        self.came_up: dict[bytes, float] = {}
        self.directory: dict[bytes, records.Record] = {}
        self.raw_records: dict[bytes, bytes] = {}
        self.nodes: dict[bytes, records.Record] = {}
        self.out: dict[tuple[bytes, bytes, int], OutFlow] = {}
        self.marks: dict[tuple[bytes, bytes, int], Mark] = {}
        self.waiting: dict[bytes, list[tuple[Link, Header, str, bytes]]] = {}
        self.events: list[Event] = []
        self.faults: list[str] = []
        self.deaf = False  # durable frames are noted as `unheard` and dropped
        self.changed = asyncio.Event()

    @property
    def id_text(self) -> str:
        return encode_id(self.signer.id)

    # links

    def accepts(self, node_id: bytes) -> bool:
        return node_id in self.peers

    async def listen(self, port: int = 0) -> int:
        self.server, self.port = await links.listen(self, self.signer, self.accepts, port)
        return self.port

    async def dial(self, node_id: bytes, port: int, seconds: float = 5) -> Link:
        """A link that is up, or a ConnectionError with what ended it."""
        link = await links.dial(self, self.signer, lambda found: found == node_id, port)
        waits = [asyncio.ensure_future(link.up.wait()), asyncio.ensure_future(link.over.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not link.up.is_set():
            link.end(0, "not up")
            raise ConnectionError(f"the link did not come up: {link.ended}")
        return link

    def stop(self) -> None:
        for link in list(self.links.values()):
            link.end(0, "the node stops")
        if self.server is not None:
            self.server.close()

    def record(self) -> bytes:
        self.sequence = max(self.sequence + 1, time.time_ns())
        values = {
            1: self.signer.public,
            2: self.name,
            9: self.sequence,
            10: self.sequence + 24 * HOUR,
            11: [f"127.0.0.1:{self.port}"] if self.port else [],
            12: sorted(self.links),
        }
        return records.make_record(records.NODE, values, self.signer)

    def hello(self, dialing: bool) -> bytes:
        return control.pack_hello(self.record(), dialing)

    def link_up(self, link: Link) -> None:
        assert link.hello is not None
        self.nodes[link.peer_id] = link.hello.record
        old = self.links.get(link.peer_id)
        if old is not None and old.ended is None and not self.replaces(link, old):
            link.end(1, "another link stays")
            return
        self.links[link.peer_id] = link
        self.came_up[link.peer_id] = time.monotonic()
        if old is not None and old.ended is None:
            old.end(1, "another link stays")
        for agent in self.agents.values():
            link.send_control(control.RECORD, agent.record(self.signer))
        self.note("up", link)
        self.send_owned(lambda source, destination: self.host_of(destination) == link.peer_id)

    def replaces(self, newer: Link, older: Link) -> bool:
        """Which of two links to one node stays."""
        recent = time.monotonic() - self.came_up[newer.peer_id] <= 10
        if newer.dialing != older.dialing and recent:
            lower_is_mine = self.signer.id < newer.peer_id
            return newer.dialing == lower_is_mine
        return True

    def link_ended(self, link: Link) -> None:
        if link.hello is not None and self.links.get(link.peer_id) is link:
            del self.links[link.peer_id]
        self.note("ended", link, detail=link.ended)

    def early_notice(self, link: Link, notice: control.Notice) -> None:
        self.note("early notice", link, detail=notice)

    def fault(self, link: Link, what: str) -> None:
        self.faults.append(what)

    # events

    def note(
        self, kind: str, link: Link | None = None, frame: Frame | None = None, data: bytes = b"", detail: Any = None
    ) -> None:
        self.events.append(Event(kind, link, frame, data, detail))
        self.changed.set()

    async def expect(
        self, kind: str, test: Callable[[Event], bool] = lambda event: True, seconds: float = 6, since: int = 0
    ) -> Event:
        """The first such event from place `since` on, also one that lies back."""
        end = time.monotonic() + seconds
        while True:
            for event in self.events[since:]:
                if event.kind == kind and test(event):
                    return event
            self.changed.clear()
            left = end - time.monotonic()
            if left <= 0:
                seen = [event.kind for event in self.events[since:]]
                raise AssertionError(f"no `{kind}` within {seconds} s; seen: {seen}; faults: {self.faults}")
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except asyncio.TimeoutError:
                pass

    # control messages

    def control_message(self, link: Link, kind: int, body: bytes) -> None:
        if kind == control.RECORD:
            self.take_record(link, body)
        elif kind == control.WANT:
            if len(body) != 32:
                raise Close(4010, "a WANT of another length")
            self.note("want", link, data=body)
            if body in self.agents:
                link.send_control(control.RECORD, self.agents[body].record(self.signer))
            elif body in self.raw_records:
                link.send_control(control.RECORD, self.raw_records[body])
        elif kind == control.NOTICE:
            self.note("hint", link, detail=control.read_notice(body))

    def take_record(self, link: Link, data: bytes) -> None:
        """What does not verify is dropped; here it is a fault too."""
        try:
            kind, body, _ = records.split(data)
            if kind == records.NODE:
                record = records.read_record(data)
                known = self.nodes.get(record.id)
                if known is None or known.values[9] < record.values[9]:
                    self.nodes[record.id] = record
                return
            if kind == records.REVOCATIONS:
                self.fault(link, "a list of revocations where nodes are pinned")
                return
            host = self.nodes.get(records.parse_body(kind, body)[7])
            if host is None:
                self.fault(link, "an agent's record before its host's")
                return
            record = records.read_record(data, host.values[1])
        except Refused as refused:
            self.fault(link, f"a record: {refused}")
            return
        known = self.directory.get(record.id)
        if known is not None and known.values[9] >= record.values[9]:
            return
        self.directory[record.id], self.raw_records[record.id] = record, data
        self.note("record", link, data=data, detail=record)
        for waiting in self.waiting.pop(record.id, []):
            self.frame(*waiting)
        if known is not None and known.values.get(5) != record.values.get(5):
            self.send_owned(lambda source, destination: destination == record.id)

    def host_of(self, agent_id: bytes) -> bytes | None:
        record = self.directory.get(agent_id)
        return record.values[7] if record is not None else None

    def find(self, name: str) -> records.Record:
        """The known agent of that name with the highest sequence."""
        found = [record for record in self.directory.values() if record.values[2] == name]
        return max(found, key=lambda record: record.values[9])

    # sending

    def send(
        self,
        agent: Agent,
        destination: bytes,
        header: Header,
        known: dict[int, Any],
        body: bytes,
        prekey: bytes = b"",
    ) -> bytes:
        """One attempt, sealed and signed anew; nothing happens to it while no link is up."""
        header.source, header.destination = agent.id, destination
        header.ttl = header.initial_ttl = HOPS
        plain = join_plain(encode_metadata(dict(sorted(known.items()))), body)
        if header.type == ACK and header.receipt == 0:
            plain = b""
        if header.flags & ENCRYPTED and not prekey:
            prekey = self.directory[destination].values[5]
        data = make_wire_frame(header, plain, agent.signer, prekey)
        link = self.links.get(self.host_of(destination) or b"")
        if link is not None:
            link.send_frame(data)
        return data

    def send_once(
        self, type_: int, destination: bytes, body: bytes = b"", message_id: int | None = None, **more: Any
    ) -> int:
        """A once REQUEST or RESPONSE, or a PING; its id."""
        number = random_id() if message_id is None else message_id
        known = more.pop("known", {})
        header = self.header_of_once(type_, number)
        for name, value in more.items():
            setattr(header, name, value)
        self.send(self.agent, destination, header, known, body)
        return number

    def header_of_once(self, type_: int, number: int) -> Header:
        flags = SIGNED if type_ == PING else BOTH
        return Header(type=type_, message_id=number, timestamp=time.time_ns(), flags=flags, content_type=TEXT)

    def out_flow(self, agent: Agent, destination: bytes, kind: int) -> OutFlow:
        place = (agent.id, destination, kind)
        if place not in self.out:
            self.out[place] = OutFlow(kind)
        return self.out[place]

    def accept(self, agent: Agent, destination: bytes, message: Owned, prekey: bytes = b"") -> bytes:
        """A durable message gets its place, and its first attempt leaves."""
        flow = self.out_flow(agent, destination, MESSAGES if message.type in (REQUEST, BROADCAST) else ANSWERS)
        return self.attempt(agent, destination, flow, flow.add(message), prekey)

    def attempt(self, agent: Agent, destination: bytes, flow: OutFlow, place: int, prekey: bytes = b"") -> bytes:
        message = flow.owned[place]
        header = Header(
            type=message.type,
            message_id=message.message_id,
            timestamp=message.timestamp,
            flags=DURABLE,
            content_type=message.content_type,
            receipt=message.receipt,
            sequence=place,
        )
        known = message.known | {3: flow.flow, 12: flow.floor}
        return self.send(agent, destination, header, known, message.body, prekey)

    def send_owned(self, concerns: Callable[[bytes, bytes], bool]) -> None:
        for (source, destination, _), flow in self.out.items():
            if concerns(source, destination):
                for place in sorted(flow.owned):
                    self.attempt(self.agents[source], destination, flow, place)

    def request(self, destination: bytes, body: bytes, prekey: bytes = b"") -> tuple[int, bytes]:
        """A durable REQUEST of the agent: its id, and the frame of its first attempt."""
        now = time.time_ns()
        message = Owned(REQUEST, random_id(), now, TEXT, 0, {2: now + HOUR, 13: True}, body)
        return message.message_id, self.accept(self.agent, destination, message, prekey)

    def send_notice(self, agent: Agent, to: Header, code: int, text: str, known: dict[int, Any] | None = None) -> None:
        """A signed ERROR that ends nothing."""
        encoding = encoding_for(to.content_type)
        body = ErrorBody(code, text, f"{to.message_id:016x}").encode(encoding)
        header = Header(
            type=ERROR, message_id=to.message_id, timestamp=time.time_ns(), flags=SIGNED, content_type=encoding
        )
        self.send(agent, to.source, header, known or {}, body)

    def say_stored(self, agent: Agent, source: bytes, mark: Mark) -> None:
        header = Header(
            type=ACK,
            message_id=mark.newest_id,
            timestamp=time.time_ns(),
            flags=SIGNED,
            receipt=STORED,
            sequence=mark.sequence,
        )
        self.send(agent, source, header, {3: mark.flow}, b"")

    # receiving, in the order of section 7

    def frame(self, link: Link, header: Header, shape: str, data: bytes) -> None:
        if self.deaf and shape == "durable":
            self.note("unheard", link, data=data, detail=header)
            return
        agent = self.agents.get(header.destination)
        if agent is None:
            self.send_hint(link, header, 4007, "not hosted here")
            self.fault(link, "a frame for somebody else")
            return
        if not fresh(header, time.time_ns()):
            self.send_hint(link, header, 4005, "too old, or ahead")
            return
        public = self.public_of(header.source)
        if public is None:
            self.wait_for_record(link, header, shape, data)
            return
        try:
            plain = self.open(agent, header, public, data)
        except Refused as refused:
            if refused.code == 4013:
                self.send_notice(agent, header, 4013, "no such prekey")
                self.note("unknown prekey", link, data=data)
            else:
                self.fault(link, f"a frame: {refused}")
            return
        if shape == "durable":
            self.take_place(link, agent, header, plain, data)
        else:
            self.take_content(link, agent, header, shape, plain, data)

    def wait_for_record(self, link: Link, header: Header, shape: str, data: bytes) -> None:
        """The record may have been overtaken. If it does not come, the frames are dropped, and it is asked for."""
        waiting = self.waiting.setdefault(header.source, [])
        waiting.append((link, header, shape, data))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(RECORD_SECONDS, self.drop_waiting, link, header.source)

    def drop_waiting(self, link: Link, source: bytes) -> None:
        if self.waiting.pop(source, None) and link.ended is None:
            link.send_control(control.WANT, source)
            self.note("unknown source", link, data=source)

    def public_of(self, identity: bytes) -> bytes | None:
        record = self.directory.get(identity) or self.nodes.get(identity)
        return record.values[1] if record is not None else None

    def send_hint(self, link: Link, header: Header, code: int, text: str) -> None:
        notice = control.Notice(code, header.message_id, header.source, header.destination, text)
        link.send_control(control.NOTICE, notice.pack())

    def open(self, agent: Agent, header: Header, public: bytes, data: bytes) -> bytes:
        """The plain body of a frame whose signature held."""
        content, signature, nonce = split_payload(header, data[SIZE:])
        front = data[:SIZE]
        signatures.verify_frame(public, header.source, front, content, nonce, signature)
        if not header.flags & ENCRYPTED:
            return content
        return sealing.unseal_content(front, content, nonce, agent.prekeys, time.time_ns())

    def take_content(self, link: Link, agent: Agent, header: Header, shape: str, plain: bytes, data: bytes) -> None:
        """What has no place in a flow."""
        try:
            frame = Frame(header, shape, plain, read_content(header, shape, shapes.WIRE, plain))
        except Refused as refused:
            self.fault(link, f"the content of a {shape}: {refused}")
            return
        self.note(shape, link, frame, data)
        if shape == "once" and header.type == REQUEST:
            said = agent.answer(frame.content.body)
            if isinstance(said, int):
                self.send_notice(agent, header, said, "as it was told to say")
            else:
                self.send_once(RESPONSE, header.source, said, header.message_id)
        elif shape == "ping":
            pong = Header(type=ACK, message_id=header.message_id, timestamp=time.time_ns(), flags=SIGNED)
            self.send(agent, header.source, pong, {}, b"")
        elif shape == "stored":
            flow = self.flow_of(agent, header.source, frame.content.metadata.known[3])
            flow.settle(frame.content.metadata.known[3], header.sequence)
        elif shape == "notice":
            self.take_notice(link, agent, header, frame)

    def flow_of(self, agent: Agent, destination: bytes, flow: int) -> OutFlow:
        return self.out_flow(agent, destination, flow & 1)

    def take_notice(self, link: Link, agent: Agent, header: Header, frame: Frame) -> None:
        error = frame.content.error
        assert error is not None
        if error.error_code == 4013:
            link.send_control(control.WANT, header.source)
        elif error.error_code == 4015:
            newest = frame.content.metadata.known[3]
            if self.flow_of(agent, header.source, newest).renumber(newest):
                self.send_owned(lambda source, destination: (source, destination) == (agent.id, header.source))

    def take_place(self, link: Link, agent: Agent, header: Header, plain: bytes, data: bytes) -> None:
        """The rules 1 to 6 of section 16."""
        try:
            metadata = parse_metadata(split_plain(plain)[0], at_door=False)
            flow, floor = metadata.known[3], metadata.known[12]
        except (Refused, KeyError) as error:
            self.fault(link, f"a durable frame without a place: {error!r}")
            return
        kind = MESSAGES if header.type in (REQUEST, BROADCAST) else ANSWERS
        mark = self.marks.setdefault((header.source, agent.id, kind), Mark())
        verdict = mark.judge(flow, floor, header.sequence)
        self.note(verdict, link, None, data, (header, metadata))
        if verdict == "older":
            if mark.may_say_again():
                self.send_notice(agent, header, 4015, "an older flow", {3: mark.flow})
        elif verdict == "repeat":
            if mark.may_say_again():
                self.say_stored(agent, header.source, mark)
        elif verdict == "early":
            mark.wait(header.sequence, (header, plain, data))
        else:
            waiting: Any = (header, plain, data)
            taken = []
            while waiting is not None:
                mark.settle(waiting[0].message_id)
                taken.append(waiting)
                waiting = mark.next_early()
            self.say_stored(agent, header.source, mark)
            for one in taken:
                self.take_durable(link, agent, *one)

    def take_durable(self, link: Link, agent: Agent, header: Header, plain: bytes, data: bytes) -> None:
        """Next in order, and its place is settled."""
        try:
            frame = Frame(header, "durable", plain, read_content(header, "durable", shapes.WIRE, plain))
        except Refused as refused:
            self.fault(link, f"the content of a durable frame: {refused}")
            self.end_message(agent, header, ERROR, encoding_for(header.content_type), 0, refused)
            return
        if header.type in (REQUEST, BROADCAST):
            self.note("delivered", link, frame, data)
            if 13 in frame.content.metadata.known:
                body = agent.outcome(frame.content.body)
                if body is None:
                    self.end_message(agent, header, ACK, 0, HANDLED)
                else:
                    self.end_message(agent, header, RESPONSE, TEXT, 0, body)
        else:
            self.out_flow(agent, header.source, MESSAGES).settle_id(header.message_id)
            self.note("outcome", link, frame, data)

    def end_message(
        self, agent: Agent, header: Header, type_: int, content_type: int, receipt: int, what: Any = b""
    ) -> None:
        """An outcome, with the id of the message that it ends; it expires 72 h after its timestamp."""
        now = time.time_ns()
        if isinstance(what, Refused):
            what = ErrorBody(4010, what.reason, f"{header.message_id:016x}").encode(content_type)
        message = Owned(type_, header.message_id, now, content_type, receipt, {2: now + 72 * HOUR}, what)
        self.accept(agent, header.source, message)
