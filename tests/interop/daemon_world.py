"""What the checks of a daemon share: the daemon, two nodes in Python, and small helpers that name what differs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aicp_peer.daemon import Daemon
from aicp_peer.link import Link
from aicp_wire.ids import decode_id, encode_id
from aicp_wire.shapes import ACK, PING
from foreign_peer import Agent, Event, ForeignPeer

Check = tuple[str, Callable[["World"], Awaitable[None]]]


def must(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def same(what: str, expected: Any, got: Any) -> None:
    must(expected == got, f"{what}: expected {expected!r}, got {got!r}")


class Checks:
    """Named checks in the order in which they were written."""

    def __init__(self) -> None:
        self.list: list[Check] = []

    def __call__(self, name: str) -> Callable[[Callable[[World], Awaitable[None]]], Any]:
        def add(function: Callable[[World], Awaitable[None]]) -> Any:
            self.list.append((name, function))
            return function

        return add


class World:
    """`foreign` is dialed by the daemon, `visitor` dials it, `twin` is dialed and dials at once, and where `stranger`
    should be another key answers."""

    def __init__(self, aicpd: str, aicpctl: str, folder: Path) -> None:
        self.daemon = Daemon(aicpd, aicpctl, folder)
        self.foreign = ForeignPeer("foreign", "fred")
        self.visitor = ForeignPeer("visitor", "vera")
        self.stranger = ForeignPeer("stranger", "stan")
        self.twin = ForeignPeer("twin", "tess")
        self.expected_stranger = Agent("nobody").id
        self.daemon_id = b""
        self.echoed = Path()
        self.peers: list[str] = []

    @property
    def nodes(self) -> list[ForeignPeer]:
        return [self.foreign, self.visitor, self.stranger, self.twin]

    async def start(self) -> None:
        self.daemon_id = decode_id(await self.daemon.init())
        for node in self.nodes:
            node.peers = {self.daemon_id}
        for node in (self.foreign, self.stranger, self.twin):
            await node.listen()
        self.peers = [
            f"foreign={self.foreign.id_text}@127.0.0.1:{self.foreign.port}",
            f"visitor={self.visitor.id_text}",
            f"twin={self.twin.id_text}@127.0.0.1:{self.twin.port}",
            f"stranger={encode_id(self.expected_stranger)}@127.0.0.1:{self.stranger.port}",
        ]
        await self.daemon.start(self.peers)
        self.echoed = await self.daemon.attach("echo", "--respond", "from echo")

    async def close(self) -> None:
        for node in self.nodes:
            node.stop()
        await self.daemon.close()

    async def visit(self) -> Link:
        """The visitor's link, which is up, and the echo agent known."""
        link = self.visitor.links.get(self.daemon_id)
        if link is None or link.ended is not None:
            link = await self.visitor.dial(self.daemon_id, self.daemon.port)
        await self.visitor.expect("record", lambda event: event.detail.values[2] == "echo")
        return link

    def echo_id(self) -> bytes:
        return self.visitor.find("echo").id

    async def still_answers(self) -> None:
        """The daemon took no harm: a PING over the visitor's link, which is dialed anew if need be."""
        await self.visit()
        number = self.visitor.send_once(PING, self.echo_id())
        await self.visitor.expect("pong", lambda event: header_of(event).message_id == number)

    def delivered(self) -> list[dict[str, Any]]:
        """What the echo agent has printed."""
        lines = self.echoed.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def times_delivered(self, message_id: int) -> int:
        return sum(one["id"] == f"{message_id:016x}" for one in self.delivered())

    async def stored(self, flow: int, sequence: int, since: int = 0) -> Event:
        """A STORED of this flow that covers this place, from the echo agent."""

        def fits(event: Event) -> bool:
            return flow_of(event) == flow and header_of(event).sequence >= sequence

        event = await self.visitor.expect("stored", fits, since=since)
        same("the source of STORED", self.echo_id(), header_of(event).source)
        same("its type and receipt", (ACK, 1), (header_of(event).type, header_of(event).receipt))
        return event

    async def outcome(self, node: ForeignPeer, message_id: int) -> Event:
        return await node.expect("outcome", lambda event: header_of(event).message_id == message_id)

    async def outbox_is_empty(self, seconds: float = 5) -> None:
        for _ in range(int(seconds * 10)):
            if (await self.daemon.status())["outbox_messages"] == 0:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the daemon's outbox does not get empty: STORED of an answer was not taken")


def header_of(event: Event) -> Any:
    assert event.frame is not None
    return event.frame.header


def known_of(event: Event) -> dict[int, Any]:
    assert event.frame is not None
    return event.frame.content.metadata.known


def body_of(event: Event) -> bytes:
    assert event.frame is not None
    return event.frame.content.body


def flow_of(event: Event) -> int:
    flow: int = known_of(event)[3]
    return flow


def error_code_of(event: Event) -> int:
    assert event.frame is not None and event.frame.content.error is not None
    return event.frame.content.error.error_code


def original_id_of(event: Event) -> str:
    assert event.frame is not None and event.frame.content.error is not None
    return event.frame.content.error.original_message_id


def raw_flags(data: bytes, flags: int) -> bytes:
    """The same bytes with other flags."""
    return data[:86] + flags.to_bytes(2, "big") + data[88:]

