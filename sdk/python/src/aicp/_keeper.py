"""Owns an agent's connection: connects, attaches, reads, and begins again when it is lost. Decides nothing about
messages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from . import _hearing, _letter, _limits
from ._core import Asked, Core, Identity, Link
from ._door.bodies import read_body
from ._door.frame import Frame, FrameReader
from ._door.ids import id_from_text
from ._door.kinds import BODY_BYTES_MAX, ZERO_ID, Way
from ._door.refusal import Unfit
from ._door.schema import AttachReply
from ._socket import Dial
from .errors import AicpError, Detached, Disconnected, NoAnswer, ProtocolFault, TakenOver
from .events import Lost, Reconnected, Retrying

log = logging.getLogger("aicp")


class Wire(asyncio.Protocol):
    """One connection, as long as it lasts. `lost` says why it ended."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lost: asyncio.Future[AicpError] = asyncio.get_running_loop().create_future()
        self.has_room = True
        self._reader = FrameReader(Way.DOWN)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_limits.OUT_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                _hearing.take(self.core, frame)
        except TakenOver as why:
            self.abort(why)
        except Unfit as why:
            self.abort(ProtocolFault(f"the daemon broke the protocol: {why}"))
        else:
            self.core.say_credit()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        self.has_room = True
        if self.core.wire is self:
            self.core.pump()

    def connection_lost(self, why: Exception | None) -> None:
        self._end(Disconnected(f"the connection to the daemon was lost: {why}" if why else "the daemon hung up"))

    def close(self) -> None:
        """Ends it after all that was written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: AicpError) -> None:
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: AicpError) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


class Keeper:
    """Makes the connection, and makes it again."""

    def __init__(self, core: Core, dial: Dial) -> None:
        self.core = core
        self._dial = dial
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._resubmitted = 0

    async def open(self) -> None:
        """Connects and attaches once. Then the connection looks after itself."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name="aicp connection")

    async def close(self) -> None:
        """Gives the name back and ends the connection, after all that was said has been written."""
        if self.core.link is Link.UP and self.core.attach is not None:
            try:
                async with asyncio.timeout(_limits.FAREWELL):
                    await self._exchange(_letter.question("agent.detach"))
            except (AicpError, TimeoutError):
                log.debug("the name was not given back in time; the end of the connection does it")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.core.close(Detached())
        if self._wire is not None:
            self._wire.close()
            await asyncio.wait({self._wire.lost}, timeout=_limits.FAREWELL)
            self._wire.abort(Detached())

    async def _connect(self) -> None:
        made: list[Wire] = []

        def factory() -> Wire:
            made.append(Wire(self.core))
            return made[-1]

        await self._dial(factory)
        wire = self._wire = made[-1]
        self.core.begin(wire)
        if self.core.attach is None:
            self._resubmitted = self.core.open()
            return
        try:
            await self._attach(wire)
        except BaseException:
            self.core.lose(Disconnected())
            wire.abort(Disconnected())
            raise

    async def _attach(self, wire: Wire) -> None:
        assert self.core.attach is not None
        letter = _letter.question("agent.attach", _letter.packed(self.core.attach))
        letter.credit = self.core.credit.told
        letter.source = ZERO_ID
        exchange = asyncio.create_task(self._exchange(letter, self._attached))
        try:
            either: set[asyncio.Future[Any]] = {exchange, wire.lost}
            await asyncio.wait(either, timeout=_limits.ATTACH_WITHIN, return_when="FIRST_COMPLETED")
            if exchange.done():
                exchange.result()
            elif wire.lost.done():
                raise wire.lost.result()
            else:
                raise NoAnswer(f"the daemon did not answer the attach within {_limits.ATTACH_WITHIN:.0f} s")
        finally:
            exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)

    async def _exchange(self, letter: _letter.Letter, then: Callable[[Frame], None] | None = None) -> Frame:
        """Writes a frame now, and waits for its answer."""
        core = self.core
        message_id, told = core.draw(), asyncio.get_running_loop().create_future()
        core.write(letter, message_id)
        core.asked[message_id] = Asked(None, told, then)
        try:
            answer: Frame = await told
            return answer
        finally:
            core.asked.pop(message_id, None)

    def _attached(self, frame: Frame) -> None:
        """The daemon says who we are. At once, since deliveries may come right behind it."""
        try:
            reply = read_body(AttachReply, frame.header.content_type, frame.body)
        except Unfit as unfit:
            raise ProtocolFault(f"the daemon broke the protocol: {unfit}") from None
        me, node = id_from_text(reply.agent_id), id_from_text(reply.node_id)
        if me is None or node is None:
            raise ProtocolFault("the daemon broke the protocol: an id in an AttachReply")
        most = min(reply.message_bytes_max or BODY_BYTES_MAX, BODY_BYTES_MAX)
        self.core.me = Identity(me, node, reply.node_name, most)
        self._resubmitted = self.core.open()

    async def _run(self) -> None:
        try:
            await self._keep()
        except Exception as error:  # a fault of ours: whoever waits must not wait without end
            log.exception("the connection's task broke")
            self.core.close(ProtocolFault(f"the connection's task broke: {error}"))

    async def _keep(self) -> None:
        """Waits for the end of the connection, and makes it again, until nobody wants it any more."""
        core, pause = self.core, _limits.PAUSE_FIRST
        while True:
            assert self._wire is not None
            since = time.monotonic()
            why = await self._wire.lost
            if isinstance(why, TakenOver):
                log.error("%s", why)
                core.close(why)
                return
            core.lose(Disconnected())
            log.warning("the connection to the daemon was lost (%s); connecting again", why)
            core.tell(Lost(str(why)))
            if time.monotonic() - since >= _limits.STEADY_AFTER:
                pause = _limits.PAUSE_FIRST
            pause = await self._connect_again(pause)
            log.info("connected to the daemon again; %d submissions are sent again", self._resubmitted)
            core.tell(Reconnected(self._resubmitted))

    async def _connect_again(self, pause: float) -> float:
        said = ""
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _limits.PAUSE_MAX)
            try:
                await self._connect()
                return pause
            except (AicpError, OSError) as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("no connection yet: %s", said)
                self.core.tell(Retrying(str(error), pause))
