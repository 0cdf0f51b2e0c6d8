"""Section 17: one link. HELLO, the control stream, and frames on unidirectional streams.

It knows the framing and closes the link where the page says so; what a frame or a record means is the owner's matter.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection, stream_is_unidirectional

from aicp_wire.header import SIZE, Header, read_header
from aicp_wire.refusal import Refused
from aicp_wire.shapes import WIRE

from . import control
from .control import Close, Hello
from .pinned_tls import Accepts, PinnedConnection, configuration, pin

HELLO_SECONDS = 5.0
SPEAK_SECONDS = 8.0  # the page: at least every 10 s
SMALL_MOST = 65_536


class Owner(Protocol):
    """Who holds links. `fault` hears what the other side did that the page does not allow."""

    def hello(self, dialing: bool) -> bytes: ...
    def link_up(self, link: Link) -> None: ...
    def link_ended(self, link: Link) -> None: ...
    def control_message(self, link: Link, kind: int, body: bytes) -> None: ...
    def frame(self, link: Link, header: Header, shape: str, data: bytes) -> None: ...
    def early_notice(self, link: Link, notice: control.Notice) -> None: ...
    def fault(self, link: Link, what: str) -> None: ...


class Link(QuicConnectionProtocol):
    """`up` is set when both HELLOs have been taken; `ended` has what closed the connection."""

    def __init__(self, quic: QuicConnection, owner: Owner, dialing: bool, accepts: Accepts) -> None:
        super().__init__(pin(quic, accepts))
        self.owner, self.dialing = owner, dialing
        self.hello: Hello | None = None
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.ended: events.ConnectionTerminated | None = None
        self.heard_anything = False
        self.refused_version = False
        self.control_id: int | None = None
        self.control_buffer = bytearray()
        self.incoming: dict[int, bytearray] = {}
        self.ended_streams: set[int] = set()
        self.places: dict[tuple[bytes, bytes], int] = {}
        self.outgoing: int | None = None
        self.socket: asyncio.BaseTransport | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def connection(self) -> PinnedConnection:
        assert isinstance(self._quic, PinnedConnection)
        return self._quic

    @property
    def peer_id(self) -> bytes:
        assert self.hello is not None
        return self.hello.record.id

    # what is sent

    def send_control(self, kind: int, body: bytes) -> None:
        assert self.control_id is not None
        self._send(self.control_id, control.pack_message(kind, body))

    def send_frame(self, data: bytes) -> None:
        """Small ones behind one another, a longer one alone."""
        if self.ended is not None:
            return
        if len(data) > SMALL_MOST:
            self._send(self._quic.get_next_available_stream_id(is_unidirectional=True), data, end=True)
            return
        if self.outgoing is None:
            self.outgoing = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._send(self.outgoing, data)

    def send_alone(self, data: bytes, end: bool = True) -> int:
        """On a stream of its own, whatever it is; the stream."""
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._send(stream, data, end)
        return stream

    def send_raw(self, data: bytes, end: bool = False) -> None:
        """On the control stream, as it is."""
        assert self.control_id is not None
        self._send(self.control_id, data, end)

    def reset(self, stream: int) -> None:
        self._quic.reset_stream(stream, 0)
        self.transmit()

    def _send(self, stream: int, data: bytes, end: bool = False) -> None:
        if self.ended is None:
            self._quic.send_stream_data(stream, data, end)
            self.transmit()

    def end(self, code: int = 0, why: str = "") -> None:
        self.close(error_code=code, reason_phrase=why)

    # what arrives

    def quic_event_received(self, event: events.QuicEvent) -> None:
        try:
            self._take_event(event)
        except Close as close:
            self.owner.fault(self, str(close))
            if close.code == 4011 and self.hello is None and self.control_id is not None:
                notice = control.Notice(4011, 0, bytes(32), bytes(32), control.SPEAK_VERSION_1)
                self.send_control(control.NOTICE, notice.pack())
            self.end(close.code, close.why)

    def _take_event(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.HandshakeCompleted):
            self.timer = self._loop.call_later(HELLO_SECONDS, self._hello_is_late)
            if self.dialing:
                self.control_id = self._quic.get_next_available_stream_id()
                self.send_control(control.HELLO, self.owner.hello(dialing=True))
        elif isinstance(event, events.StreamDataReceived):
            self.heard_anything = True
            if stream_is_unidirectional(event.stream_id):
                self._take_frames(event)
            else:
                self._take_control(event)
        elif isinstance(event, events.StreamReset):
            self.incoming.pop(event.stream_id, None)
            if event.stream_id == self.control_id:
                raise Close(4010, "the control stream was reset")
        elif isinstance(event, events.ConnectionTerminated):
            self._take_end(event)

    def _hello_is_late(self) -> None:
        if not self.up.is_set():
            self.owner.fault(self, "no HELLO in time")
            self.end(4004, "no HELLO in time")

    def _speak(self) -> None:
        self._quic.send_ping(0)
        self.transmit()
        self.timer = self._loop.call_later(SPEAK_SECONDS, self._speak)

    def _take_end(self, event: events.ConnectionTerminated) -> None:
        self.ended = event
        if self.timer is not None:
            self.timer.cancel()
        self.over.set()
        if self.socket is not None:
            self.socket.close()
        self.owner.link_ended(self)

    def _take_control(self, event: events.StreamDataReceived) -> None:
        if self.control_id is None and not self.dialing:
            self.control_id = event.stream_id
        if event.stream_id != self.control_id:
            raise Close(4010, "a second bidirectional stream")
        self.control_buffer += event.data
        while (message := control.take_message(self.control_buffer)) is not None:
            self._take_message(*message)
        # After a NOTICE 4011 the other side is about to close the link itself, with the code that tells why.
        if event.end_stream and not self.refused_version:
            raise Close(4010, "the end of the control stream")

    def _take_message(self, kind: int, body: bytes) -> None:
        if self.hello is not None:
            if kind == control.HELLO:
                raise Close(4010, "a second HELLO")
            self.owner.control_message(self, kind, body)
            return
        if kind == control.NOTICE and control.read_notice(body).code == 4011:
            self.refused_version = True
            self.owner.early_notice(self, control.read_notice(body))
            return
        if kind != control.HELLO:
            raise Close(4010, "something before HELLO")
        public = self.connection.peer_public
        assert public is not None
        self.hello = control.judge_hello(body, public, from_dialer=not self.dialing)
        if not self.dialing:
            self.send_control(control.HELLO, self.owner.hello(dialing=False))
        if self.timer is not None:
            self.timer.cancel()
        self._speak()
        self.up.set()
        self.owner.link_up(self)
        for stream in list(self.incoming):
            self._take_stream(stream)

    def _take_frames(self, event: events.StreamDataReceived) -> None:
        buffer = self.incoming.setdefault(event.stream_id, bytearray())
        buffer += event.data
        if event.end_stream:
            self.ended_streams.add(event.stream_id)
        if self.hello is not None:
            self._take_stream(event.stream_id)
        # Otherwise it has overtaken HELLO, and waits.

    def _take_stream(self, stream: int) -> None:
        buffer = self.incoming[stream]
        self._drain(stream, buffer)
        if stream in self.ended_streams:
            self.ended_streams.discard(stream)
            del self.incoming[stream]
            self.places = {pair: place for pair, place in self.places.items() if place != stream}
            if buffer:
                raise Close(4010, "an end within a frame")

    def _drain(self, stream: int, buffer: bytearray) -> None:
        while len(buffer) >= SIZE:
            try:
                header, shape = read_header(bytes(buffer[:SIZE]), WIRE)
            except Refused as refused:
                raise Close(refused.code or 4010, f"a header: {refused}") from None
            whole = SIZE + header.payload_length
            if len(buffer) < whole:
                return
            data = bytes(buffer[:whole])
            del buffer[:whole]
            self._judge_spread(stream, header, whole)
            self.owner.frame(self, header, shape, data)

    def _judge_spread(self, stream: int, header: Header, length: int) -> None:
        """A receiver does not judge this; a test does."""
        if length > SMALL_MOST:
            return
        known = self.places.setdefault((header.source, header.destination), stream)
        if known != stream:
            self.owner.fault(self, "small frames of one source and destination on two streams")


async def listen(owner: Owner, signer: Any, accepts: Accepts, port: int = 0) -> tuple[Any, int]:
    """A server on loopback and its port."""
    from aioquic.asyncio.server import QuicServer

    def make(quic: QuicConnection, stream_handler: Any = None) -> Link:
        return Link(quic, owner, False, accepts)

    loop = asyncio.get_running_loop()
    server_configuration = configuration(signer, is_client=False)
    transport, server = await loop.create_datagram_endpoint(
        lambda: QuicServer(configuration=server_configuration, create_protocol=make), local_addr=("127.0.0.1", port)
    )
    return server, transport.get_extra_info("sockname")[1]


async def dial(owner: Owner, signer: Any, accepts: Accepts, port: int, kind: type[Link] = Link) -> Link:
    """A link that has begun; wait for `up` or `over`."""
    quic = QuicConnection(configuration=configuration(signer, is_client=True))
    loop = asyncio.get_running_loop()
    transport, link = await loop.create_datagram_endpoint(
        lambda: kind(quic, owner, True, accepts), local_addr=("127.0.0.1", 0)
    )
    link.socket = transport
    link.connect(("127.0.0.1", port))
    return link
