"""What is asked of the daemon and of other agents, and waits for an answer.

Sending again after a lost connection is the connection's work.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from . import _letter, _limits
from ._core import Asked, Core, Durable
from ._door import schema
from ._door.bodies import read_body
from ._door.frame import Frame
from ._door.ids import id_from_text
from ._door.kinds import MessageType, Shape
from ._door.refusal import Unfit
from ._letter import Extras, Letter
from .body import Body
from .errors import Invalid, Offline, PrekeyChanged, ProtocolFault

T = TypeVar("T")
Seconds = float | datetime.timedelta


def extras(
    expires_in: Seconds | None,
    traceparent: str | None,
    session: str | None,
    capability: str | None,
    entries: Mapping[str, Any] | None,
) -> Extras:
    """What a caller added to a message."""
    expiry = None
    if expires_in is not None:
        seconds = expires_in.total_seconds() if isinstance(expires_in, datetime.timedelta) else expires_in
        if seconds <= 0:
            raise Invalid("a message expires in more than 0 seconds")
        expiry = time.time_ns() + round(seconds * 1e9)
    return Extras(expiry, traceparent, session, capability, entries or {})


async def ask(core: Core, letter: Letter, of: bytes | None = None) -> Frame:
    """Writes a frame that has one answer, and waits for it."""
    message_id, told = core.draw(), asyncio.get_running_loop().create_future()

    def write() -> None:
        core.write(letter, message_id)
        core.asked[message_id] = Asked(of, told)

    try:
        await core.submit(write, placed=True)
        answer: Frame = await told
        return answer
    finally:
        if core.asked.pop(message_id, None) is not None:
            core.pump()


async def ask_agent(core: Core, letter: Letter, to: str) -> Frame:
    """Asks an agent: again under a new id where that is known to help."""
    letter.judge(core.body_bytes_max)
    tries = _limits.PREKEY_TRIES
    while True:
        letter.destination, was_known = await find(core, to)
        try:
            return await ask(core, letter, None if letter.shape is Shape.PING else letter.destination)
        except PrekeyChanged:
            tries -= 1
            if tries == 0:
                raise
        except Offline:
            if not (was_known and await is_elsewhere(core, to, letter.destination)):
                raise


async def submit_durable(
    core: Core, letter: Letter, to: str, message_id: int | None, again: bool
) -> tuple[int, Durable]:
    """Submits what is kept until its end is known. What is heard of it stands in its progress."""
    letter.judge(core.body_bytes_max)
    letter.destination, _ = await find(core, to)
    drawn = core.draw() if message_id is None else message_id

    def write() -> Durable:
        if drawn in core.durable:
            raise Invalid("a message with this id is under way in this process")
        core.write(letter, drawn, again)
        return core.keep(drawn, letter)

    return drawn, await core.submit(write, placed=True)


async def question(core: Core, subject: str, body: Body | None = None) -> Frame:
    """Asks the node."""
    letter = _letter.question(subject, body)
    letter.judge(core.body_bytes_max)
    return await ask(core, letter)


async def known_question(core: Core, subject: str, answer: type[T], body: object | None = None) -> T:
    """Asks the node something whose answer has a form that is known here."""
    frame = await question(core, subject, None if body is None else _letter.packed(body))
    if frame.header.type is not MessageType.RESPONSE:
        raise ProtocolFault("the daemon broke the protocol: an answer that is no RESPONSE")
    try:
        return read_body(answer, frame.header.content_type, frame.body)
    except Unfit as unfit:
        raise ProtocolFault(f"the daemon broke the protocol: {unfit}") from None


async def resolve(core: Core, address: str) -> schema.ResolveReply:
    """Asks who an address is."""
    return await known_question(core, "agent.resolve", schema.ResolveReply, schema.Resolve(address))


async def find(core: Core, to: str) -> tuple[bytes, bool]:
    """The id behind an address, and whether it was known from before."""
    identity = id_from_text(to)
    if identity is not None:
        return identity, False
    known = core.addresses.get(to)
    if known is not None:
        return known, True
    reply = await resolve(core, to)
    found = id_from_text(reply.agent_id)
    if found is None:
        raise ProtocolFault("the daemon broke the protocol: the id in a ResolveReply")
    if len(core.addresses) >= _limits.ADDRESSES_MAX:
        core.addresses.clear()
    core.addresses[to] = found
    return found, False


async def is_elsewhere(core: Core, to: str, before: bytes) -> bool:
    """Whether an address leads to somebody else by now."""
    core.addresses.pop(to, None)
    return (await find(core, to))[0] != before
