"""What an agent's handles and its connection share: who waits for what, what waits to be written, what waits to be
received.

Every queue has a bound. All of it belongs to one event loop; nothing here waits but in `submit` and its callers.
"""

from __future__ import annotations

import asyncio
import enum
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from . import _letter, _limits
from ._bell import Bell
from ._credit import Amount, Credit
from ._door import schema
from ._door.events import Event as DoorEvent
from ._door.frame import Frame, draw_id
from ._door.kinds import BODY_BYTES_MAX, ZERO_ID
from ._letter import Letter
from .errors import AicpError, Disconnected
from .events import Event, Events
from .message import Message, Ticket

T = TypeVar("T")


class Wire(Protocol):
    """A connection that bytes can be written to."""

    @property
    def has_room(self) -> bool: ...

    def write(self, data: bytes) -> None: ...


class Link(enum.Enum):
    """How the connection is."""

    UP = "frames can be written"
    DOWN = "it is being made again"
    CLOSED = "it will not be made again"


@dataclass
class Identity:
    """Who we are, as the daemon said."""

    id: bytes = ZERO_ID
    node: bytes = ZERO_ID
    node_name: str = ""
    body_bytes_max: int = BODY_BYTES_MAX


@dataclass
class Asked:
    """Somebody waits for one answer: from this agent, or, without one, from whoever answers."""

    of: bytes | None
    told: asyncio.Future[Frame]
    then: Callable[[Frame], None] | None = None


@dataclass
class Progress:
    """What was heard of a submission. `end` is an answer, `None` for one that was handled without, or why it failed."""

    accepted: bool = False
    stored: bool = False
    ended: bool = False
    end: Message | AicpError | None = None
    bell: Bell = field(default_factory=Bell)

    def finish(self, end: Message | AicpError | None) -> None:
        if not self.ended:
            self.ended, self.end = True, end


@dataclass
class Durable:
    """Somebody waits for stages of a submission, which is sent again until its last one is heard."""

    letter: Letter
    progress: Progress = field(default_factory=Progress)

    def is_over(self) -> bool:
        """Whether nothing that was asked for is still to come."""
        progress, last = self.progress, self.letter.last_stage
        heard = {_letter.STAGES["accepted"]: progress.accepted, _letter.STAGES["stored"]: progress.stored}
        return progress.ended or (last is not None and heard.get(last, False))


@dataclass
class Arrived:
    """Something to be received."""

    frame: Frame
    ticket: Ticket | None
    is_outcome: bool


@dataclass(eq=False)
class Waiter:
    """Somebody wants to write, and waits until that is possible."""

    write: Callable[[], Any]
    done: asyncio.Future[Any]


class Heard(enum.Enum):
    """How much of a submission this process has heard: as far as it asked, or its end."""

    STAGE = "stage"
    END = "end"


class Settled:
    """Submissions that are over, the latest ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Heard] = OrderedDict()

    def add(self, message_id: int, heard: Heard) -> None:
        self._known[message_id] = heard
        if len(self._known) > _limits.SETTLED_MAX:
            self._known.popitem(last=False)

    def get(self, message_id: int) -> Heard | None:
        return self._known.get(message_id)


class Core:
    """The tables of one agent."""

    def __init__(self, attach: schema.Attach | None) -> None:
        # Whom to be; without it, a client that is no agent.
        self.attach = attach
        self.link = Link.DOWN
        self.why_closed: AicpError | None = None
        self.wire: Wire | None = None
        self.epoch = 0
        self.me = Identity()
        self.credit = Credit(Amount())
        self.asked: dict[int, Asked] = {}
        self.durable: dict[int, Durable] = {}
        self.durable_bytes = 0
        self.responses: dict[int, asyncio.Future[None]] = {}
        # Submissions that were begun on another connection and are not written on this one yet.
        self.again: deque[int] = deque()
        # Answers and what else must not wait for a place, and what must.
        self.urgent: deque[Waiter] = deque()
        self.placed: deque[Waiter] = deque()
        self.inbox: deque[Arrived] = deque()
        self.inbox_bytes = 0
        self.arrivals = Bell()
        self.draining = False
        self.settled = Settled()
        self.addresses: dict[str, bytes] = {}
        # Whoever listens no more is forgotten by itself.
        self.listeners: weakref.WeakSet[Events] = weakref.WeakSet()

    # the connection

    def begin(self, wire: Wire) -> None:
        """A new connection, on which nothing is written yet. What was held on another one is void."""
        self.wire = wire
        self.epoch += 1
        self.credit = Credit(self.inbox_amount())

    def open(self) -> int:
        """Everybody may use it, after what is kept has been written again. How much that is."""
        self.link = Link.UP
        self.again = deque(self.durable)
        self.say_credit()
        self.pump()
        return len(self.durable)

    def lose(self, why: AicpError) -> None:
        """The connection is gone: what was not kept on a disk has an unknown end."""
        self.wire = None
        # What it brought and nobody has begun comes again: to begin it now would be to do it twice.
        self.epoch += 1
        if self.link is Link.UP:
            self.link = Link.DOWN
        asked, self.asked = self.asked, {}
        responses, self.responses = self.responses, {}
        for one in asked.values():
            fail(one.told, why)
        for told in responses.values():
            fail(told, why)

    def close(self, why: AicpError) -> None:
        """It will not be made again: whoever waits hears why."""
        if self.link is Link.CLOSED:
            return
        self.lose(why)
        self.link, self.why_closed = Link.CLOSED, why
        self.inbox.clear()
        for durable in self.durable.values():
            durable.progress.finish(why)
            durable.progress.bell.ring()
        self.durable.clear()
        for queue in (self.urgent, self.placed):
            while queue:
                fail(queue.popleft().done, why)
        self.arrivals.ring()
        for listener in list(self.listeners):
            listener._end()

    def judge_open(self) -> None:
        """Raises why nothing can be done any more, if so."""
        if self.why_closed is not None:
            raise self.why_closed.with_traceback(None)

    def tell(self, event: Event) -> None:
        for listener in list(self.listeners):
            listener._tell(event)

    # writing

    @property
    def body_bytes_max(self) -> int:
        return self.me.body_bytes_max

    def draw(self) -> int:
        """A message id that nothing under way has."""
        while True:
            drawn = draw_id()
            if drawn not in self.asked and drawn not in self.durable:
                return drawn

    def write(self, letter: Letter, message_id: int, again: bool = False) -> None:
        """Writes a frame now, whatever credit says."""
        if self.wire is None:
            raise Disconnected()
        data = letter.write(message_id, self.me.id, again)
        self.credit.note_written(len(data))
        self.wire.write(data)

    async def submit(self, write: Callable[[], T], *, placed: bool = False) -> T:
        """Runs `write` once a frame can be written, in the order of the calls. What is `placed` waits for a place among
        what is under way, too."""
        self.judge_open()
        queue = self.placed if placed else self.urgent
        waiter = Waiter(write, asyncio.get_running_loop().create_future())
        queue.append(waiter)
        self.pump()
        try:
            done: T = await waiter.done
            return done
        except asyncio.CancelledError:
            # Whoever has left writes nothing.
            if waiter in queue:
                queue.remove(waiter)
            raise

    def pump(self) -> None:
        """Writes what waits, as far as the daemon takes it. What was begun on another connection goes first."""
        while self.again and self._has_room():
            message_id = self.again.popleft()
            durable = self.durable.get(message_id)
            if durable is not None:
                self.write(durable.letter, message_id, again=True)
        while not self.again and self.urgent and self._has_room():
            self._run(self.urgent.popleft())
        while not self.again and self.placed and self._has_room() and self._has_place():
            self._run(self.placed.popleft())

    def _run(self, waiter: Waiter) -> None:
        if waiter.done.done():
            return
        try:
            waiter.done.set_result(waiter.write())
        except Exception as error:  # whatever it is, it is the caller's
            waiter.done.set_exception(error)

    def _has_room(self) -> bool:
        is_up = self.link is Link.UP and self.wire is not None and self.wire.has_room
        return is_up and self.credit.may_write()

    def _has_place(self) -> bool:
        under_way = len(self.asked) + len(self.durable)
        return under_way < _limits.WAITING_MAX and self.durable_bytes < _limits.WAITING_BYTES_MAX

    # what is under way

    def keep(self, message_id: int, letter: Letter) -> Durable:
        durable = self.durable[message_id] = Durable(letter)
        self.durable_bytes += len(letter.body.octets)
        return durable

    def drop(self, message_id: int) -> Durable | None:
        durable = self.durable.pop(message_id, None)
        if durable is not None:
            self.durable_bytes -= len(durable.letter.body.octets)
        return durable

    def forget(self, message_id: int) -> None:
        """Whoever waited for a durable submission has left. It goes on without it."""
        durable = self.drop(message_id)
        if durable is not None:
            if not durable.letter.wants_outcome:
                self.settled.add(message_id, Heard.STAGE)
            self.pump()

    def settle(self, ticket: Ticket, letter: Letter, message_id: int) -> None:
        """Writes what settles a delivery of this connection; such a word waits for no credit."""
        self.judge_ticket(ticket)
        self.write(letter, message_id)

    def judge_ticket(self, ticket: Ticket) -> None:
        self.judge_open()
        if self.link is not Link.UP or self.epoch != ticket.epoch:
            raise Disconnected("the connection that the message came over was lost; it comes again, marked")

    async def post(self, letter: Letter, message_id: int) -> None:
        """Writes a frame that nobody answers."""
        await self.submit(lambda: self.write(letter, message_id))

    async def respond(self, ticket: Ticket, letter: Letter, message_id: int) -> None:
        """Answers a durable REQUEST and waits until the answer is accepted."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def write() -> None:
            self.judge_ticket(ticket)
            self.write(letter, message_id)
            self.responses[message_id] = told

        try:
            await self.submit(write)
            await told
        finally:
            if self.responses.get(message_id) is told:
                del self.responses[message_id]

    async def working(self, ticket: Ticket) -> None:
        """Asks for more time for a delivery; such a word waits for no credit."""
        self.judge_ticket(ticket)
        letter = _letter.question("agent.working")
        letter.delivery_number = ticket.number
        message_id, told = self.draw(), asyncio.get_running_loop().create_future()
        self.write(letter, message_id)
        self.asked[message_id] = Asked(None, told)
        try:
            await told
        finally:
            self.asked.pop(message_id, None)

    # credit

    def say_credit(self) -> None:
        """Tells the daemon how much more it may bring, where that is worth a frame."""
        # Who is no agent gets no deliveries, and who drains wants none.
        if self.link is not Link.UP or self.wire is None or self.me.id == ZERO_ID or self.draining:
            return
        told = self.credit.renew(self.inbox_amount(), bool(self.asked or self.durable or self.responses))
        if told is not None:
            letter = _letter.question("agent.credit")
            letter.credit = told
            self.write(letter, self.draw())

    def inbox_amount(self) -> Amount:
        return Amount(len(self.inbox), self.inbox_bytes)

    def note_delivery(self, frame: Frame) -> None:
        if frame.event in (DoorEvent.DELIVERY, DoorEvent.DURABLE_DELIVERY):
            self.credit.note_arrived(frame.size)


def fail(waiting: asyncio.Future[Any], why: BaseException) -> None:
    """Whoever waits hears why. Nobody has to be there any more."""
    if not waiting.done():
        waiting.set_exception(why)
        # Read here, so that asyncio does not complain of an error that nobody heard.
        waiting.exception()
