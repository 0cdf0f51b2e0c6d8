"""Questions to the node: what an agent and a client that is no agent can ask."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _requests
from ._core import Core
from ._door.ids import id_to_text
from ._door.kinds import ZERO_ID, MessageType, Shape
from ._door.metadata import Key
from ._door.schema import DirectoryAgent, NodeAgents, NodeStatus, ResolveReply
from ._keeper import Keeper
from ._letter import Letter
from ._socket import dial
from .body import Body
from .message import Message


@dataclass(frozen=True)
class Pong:
    """What came back for a ping. Names are there as far as they were told; `seconds` is the whole round trip."""

    id: str
    name: str
    node: str
    hops: int
    seconds: float


class Asking:
    """Whoever has a connection to the daemon can ask the node."""

    def __init__(self, core: Core, keeper: Keeper) -> None:
        self._core = core
        self._keeper = keeper

    async def status(self) -> NodeStatus:
        """How the node is."""
        return await _requests.known_question(self._core, "node.status", NodeStatus)

    async def agents(self) -> tuple[DirectoryAgent, ...]:
        """Who can be reached."""
        return (await _requests.known_question(self._core, "node.agents", NodeAgents)).agents

    async def resolve(self, address: str) -> ResolveReply:
        """Who an address is. Raises `Offline` if nobody is known by it."""
        return await _requests.resolve(self._core, address)

    async def question(self, subject: str, body: Any = None) -> Message:
        """Asks the node anything that has a subject (docs/PROTOCOL.md, section 12)."""
        return Message(await _requests.question(self._core, subject, Body.of(body)))

    async def ping(self, to: str | None = None) -> Pong:
        """Asks whether an agent's node is there and how long the way is; without an address, the own node."""
        letter = Letter(MessageType.PING, Shape.PING, ZERO_ID)
        begun = time.monotonic()
        if to is None:
            frame = await _requests.ask(self._core, letter)
        else:
            letter.destination, _ = await _requests.find(self._core, to)
            begun = time.monotonic()
            frame = await _requests.ask(self._core, letter)
        seconds, known = time.monotonic() - begun, frame.metadata
        name, node = known.text(Key.SOURCE_NAME) or "", known.text(Key.SOURCE_NODE_NAME) or ""
        return Pong(id_to_text(frame.header.source), name, node, known.number(Key.HOPS) or 0, seconds)


class Node(Asking):
    """A client that is no agent: it asks the node and is known to nobody."""

    async def __aenter__(self) -> Node:
        await self._keeper.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._keeper.close()


def node(*, socket: str | os.PathLike[str] | None = None) -> Node:
    """The node on this host, for questions alone: `async with aicp.node() as node`."""
    core = Core(None)
    return Node(core, Keeper(core, dial(socket)))
