"""Agents on an AICP mesh: attach to the daemon on this host, ask, send, serve.

    async with aicp.attach("summarizer", capabilities=["summarize"]) as me:

        @me.on("summarize")
        async def summarize(msg: aicp.Message) -> dict[str, str]:
            return {"summary": msg.body["text"][:100], "by": msg.sender.name}

        await me.serve()

The daemon signs, seals and keeps what is said; this library speaks to it over a Unix socket and never sees a private
key. It connects again by itself, and submits again under the same id what has not ended.
"""

from __future__ import annotations

from ._door.kinds import ContentType, MessageType
from ._door.schema import AgentStatus, DirectoryAgent, NodeStatus, PeerStatus, ResolveReply
from ._socket import socket_candidates
from ._version import __version__
from .agent import Agent, Attaching, attach, new_id
from .body import Body
from .errors import (
    AicpError,
    AuthenticationFailed,
    BadBody,
    BodyTooLarge,
    Denied,
    Detached,
    Disconnected,
    Expired,
    Full,
    GivenUp,
    HopsExhausted,
    Invalid,
    Malformed,
    MeshError,
    NoAnswer,
    NoDaemon,
    NoPermission,
    NoRoute,
    NotAsked,
    NotASocket,
    Offline,
    OlderFlow,
    OutcomeUnknown,
    PrekeyChanged,
    ProtocolFault,
    Refuse,
    ServerError,
    Stale,
    StorageFailed,
    TakenOver,
    TooLarge,
    Unanswered,
    UnknownVersion,
)
from .events import Dropped, Ended, Event, Events, Lost, Reconnected, Retrying
from .message import Delivery, Message, Outcome, Proof, Sender
from .node import Node, Pong, node
from .sent import Sent

__all__ = [
    "Agent",
    "AgentStatus",
    "AicpError",
    "Attaching",
    "AuthenticationFailed",
    "BadBody",
    "Body",
    "BodyTooLarge",
    "ContentType",
    "Delivery",
    "Denied",
    "Detached",
    "DirectoryAgent",
    "Disconnected",
    "Dropped",
    "Ended",
    "Event",
    "Events",
    "Expired",
    "Full",
    "GivenUp",
    "HopsExhausted",
    "Invalid",
    "Lost",
    "Malformed",
    "MeshError",
    "Message",
    "MessageType",
    "NoAnswer",
    "NoDaemon",
    "NoPermission",
    "NoRoute",
    "Node",
    "NodeStatus",
    "NotASocket",
    "NotAsked",
    "Offline",
    "OlderFlow",
    "Outcome",
    "OutcomeUnknown",
    "PeerStatus",
    "Pong",
    "PrekeyChanged",
    "Proof",
    "ProtocolFault",
    "Reconnected",
    "Refuse",
    "ResolveReply",
    "Retrying",
    "Sender",
    "Sent",
    "ServerError",
    "Stale",
    "StorageFailed",
    "TakenOver",
    "TooLarge",
    "Unanswered",
    "UnknownVersion",
    "__version__",
    "attach",
    "new_id",
    "node",
    "socket_candidates",
]
