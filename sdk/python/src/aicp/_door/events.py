"""What a frame at the door is about (the table of section 12), and which metadata keys stand in it."""

from __future__ import annotations

import enum
from functools import lru_cache

from .header import Header
from .kinds import TALK, ZERO_ID, ContentType, MessageType, Shape, Way
from .metadata import Key, Metadata
from .refusal import require


class Event(enum.Enum):
    """A row of the table of the agents' door."""

    ATTACH = "attach"
    DETACH = "detach"
    WORKING = "working"
    CREDIT = "credit"
    RESOLVE = "resolve"
    ORDER = "order"
    QUESTION = "question"
    SUBMIT = "submit"
    RESPOND = "respond"
    PING = "ping"
    HANDLED = "handled"
    REFUSE = "refuse"
    DELIVERY = "delivery"
    ANSWER = "answer"
    DURABLE_DELIVERY = "durable delivery"
    TOLD = "told"
    REFUSED = "refused"
    PONG = "pong"


Keys = frozenset[Key]

NOTHING: Keys = frozenset()
NUMBER = frozenset({Key.DELIVERY_NUMBER})
CREDIT = frozenset({Key.CREDIT_MESSAGES, Key.CREDIT_BYTES})
PROVED = frozenset({Key.SOURCE_NAME, Key.SOURCE_NODE, Key.SOURCE_NODE_NAME, Key.HOPS, Key.RECEIVED, Key.PROOF})
DURABLY = PROVED | NUMBER | {Key.ATTEMPT, Key.LEASE}
STAGE = frozenset({Key.LAST_STAGE})

# The keys from 64 on: what must stand, and what may besides.
DOOR_KEYS: dict[Event, tuple[Keys, Keys]] = {
    Event.ATTACH: (NOTHING, CREDIT),
    Event.WORKING: (NUMBER, NOTHING),
    Event.CREDIT: (CREDIT, NOTHING),
    Event.SUBMIT: (NOTHING, STAGE),
    Event.RESPOND: (NUMBER, STAGE),
    Event.HANDLED: (NUMBER, NOTHING),
    Event.REFUSE: (NOTHING, NUMBER),
    Event.DELIVERY: (PROVED, NOTHING),
    Event.DURABLE_DELIVERY: (DURABLY, frozenset({Key.MARKED})),
    Event.PONG: (NOTHING, PROVED - {Key.RECEIVED}),
}

SUBJECTS = {
    "agent.attach": Event.ATTACH,
    "agent.detach": Event.DETACH,
    "agent.working": Event.WORKING,
    "agent.credit": Event.CREDIT,
    "agent.resolve": Event.RESOLVE,
    "node.outbox.retry": Event.ORDER,
    "node.outbox.drop": Event.ORDER,
    "node.dead.requeue": Event.ORDER,
    "node.dead.purge": Event.ORDER,
    "node.clock.trust": Event.ORDER,
}

# Shapes whose metadata has no known key, and those that have none at all.
BARE = frozenset({Shape.PING, Shape.STREAM_ABORT, Shape.STREAM_END, Shape.CHUNK, Shape.CHUNK_ACK})
WITHOUT = frozenset({Shape.STREAM_END, Shape.CHUNK, Shape.CHUNK_ACK})
FREE = frozenset({Key.SUBJECT, Key.TRACEPARENT, Key.SESSION_ID, Key.CAPABILITY})


def find_event(header: Header, metadata: Metadata, way: Way) -> Event | None:
    """What the frame is about; `None` for frames of streams and a ping down, which have no event yet."""
    return event_up(header, metadata) if way is Way.UP else event_down(header, metadata)


def event_up(header: Header, metadata: Metadata) -> Event | None:
    shape, kind = header.shape, header.type
    if shape is Shape.ONCE and kind is MessageType.REQUEST and header.destination == ZERO_ID:
        return SUBJECTS.get(metadata.text(Key.SUBJECT) or "", Event.QUESTION)
    if shape is Shape.DURABLE and kind is MessageType.RESPONSE:
        return Event.RESPOND
    others = {Shape.PING: Event.PING, Shape.HANDLED: Event.HANDLED, Shape.NOTICE: Event.REFUSE}
    return Event.SUBMIT if shape in (Shape.ONCE, Shape.DURABLE) else others.get(shape)


def event_down(header: Header, metadata: Metadata) -> Event | None:
    if header.shape is Shape.ONCE:
        is_delivery = bool(metadata.known.keys() & PROVED)
        is_credit = metadata.text(Key.SUBJECT) == "agent.credit" and header.type is MessageType.REQUEST
        if is_credit and not is_delivery:
            return Event.CREDIT
        return Event.ANSWER if header.type is MessageType.RESPONSE and not is_delivery else Event.DELIVERY
    others = {
        Shape.DURABLE: Event.DURABLE_DELIVERY,
        Shape.TOLD: Event.TOLD,
        Shape.NOTICE: Event.REFUSED,
        Shape.PONG: Event.PONG,
    }
    return others.get(header.shape)


def judge_presence(header: Header, metadata: Metadata, event: Event | None, way: Way) -> None:
    """Each key stands where it must and where it may, and nowhere else."""
    must, may = base_keys(header.type, header.shape, header.content_type is ContentType.NAMED, way)
    door_must, door_may = DOOR_KEYS.get(event, (NOTHING, NOTHING)) if event else (NOTHING, NOTHING)
    must, may = must | door_must, may | door_may
    there = metadata.known.keys()
    missing, surplus = must - there, there - must - may
    require(not missing, "metadata-presence", f"missing: {named(missing)}")
    require(not surplus, "metadata-presence", f"not here: {named(surplus)}")
    is_talk = header.type in TALK and header.shape not in BARE
    require(is_talk or not metadata.application, "metadata-presence", "entries of an application's own")


@lru_cache
def base_keys(kind: MessageType, shape: Shape, is_named: bool, way: Way) -> tuple[Keys, Keys]:
    """The keys below 64 that must and may stand at the door."""
    if shape in BARE:
        return NOTHING, NOTHING
    must: set[Key] = set()
    may: set[Key] = set()
    if is_named:
        must.add(Key.CONTENT_TYPE_NAME)
    if kind in TALK:
        may |= FREE
    if kind is MessageType.BROADCAST:
        must.add(Key.TOPIC)
    if shape is Shape.OPENER:
        may.add(Key.TOTAL_LENGTH)
    elif shape is Shape.DURABLE:
        (must if way is Way.DOWN else may).add(Key.EXPIRY)
        may.add(Key.AGAIN)
        if kind in (MessageType.REQUEST, MessageType.BROADCAST):
            may.add(Key.HANDLED_WANTED)
    elif shape is Shape.ONCE:
        may.add(Key.EXPIRY)
    return frozenset(must), frozenset(may)


def named(keys: object) -> str:
    found = keys if isinstance(keys, (set, frozenset)) else set()
    return ", ".join(sorted(Key(key).name.lower() for key in found))
