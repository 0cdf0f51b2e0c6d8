"""What the daemon says, brought to whoever waits for it.

Decides nothing about the connection, and writes nothing but the acknowledgement of an end that was told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from . import _letter, _limits
from ._core import Arrived, Core, Heard, Link, Progress, fail
from ._credit import Amount
from ._door.bodies import read_error
from ._door.events import Event
from ._door.frame import BadFrame, Frame
from ._door.kinds import MessageType, Receipt
from ._door.metadata import Key
from ._door.refusal import Unfit
from .errors import AicpError, Full, PrekeyChanged, ProtocolFault, TakenOver, mesh_error
from .events import Dropped
from .message import Delivery, Message, Outcome, Ticket

End = Message | AicpError | None


def take(core: Core, frame: Frame | BadFrame) -> None:
    """Takes one frame. Raises `TakenOver` if another client has the name."""
    if isinstance(frame, BadFrame):
        end_with(core, frame.header.id, ProtocolFault(f"the daemon broke the protocol: {frame.refusal}"))
        return
    core.note_delivery(frame)
    kind = frame.header.type
    if frame.event is Event.DELIVERY and kind is not MessageType.RESPONSE:
        arrive(core, Arrived(frame, None, is_outcome=False))
    elif frame.event in (Event.DELIVERY, Event.ANSWER, Event.PONG):
        answered(core, frame)
    elif frame.event is Event.DURABLE_DELIVERY:
        durable_delivery(core, frame)
    elif frame.event is Event.TOLD:
        told(core, frame)
    elif frame.event is Event.REFUSED:
        # Under no id it is about no message, but about being attached at all.
        if frame.header.id == 0:
            raise TakenOver()
        end_with(core, frame.header.id, said_error(frame))
    elif frame.event is Event.CREDIT:
        known = frame.metadata
        core.credit.allow(Amount(known.number(Key.CREDIT_MESSAGES) or 0, known.number(Key.CREDIT_BYTES) or 0))
        core.pump()


def said_error(frame: Frame) -> AicpError:
    """What an ERROR says."""
    try:
        error = read_error(frame.header.content_type, frame.body)
    except Unfit as unfit:
        return ProtocolFault(f"the daemon broke the protocol: {unfit}")
    return mesh_error(error.error_code, error.error_message, error.retry_after_ms)


def answered(core: Core, frame: Frame) -> None:
    asked = core.asked.get(frame.header.id)
    # Only the one who was asked may answer.
    if asked is None or (asked.of is not None and asked.of != frame.header.source):
        return
    del core.asked[frame.header.id]
    if asked.told.done():
        return
    try:
        if asked.then is not None:
            asked.then(frame)
        asked.told.set_result(frame)
    except AicpError as error:
        fail(asked.told, error)
    core.pump()


def told(core: Core, frame: Frame) -> None:
    message_id, receipt = frame.header.id, frame.header.receipt
    response = core.responses.pop(message_id, None) if receipt is Receipt.ACCEPTED else None
    if response is not None:
        if not response.done():
            response.set_result(None)
        return

    def note(progress: Progress) -> None:
        if receipt is Receipt.ACCEPTED:
            progress.accepted = True
        elif receipt is Receipt.STORED:
            progress.stored = True
        elif receipt is Receipt.HANDLED:
            progress.finish(None)

    advance(core, message_id, note)


def end_with(core: Core, message_id: int, error: AicpError) -> None:
    """Whoever waits under this id hears of the error."""
    waiting: asyncio.Future[Frame] | asyncio.Future[None] | None = None
    if message_id in core.asked:
        waiting = core.asked.pop(message_id).told
    elif message_id in core.responses:
        waiting = core.responses.pop(message_id)
    if waiting is not None:
        fail(waiting, error)
        core.pump()
    elif not is_passing(core, message_id, error):
        advance(core, message_id, lambda progress: progress.finish(error))


def is_passing(core: Core, message_id: int, error: AicpError) -> bool:
    """4009 and 4013 end nothing that was accepted: its daemon tries again."""
    durable = core.durable.get(message_id)
    return durable is not None and durable.progress.accepted and isinstance(error, (Full, PrekeyChanged))


def advance(core: Core, message_id: int, note: Callable[[Progress], None]) -> None:
    """Notes what was heard of a submission, and forgets it once that was the last that was asked for."""
    durable = core.durable.get(message_id)
    if durable is None:
        return
    progress = durable.progress
    note(progress)
    # A later stage says the earlier ones too.
    progress.stored = progress.stored or (progress.ended and not isinstance(progress.end, AicpError))
    progress.accepted = progress.accepted or progress.stored
    if durable.is_over():
        core.drop(message_id)
        core.settled.add(message_id, Heard.END if progress.ended else Heard.STAGE)
        core.pump()
    progress.bell.ring()


def durable_delivery(core: Core, frame: Frame) -> None:
    number = frame.metadata.number(Key.DELIVERY_NUMBER) or 0
    lease = (frame.metadata.number(Key.LEASE) or 0) / 1000
    ticket = Ticket(number, core.epoch, lease, asyncio.get_running_loop().time() + lease)
    if frame.header.type in (MessageType.REQUEST, MessageType.BROADCAST):
        arrive(core, Arrived(frame, ticket, is_outcome=False))
    else:
        outcome(core, frame, ticket)


def outcome(core: Core, frame: Frame, ticket: Ticket) -> None:
    """The end of a submission, for whoever waits for it; otherwise for whoever receives."""
    message_id, kind = frame.header.id, frame.header.type
    durable = core.durable.get(message_id)
    # An ERROR may be the own node's: it expired before it left.
    is_ours = durable is not None and (kind is MessageType.ERROR or durable.letter.destination == frame.header.source)
    wanted = durable is not None and durable.letter.wants_outcome
    if is_ours and not wanted and kind is MessageType.RESPONSE:
        # An answer to what nobody asked the end of is for whoever receives; it has reached its destination all the
        # same.
        def is_stored(progress: Progress) -> None:
            progress.stored = True

        advance(core, message_id, is_stored)
    elif is_ours:
        acknowledge(core, frame, ticket)
        end = end_of(frame)
        advance(core, message_id, lambda progress: progress.finish(end))
        core.settled.add(message_id, Heard.END)
        return
    heard = core.settled.get(message_id)
    if heard is Heard.END or (heard is Heard.STAGE and kind is MessageType.ACK):
        acknowledge(core, frame, ticket)
    else:
        arrive(core, Arrived(frame, ticket, is_outcome=True))


def end_of(frame: Frame) -> End:
    """What an outcome says."""
    if frame.header.type is MessageType.RESPONSE:
        return Message(frame)
    return said_error(frame) if frame.header.type is MessageType.ERROR else None


def acknowledge(core: Core, frame: Frame, ticket: Ticket) -> None:
    # The number is void on another connection, where the outcome comes again.
    if core.link is Link.UP and core.wire is not None and ticket.epoch == core.epoch:
        core.write(_letter.handled(frame.header.source, ticket.number), frame.header.id)


def arrive(core: Core, arrived: Arrived) -> None:
    """Keeps something for whoever receives, if there is room."""
    octets = arrived.frame.size
    is_full = len(core.inbox) >= _limits.INBOX_MESSAGES_MAX or core.inbox_bytes + octets > _limits.INBOX_BYTES_MAX
    if is_full:
        core.tell(Dropped(comes_again=arrived.ticket is not None))
        return
    core.inbox_bytes += octets
    core.inbox.append(arrived)
    core.arrivals.ring()


async def receive(core: Core, fits: Callable[[bytes], bool] = lambda source: True) -> Delivery | Outcome | None:
    """The next thing to be received that is still ours, a message only from a source that fits; `None` once the agent
    drains."""

    def comes() -> bool:
        return any(arrived.is_outcome or fits(arrived.frame.header.source) for arrived in core.inbox)

    while True:
        await core.arrivals.until(lambda: comes() or core.draining or core.link is Link.CLOSED)
        core.judge_open()
        if core.draining:
            return None
        arrived = pop(core, fits)
        core.say_credit()
        if arrived is None:
            continue
        if not arrived.is_outcome:
            return Delivery(arrived.frame, arrived.ticket, core)
        if arrived.ticket is not None:
            acknowledge(core, arrived.frame, arrived.ticket)
            core.settled.add(arrived.frame.header.id, Heard.END)
        end = end_of(arrived.frame)
        answer = end if isinstance(end, Message) else None
        return Outcome(Message(arrived.frame).id, answer, end if isinstance(end, AicpError) else None)


def pop(core: Core, fits: Callable[[bytes], bool]) -> Arrived | None:
    """The oldest in the inbox whose lease has not ended, and whose source fits. The end of a submission always does."""
    now = asyncio.get_running_loop().time()
    place = 0
    while place < len(core.inbox):
        arrived = core.inbox[place]
        ticket = arrived.ticket
        is_ours = ticket is None or (ticket.epoch == core.epoch and now < ticket.until)
        if is_ours and not arrived.is_outcome and not fits(arrived.frame.header.source):
            place += 1
            continue
        del core.inbox[place]
        core.inbox_bytes -= arrived.frame.size
        if is_ours:
            return arrived
    return None
