"""Checks of what the daemon refuses, and that it takes no harm from it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from aicp_peer import control, link as links
from aicp_peer.link import Link
from aicp_wire.header import Header
from aicp_wire.metadata import join_map
from aicp_wire.shapes import PING, REQUEST, REQUIRES_ACK, SIGNED
from aicp_wire.signatures import Signer
from aicp_wire.strict_msgpack import pack_uint
from daemon_world import Checks, World, header_of, must, raw_flags, same
from foreign_peer import BOTH, ForeignPeer, random_id

check = Checks()
CRYPTO_ERROR = range(0x100, 0x200)


async def ended(link: Link, seconds: float = 6) -> int:
    """The code with which the link ended."""
    await asyncio.wait_for(link.over.wait(), seconds)
    assert link.ended is not None
    return link.ended.error_code


async def dial_badly(world: World, owner: ForeignPeer, signer: Signer | None, accept: bool = True) -> Link:
    return await links.dial(owner, signer, lambda found: accept and found == world.daemon_id, world.daemon.port)


@check("a connection without a client certificate is refused")
async def no_certificate(world: World) -> None:
    link = await dial_badly(world, ForeignPeer("nobody", "none"), None)
    code = await ended(link)
    must(code in CRYPTO_ERROR, f"code {code}, not one of TLS")
    must(not link.heard_anything, "the daemon said something on it")
    await world.still_answers()


@check("a connection with a key that is not in the configuration is refused")
async def unpinned_key(world: World) -> None:
    owner = ForeignPeer("somebody", "else")
    link = await dial_badly(world, owner, owner.signer)
    code = await ended(link)
    must(code in CRYPTO_ERROR, f"code {code}, not one of TLS")
    must(not link.heard_anything, "the daemon said something on it")
    await world.still_answers()


@check("a dialer that meant another node id finds that the daemon's key is not the one")
async def another_server(world: World) -> None:
    link = await dial_badly(world, world.visitor, world.visitor.signer, accept=False)
    code = await ended(link)
    must(code in CRYPTO_ERROR, f"code {code}, not one of TLS")
    same("the server's key was refused", None, link.connection.peer_public)
    await world.still_answers()


@check("the daemon refuses the link where another key answers than the one it dials")
async def another_listener(world: World) -> None:
    event = await world.stranger.expect("ended")
    must(event.detail.error_code in CRYPTO_ERROR, f"code {event.detail.error_code}, not one of TLS")
    must(all(event.kind != "up" for event in world.stranger.events), "the link came up")
    must(await world.daemon.peer_state("stranger") != "up", "status shows the peer up")


class SaysHello(ForeignPeer):
    """The visitor's key, with another HELLO."""

    def __init__(self, world: World, hello: bytes) -> None:
        super().__init__("visitor", "vera")
        self.signer = world.visitor.signer
        self.agent, self.agents = world.visitor.agent, world.visitor.agents
        self.said = hello

    def hello(self, dialing: bool) -> bytes:
        return self.said


async def hello_is_refused(world: World, hello: bytes, code: int) -> SaysHello:
    owner = SaysHello(world, hello)
    link = await dial_badly(world, owner, owner.signer)
    same("code", code, await ended(link))
    must(not link.up.is_set(), "the link came up")
    await world.still_answers()
    return owner


@check("a HELLO with the record of another key closes the link with 4002")
async def hello_of_another(world: World) -> None:
    await hello_is_refused(world, control.pack_hello(ForeignPeer("visitor", "vera").record(), True), 4002)


@check("a HELLO whose record has a signature that does not hold closes the link with 4002")
async def hello_forged(world: World) -> None:
    record = bytearray(world.visitor.record())
    record[-40] ^= 1
    await hello_is_refused(world, control.pack_hello(bytes(record), True), 4002)


@check("a HELLO of another mesh closes the link with 4002")
async def hello_of_another_mesh(world: World) -> None:
    await hello_is_refused(world, control.pack_hello(world.visitor.record(), True, mesh=b"\7" * 32), 4002)


@check("a HELLO without version 1 closes the link with 4011, after a NOTICE that says why")
async def hello_version_2(world: World) -> None:
    owner = await hello_is_refused(world, control.pack_hello(world.visitor.record(), True, versions=(2, 3)), 4011)
    notices = [event.detail for event in owner.events if event.kind == "early notice"]
    must(len(notices) == 1, f"{len(notices)} notices")
    same("its text", control.SPEAK_VERSION_1, notices[0].text)
    same("its code", 4011, notices[0].code)
    same("its ids", (0, bytes(32), bytes(32)), (notices[0].message_id, notices[0].source, notices[0].destination))


@check("a HELLO of a dialer without a link id closes the link with 4010")
async def hello_without_link_id(world: World) -> None:
    await hello_is_refused(world, control.pack_hello(world.visitor.record(), dialing=False), 4010)


@check("a HELLO whose keys are not in order closes the link with 4010")
async def hello_disordered(world: World) -> None:
    hello = control.pack_hello(world.visitor.record(), True)
    front = pack_uint(1) + b"\x91\1"
    must(hello[1 : 1 + len(front)] == front, "the layout of our own HELLO")
    await hello_is_refused(world, hello[:1] + hello[1 + len(front) :] + front, 4010)


@check("a HELLO with unknown keys, and version 1 among others, is taken")
async def hello_with_more(world: World) -> None:
    hello = control.pack_hello(world.visitor.record(), True, versions=(1, 9, 255))
    hello = bytes([hello[0] + 2]) + hello[1:] + pack_uint(7) + b"\xc0" + pack_uint(127) + b"\x81\xa1a\x90"
    owner = SaysHello(world, hello)
    old = await world.visit()
    link = await dial_badly(world, owner, owner.signer)
    await asyncio.wait_for(link.up.wait(), 5)
    same("the code of the link that it replaced", 1, await ended(old))
    link.end(0, "done")
    await ended(link)
    await world.still_answers()


@check("who says no HELLO is closed with 4004 after 5 s")
async def hello_missing(world: World) -> None:
    class Silent(Link):
        def _take_event(self, event: object) -> None:
            if type(event).__name__ == "ConnectionTerminated":
                super()._take_event(event)  # type: ignore[arg-type]

    begun = time.monotonic()
    link = await links.dial(
        world.visitor, world.visitor.signer, lambda found: found == world.daemon_id, world.daemon.port, Silent
    )
    same("code", 4004, await ended(link, 9))
    must(3 <= time.monotonic() - begun <= 8, f"after {time.monotonic() - begun:.1f} s")
    await world.still_answers()


def frame_of(world: World, type_: int = REQUEST) -> bytes:
    """A good once REQUEST or PING of the visitor to echo, which is not sent."""
    header = world.visitor.header_of_once(type_, random_id())
    linked, world.visitor.links = world.visitor.links, {}
    try:
        return world.visitor.send(world.visitor.agent, world.echo_id(), header, {}, b"x")
    finally:
        world.visitor.links = linked


async def closes(world: World, code: int, spoil: Callable[[Link], object]) -> None:
    """A link of the visitor's own that is closed with this code, after which the daemon still answers."""
    link = await world.visit()
    spoil(link)
    same("code", code, await ended(link))
    await world.still_answers()


@check("an unprotected frame closes the link with 4002")
async def unprotected(world: World) -> None:
    await world.visit()
    header = Header.unpack(frame_of(world))
    plain = b"\0\0x"
    header.flags, header.payload_length = 0, len(plain)
    await closes(world, 4002, lambda link: link.send_frame(header.pack() + plain))


@check("a malformed header closes the link with 4010")
async def malformed(world: World) -> None:
    await world.visit()
    good = frame_of(world)
    spoiled = {
        "type 9": good[:1] + b"\x09" + good[2:],
        "a flag of the middle": raw_flags(good, BOTH | 0x0020),
        "ttl above initial ttl": good[:88] + b"\x20" + good[89:],
        "REQUIRES_ACK without a place": raw_flags(good, BOTH | REQUIRES_ACK),
        "zero destination": good[:50] + bytes(32) + good[82:],
        "a PING that is sealed": raw_flags(frame_of(world, PING), SIGNED | 1),
    }
    for data in spoiled.values():
        await closes(world, 4010, lambda link, data=data: link.send_frame(data))  # type: ignore[misc]


@check("a frame of another version closes the link with 4011")
async def another_version(world: World) -> None:
    await world.visit()
    data = b"\2" + frame_of(world)[1:]
    await closes(world, 4011, lambda link: link.send_frame(data))


@check("a frame beyond its length closes the link with 4003")
async def too_large(world: World) -> None:
    await world.visit()
    header = Header.unpack(frame_of(world))
    header.payload_length = 2 + 16_384 + 10_485_760 + 132 + 1
    await closes(world, 4003, lambda link: link.send_frame(header.pack()))


@check("a stream that ends within a frame closes the link with 4010")
async def cut_short(world: World) -> None:
    await world.visit()
    data = frame_of(world)
    await closes(world, 4010, lambda link: link.send_alone(data[:-1]))


@check("a control message of no bytes or of 65,537 closes the link with 4003, a second HELLO with 4010")
async def bad_control(world: World) -> None:
    await closes(world, 4003, lambda link: link.send_raw(bytes(4)))
    await closes(world, 4003, lambda link: link.send_raw((65_537).to_bytes(4, "big") + b"\2"))
    await closes(world, 4010, lambda link: link.send_control(control.HELLO, world.visitor.hello(True)))


@check("a WANT or a NOTICE that is not laid out as it should be closes the link with 4010")
async def bad_bodies(world: World) -> None:
    await world.visit()
    await closes(world, 4010, lambda link: link.send_control(control.WANT, bytes(31)))
    await closes(world, 4010, lambda link: link.send_control(control.NOTICE, bytes(73)))


@check("the end of the control stream closes the link")
async def end_of_control(world: World) -> None:
    link = await world.visit()
    link.send_raw(b"", end=True)
    await ended(link)
    await world.still_answers()


async def stays(world: World, send: Callable[[Link], None]) -> None:
    """What is sent is dropped; the link stays."""
    link = await world.visit()
    send(link)
    await world.still_answers()
    must(link.ended is None, f"the link was closed: {link.ended}")


@check("a record that does not verify is dropped, and the link stays")
async def bad_record(world: World) -> None:
    await world.visit()
    record = bytearray(ForeignPeer("visitor", "mallory").agent.record(world.visitor.signer))
    record[-1] ^= 1
    await stays(world, lambda link: link.send_control(control.RECORD, bytes(record)))
    must("mallory@visitor" not in await world.daemon.agents(), "the agent is shown")


@check("a frame with a signature that does not hold is dropped, and the link stays")
async def forged(world: World) -> None:
    await world.visit()
    data = bytearray(frame_of(world))
    data[-20] ^= 1
    await stays(world, lambda link: link.send_frame(bytes(data)))
    same("deliveries", 0, world.times_delivered(Header.unpack(bytes(data)).message_id))


@check("a frame of an agent that the daemon does not know is dropped, and its record asked for")
async def unknown_source(world: World) -> None:
    await world.visit()
    other = ForeignPeer("visitor", "unheard-of")
    other.directory = world.visitor.directory
    header = other.header_of_once(REQUEST, random_id())
    data = other.send(other.agent, world.echo_id(), header, {}, b"x")
    since = len(world.visitor.events)
    await stays(world, lambda link: link.send_frame(data))
    want = await world.visitor.expect("want", since=since)
    same("who is asked for", other.agent.id, want.data)


@check("a frame for an agent that is not hosted there: a NOTICE 4007, and the link stays")
async def not_hosted(world: World) -> None:
    await world.visit()
    data = frame_of(world)
    data = data[:50] + os.urandom(32) + data[82:]
    since = len(world.visitor.events)
    await stays(world, lambda link: link.send_frame(data))
    hint = await world.visitor.expect("hint", since=since)
    same("code", 4007, hint.detail.code)
    same("its ids", (data[2:10], data[50:82]), (hint.detail.message_id.to_bytes(8, "big"), hint.detail.destination))


@check("a once REQUEST that is too old: a NOTICE 4005, and the link stays")
async def too_old(world: World) -> None:
    await world.visit()
    header = world.visitor.header_of_once(REQUEST, random_id())
    header.timestamp -= 61 * 10**9
    since = len(world.visitor.events)
    send = world.visitor.send
    await stays(world, lambda link: send(world.visitor.agent, world.echo_id(), header, {}, b"x") and None)
    hint = await world.visitor.expect("hint", since=since)
    same("code and id", (4005, header.message_id), (hint.detail.code, hint.detail.message_id))
    same("deliveries", 0, world.times_delivered(header.message_id))


@check("a stream that is reset loses the frame that it was in, and nothing else")
async def reset(world: World) -> None:
    link = await world.visit()
    good, cut = frame_of(world), frame_of(world)
    stream = link.send_alone(good + cut[:-1], end=False)
    number = Header.unpack(good).message_id
    await world.visitor.expect("once", lambda event: header_of(event).message_id == number)
    link.reset(stream)
    await stays(world, lambda link: link.send_frame(frame_of(world)))
    same("deliveries of the lost one", 0, world.times_delivered(Header.unpack(cut).message_id))


@check("a newer link replaces an older one, which is closed with 1")
async def replaced(world: World) -> None:
    old = await world.visit()
    world.visitor.links.clear()
    new = await world.visitor.dial(world.daemon_id, world.daemon.port)
    same("code", 1, await ended(old))
    must(new.ended is None, "the newer one was closed")
    await world.still_answers()


@check("agents of the daemon still talk with both nodes after all that")
async def unharmed(world: World) -> None:
    code, out, _ = await world.daemon.ctl("ask", "vera@visitor", "still there?")
    same("exit code", 0, code)
    same("the answer", "foreign: still there?", out.rstrip("\n"))
    code, out, _ = await world.daemon.ctl("ask", "fred@foreign", "and you?")
    same("exit code", 0, code)
    same("the answer", "foreign: and you?", out.rstrip("\n"))
