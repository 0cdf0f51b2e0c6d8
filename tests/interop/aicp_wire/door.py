"""Section 12: the events of the agent's door and the keys 64 to 79 that stand in them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .header import ZERO_ID, Header
from .metadata import Metadata
from .shapes import DOWN, REQUEST, RESPONSE, UP

__all__ = ["DOWN", "UP", "Event", "find_event", "STAGES", "default_last_stage"]

# key 73, in the order in which the stages come
STAGES = {0: "none", 3: "ACCEPTED", 1: "STORED", 2: "HANDLED"}


@dataclass(frozen=True)
class Event:
    """A row of the table of events; `must` and `may` have only keys from 64 on."""

    name: str
    must: frozenset[int] = field(default=frozenset())
    may: frozenset[int] = field(default=frozenset())


def _event(name: str, must: tuple[int, ...] = (), may: tuple[int, ...] = ()) -> Event:
    return Event(name, frozenset(must), frozenset(may))


ATTACH = _event("attach", may=(75, 76))
DETACH = _event("detach")
WORKING = _event("working", must=(64,))
CREDIT = _event("credit", must=(75, 76))
RESOLVE = _event("resolve")
ORDER = _event("order")
QUESTION = _event("question")
SUBMIT = _event("submit", may=(73,))
RESPOND = _event("respond", must=(64,), may=(73,))
PING_UP = _event("ping")
HANDLED = _event("handled", must=(64,))
REFUSE = _event("refuse", may=(64,))
DELIVERY = _event("delivery", must=(65, 66, 67, 69, 70, 72))
ANSWER = _event("answer")
DURABLE_DELIVERY = _event("durable delivery", must=(64, 65, 66, 67, 68, 69, 70, 72, 74), may=(71,))
TOLD = _event("told")
REFUSED = _event("refused")
PONG = _event("pong", may=(65, 66, 67, 69, 72))

EVENTS = (
    ATTACH,
    DETACH,
    WORKING,
    CREDIT,
    RESOLVE,
    ORDER,
    QUESTION,
    SUBMIT,
    RESPOND,
    PING_UP,
    HANDLED,
    REFUSE,
    DELIVERY,
    ANSWER,
    DURABLE_DELIVERY,
    TOLD,
    REFUSED,
    PONG,
)

SUBJECTS = {
    "agent.attach": ATTACH,
    "agent.detach": DETACH,
    "agent.working": WORKING,
    "agent.credit": CREDIT,
    "agent.resolve": RESOLVE,
    "node.outbox.retry": ORDER,
    "node.outbox.drop": ORDER,
    "node.dead.requeue": ORDER,
    "node.dead.purge": ORDER,
    "node.clock.trust": ORDER,
}


def find_event(header: Header, shape: str, where: str, metadata: Metadata) -> Event | None:
    """The event of a frame at the door. None: it has none (frames of streams, a ping down)."""
    return (_up if where == UP else _down)(header, shape, metadata)


def _up(header: Header, shape: str, metadata: Metadata) -> Event | None:
    if shape == "once" and header.type == REQUEST and header.destination == ZERO_ID:
        # "any other": also with a subject that does not begin with `node.`, and with none at all
        return SUBJECTS.get(metadata.known.get(4, ""), QUESTION)
    if shape in ("once", "durable"):
        return RESPOND if shape == "durable" and header.type == RESPONSE else SUBMIT
    return {"ping": PING_UP, "handled": HANDLED, "notice": REFUSE}.get(shape)


def _down(header: Header, shape: str, metadata: Metadata) -> Event | None:
    if shape == "once":
        delivered = bool(metadata.known.keys() & DELIVERY.must)
        if header.type == REQUEST and not delivered and metadata.known.get(4) == "agent.credit":
            return CREDIT
        return ANSWER if header.type == RESPONSE and not delivered else DELIVERY
    return {"durable": DURABLE_DELIVERY, "told": TOLD, "notice": REFUSED, "pong": PONG}.get(shape)


def default_last_stage(header: Header, shape: str) -> int:
    """The meaning of a submission without key 73."""
    if shape != "durable":
        return 0
    return 2 if header.type == REQUEST else 3
