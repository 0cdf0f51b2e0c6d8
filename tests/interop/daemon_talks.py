"""Checks of what goes well: links, records, once, durable in both directions, repeats, notices, a restart."""

from __future__ import annotations

import asyncio
import json
import time

from aicp_peer import control
from aicp_peer.flows import ANSWERS, MESSAGES, OutFlow, Owned, new_flow_id
from aicp_wire.shapes import ACK, ERROR, PING, REQUEST, RESPONSE
from daemon_world import Checks, World, body_of, error_code_of, flow_of, header_of, known_of, must, original_id_of, same
from foreign_peer import DURABLE, HANDLED, HOUR, TEXT, Event, random_id

check = Checks()


@check("the daemon dials: HELLO goes through, and status shows the peer up")
async def dialed(world: World) -> None:
    event = await world.foreign.expect("up")
    assert event.link is not None
    must(not event.link.dialing, "the link is not one that the daemon dialed")
    same("the node's name", "alpha", event.link.hello.record.values[2] if event.link.hello else None)
    same("state", "up", await world.daemon.peer_state("foreign"))


@check("the foreign peer dials: HELLO goes through, and status shows the peer up")
async def dials(world: World) -> None:
    link = await world.visit()
    must(link.dialing, "the link was not dialed")
    same("state", "up", await world.daemon.peer_state("visitor"))


@check("both dial: the link stays that the node with the lower id dialed, and the other is closed with 1")
async def both_dial(world: World) -> None:
    await world.twin.expect("up")
    mine = world.twin.signer.id < world.daemon_id
    try:
        link = await world.twin.dial(world.daemon_id, world.daemon.port)
        await asyncio.sleep(0.5)
        same("whether ours stays", mine, link.ended is None)
    except ConnectionError:
        must(not mine, "our link was refused, although our id is lower")
    closed = await world.twin.expect("ended")
    same("the code of the other", 1, closed.detail.error_code)
    stays = world.twin.links[world.daemon_id]
    same("whether we dialed the one that stays", mine, stays.dialing)
    code, out, _ = await world.daemon.ctl("ask", "tess@twin", "which one?")
    same("what aicpctl prints", (0, "foreign: which one?"), (code, out.rstrip("\n")))


@check("records are exchanged: each side has the other's agents")
async def exchanged(world: World) -> None:
    for node in (world.foreign, world.visitor):
        event = await node.expect("record", lambda event: event.detail.values[2] == "echo")
        same("the hosting node", world.daemon_id, event.detail.values[7])
        must(5 in event.detail.values, "the record has no prekey")
        must(event.detail.values[6] <= time.time_ns() + 48 * HOUR, "the prekey lives longer than 48 h")
    names = await world.daemon.agents()
    for name in ("fred@foreign", "vera@visitor", "echo@alpha"):
        must(name in names, f"aicpctl agents does not show {name}: {names}")


@check("WANT is answered with RECORD, and not at all for an agent that nobody knows")
async def wanted(world: World) -> None:
    link = await world.visit()
    echo = world.echo_id()
    del world.visitor.directory[echo]
    since = len(world.visitor.events)
    link.send_control(control.WANT, bytes(31) + b"\1")
    link.send_control(control.WANT, echo)
    await world.visitor.expect("record", lambda event: event.detail.id == echo, since=since)


@check("an unknown kind of control message is ignored")
async def unknown_kind(world: World) -> None:
    link = await world.visit()
    link.send_control(200, b"whatever")
    link.send_control(0, b"")
    await world.still_answers()
    must(link.ended is None, "the link was closed")


@check("ask: a once REQUEST of the daemon is opened, verified and answered, and the answer comes out")
async def asked(world: World) -> None:
    code, out, _ = await world.daemon.ctl("ask", "fred@foreign", "grüß dich")
    same("exit code", 0, code)
    same("what aicpctl prints", "foreign: grüß dich", out.rstrip("\n"))
    event = await world.foreign.expect("once", lambda event: body_of(event) == "grüß dich".encode())
    same("type", REQUEST, header_of(event).type)
    must(3 not in known_of(event) and 12 not in known_of(event), "a once frame with a place")


@check("ask with 100,000 bytes: a frame on a stream of its own")
async def asked_much(world: World) -> None:
    world.foreign.agent.answer = lambda body: str(len(body)).encode() + b" " + body[-70_000:]
    try:
        code, out, _ = await world.daemon.ctl("ask", "fred@foreign", "x" * 100_000)
    finally:
        world.foreign.agent.answer = lambda body: b"foreign: " + body
    same("exit code", 0, code)
    same("the answer", "100000 " + "x" * 70_000, out.rstrip("\n"))


@check("ping: the daemon's PING gets our pong, and ours gets the pong of echo")
async def pinged(world: World) -> None:
    code, _, err = await world.daemon.ctl("ping", "-c", "1", "fred@foreign")
    must(code == 0, f"aicpctl ping: {code}: {err}")
    await world.foreign.expect("ping")
    await world.visit()
    number = world.visitor.send_once(PING, world.echo_id(), b"are you there")
    event = await world.visitor.expect("pong", lambda event: header_of(event).message_id == number)
    same("the source", world.echo_id(), header_of(event).source)


@check("a once REQUEST to echo is answered, and the same frame again is not delivered again")
async def once(world: World) -> None:
    link = await world.visit()
    agent, number = world.visitor.agent, random_id()
    header = world.visitor.header_of_once(REQUEST, number)
    data = world.visitor.send(agent, world.echo_id(), header, {4: "greet"}, b"once")
    event = await world.visitor.expect("once", lambda event: header_of(event).message_id == number)
    same("type", RESPONSE, header_of(event).type)
    same("the answer", b"from echo", body_of(event))
    link.send_frame(data)
    await world.still_answers()
    same("deliveries", 1, world.times_delivered(number))


@check("a once REQUEST with the same id and another timestamp is not delivered again")
async def once_again(world: World) -> None:
    await world.visit()
    number = world.visitor.send_once(REQUEST, world.echo_id(), b"again")
    await world.visitor.expect("once", lambda event: header_of(event).message_id == number)
    world.visitor.send_once(REQUEST, world.echo_id(), b"again", number)
    await world.still_answers()
    same("deliveries", 1, world.times_delivered(number))


@check("a once REQUEST that is 70 s old, or 20 s ahead, is not delivered")
async def stale(world: World) -> None:
    await world.visit()
    for seconds in (-70, 20):
        number = world.visitor.send_once(
            REQUEST, world.echo_id(), b"stale", timestamp=time.time_ns() + seconds * 10**9
        )
        await world.still_answers()
        same("deliveries", 0, world.times_delivered(number))


@check("a once REQUEST of 300 KiB arrives")
async def once_large(world: World) -> None:
    await world.visit()
    number = world.visitor.send_once(REQUEST, world.echo_id(), b"y" * 300 * 1024)
    await world.visitor.expect("once", lambda event: header_of(event).message_id == number)
    bodies = [one["body"] for one in world.delivered() if one["id"] == f"{number:016x}"]
    must(bodies == ["y" * 300 * 1024], "another body")


def judge_durable(event: Event, kind: int) -> None:
    """Place and metadata of a durable frame of the daemon."""
    header, known = header_of(event), known_of(event)
    same("the flow id's lowest bit", kind, known[3] & 1)
    must(1 <= known[12] <= header.sequence, f"floor {known[12]}, sequence {header.sequence}")
    must(abs(known[3] - time.time_ns()) < HOUR, "the flow id is not the clock")
    if kind == MESSAGES:
        must(header.timestamp < known[2] <= header.timestamp + 72 * HOUR, "the expiry")


async def sent_and_handled(world: World, body: str, *more: str) -> tuple[dict[str, object], Event]:
    """aicpctl send, from its start to the outcome: what it prints, and the delivery here."""
    code, out, err = await world.daemon.ctl("send", "--json", "--wait", "handled", *more, "fred@foreign", body)
    must(code == 0, f"aicpctl send: {code}: {out} {err}")
    printed = json.loads(out)
    same("stage", "handled", printed["stage"])
    event = await world.foreign.expect("delivered", lambda event: body_of(event) == body.encode())
    same("id", printed["id"], f"{header_of(event).message_id:016x}")
    return printed, event


async def acknowledged(world: World, delivered: Event) -> None:
    """The daemon says STORED for our answer, with the key of the agent that asked, and the flow of our answers."""
    asker = header_of(delivered).source
    flow = world.foreign.out[(world.foreign.agent.id, asker, ANSWERS)]
    event = await world.foreign.expect(
        "stored", lambda event: flow_of(event) == flow.flow and header_of(event).sequence == flow.highest
    )
    same("the source of STORED", asker, header_of(event).source)
    same("its id: of the newest answer it covers", header_of(delivered).message_id, header_of(event).message_id)
    same("answers that we still own", {}, flow.owned)


@check("send --wait handled: STORED, then RESPONSE in our answers' flow, which the daemon acknowledges")
async def sent(world: World) -> None:
    printed, event = await sent_and_handled(world, "first")
    judge_durable(event, MESSAGES)
    same("the answer", {"body": "foreign: first"}, printed["answer"])
    same("HANDLED wanted", True, known_of(event)[13])
    await acknowledged(world, event)
    await world.outbox_is_empty()


@check("send --wait handled: HANDLED without a RESPONSE; the same flow, the next place")
async def sent_handled(world: World) -> None:
    world.foreign.agent.outcome = lambda body: None
    try:
        printed, event = await sent_and_handled(world, "second")
    finally:
        world.foreign.agent.outcome = lambda body: b"foreign: " + body
    must(not printed.get("answer"), f"an answer: {printed}")
    first = await world.foreign.expect("delivered")
    same("the flow", flow_of(first), flow_of(event))
    same("the place", header_of(first).sequence + 1, header_of(event).sequence)
    same("the floor: what was before is settled", header_of(event).sequence, known_of(event)[12])
    await acknowledged(world, event)


@check("a prekey that we do not keep: our signed 4013 makes the daemon fetch the record and send again")
async def prekey_changed(world: World) -> None:
    world.foreign.agent.new_prekey()
    since = len(world.foreign.events)
    _, event = await sent_and_handled(world, "to another prekey")
    await world.foreign.expect("unknown prekey", since=since)
    await world.foreign.expect("want", lambda found: found.data == world.foreign.agent.id, since=since)
    must(14 not in known_of(event), "AGAIN on a mere repeat")


@check("a 4015 with a newer flow: the daemon numbers anew above it, with AGAIN and the same id")
async def renumbered(world: World) -> None:
    last = await world.foreign.expect("delivered", lambda event: body_of(event) == b"to another prekey")
    mark = world.foreign.marks[(header_of(last).source, world.foreign.agent.id, MESSAGES)]
    mark.flow += 10**9
    newest = mark.flow
    since = len(world.foreign.events)
    _, event = await sent_and_handled(world, "renumbered")
    older = await world.foreign.expect("older", since=since)
    same("the id", older.detail[0].message_id, header_of(event).message_id)
    same("the timestamp", older.detail[0].timestamp, header_of(event).timestamp)
    same("the expiry", older.detail[1].known[2], known_of(event)[2])
    must(flow_of(event) > newest, "the new flow is not above the one in the 4015")
    same("AGAIN", True, known_of(event).get(14))


@check("what was not stored comes again when a link comes up: sealed anew, with the same id, timestamp and place")
async def repeated(world: World) -> None:
    since = len(world.foreign.events)
    world.foreign.deaf = True
    sending = asyncio.ensure_future(sent_and_handled(world, "over two links"))
    first = await world.foreign.expect("unheard", since=since)
    world.foreign.deaf = False
    assert first.link is not None
    first.link.end(0, "the node stops")
    _, event = await sending
    header = first.detail
    for name in ("message_id", "timestamp", "sequence"):
        same(name, getattr(header, name), getattr(header_of(event), name))
    must(first.data != event.data, "the same bytes: not sealed anew")
    await world.foreign.expect("up", since=since)


@check("a durable REQUEST to echo: STORED by the key of echo, then the RESPONSE in its answers' flow, and our STORED")
async def requested(world: World) -> None:
    await world.visit()
    number, _ = world.visitor.request(world.echo_id(), b"durable")
    flow = world.visitor.out[(world.visitor.agent.id, world.echo_id(), MESSAGES)]
    stored = await world.stored(flow.flow, 1)
    same("its id", number, header_of(stored).message_id)
    event = await world.outcome(world.visitor, number)
    same("type", RESPONSE, header_of(event).type)
    same("the answer", b"from echo", body_of(event))
    judge_durable(event, ANSWERS)
    same("deliveries", 1, world.times_delivered(number))
    await world.outbox_is_empty()


@check("a repeat is not delivered again, and STORED is said again")
async def repeat(world: World) -> None:
    number, data = world.visitor.request(world.echo_id(), b"twice")
    flow = world.visitor.out[(world.visitor.agent.id, world.echo_id(), MESSAGES)]
    place = flow.highest
    await world.outcome(world.visitor, number)
    await asyncio.sleep(1.1)  # it is said again at most once a second
    since = len(world.visitor.events)
    link = await world.visit()
    link.send_frame(data)
    stored = await world.stored(flow.flow, place, since)
    same("the mark", place, header_of(stored).sequence)
    await world.still_answers()
    same("deliveries", 1, world.times_delivered(number))


@check("what comes before its turn waits, and is delivered in order")
async def reordered(world: World) -> None:
    await world.visit()
    agent, echo = world.visitor.agent, world.echo_id()
    flow = world.visitor.out_flow(agent, echo, MESSAGES)
    base, now, numbers = flow.highest, time.time_ns(), []
    for turn in range(3):
        message = Owned(REQUEST, random_id(), now, TEXT, 0, {2: now + HOUR, 13: True}, b"turn %d" % turn)
        numbers.append(message.message_id)
        flow.add(message)
    for place in (base + 3, base + 2, base + 1):
        world.visitor.attempt(agent, echo, flow, place)
    for number in numbers:
        await world.outcome(world.visitor, number)
    order = [one["body"] for one in world.delivered() if one["body"].startswith("turn ")]
    same("the order", ["turn 0", "turn 1", "turn 2"], order)


@check("a prekey that echo does not have: a 4013 signed by echo, and the same place to the right one is stored")
async def unknown_prekey(world: World) -> None:
    await world.visit()
    agent, echo = world.visitor.agent, world.echo_id()
    wrong = world.visitor.agent.prekeys[0].public
    number, _ = world.visitor.request(echo, b"sealed to nobody", prekey=wrong)
    event = await world.visitor.expect("notice", lambda event: header_of(event).message_id == number)
    same("code", 4013, error_code_of(event))
    same("its source", echo, header_of(event).source)
    same("original message id", f"{number:016x}", original_id_of(event))
    flow = world.visitor.out_flow(agent, echo, MESSAGES)
    must(flow.highest in flow.owned, "a 4013 ended the message")
    world.visitor.attempt(agent, echo, flow, flow.highest)
    await world.outcome(world.visitor, number)
    same("deliveries", 1, world.times_delivered(number))


@check("a once REQUEST to a prekey that echo does not have gets a signed 4013")
async def unknown_prekey_once(world: World) -> None:
    await world.visit()
    number = random_id()
    header = world.visitor.header_of_once(REQUEST, number)
    world.visitor.send(world.visitor.agent, world.echo_id(), header, {}, b"x", world.visitor.agent.prekeys[0].public)
    event = await world.visitor.expect("notice", lambda event: header_of(event).message_id == number)
    same("code", 4013, error_code_of(event))
    same("its source", world.echo_id(), header_of(event).source)


@check("what a peer says of an ask reaches the agent that asked: 4006, 4013 and 4014 with its id")
async def notices_reach_the_asker(world: World) -> None:
    agent = world.foreign.agent
    usual = agent.answer
    try:
        for said in (4006, 4013, 4014):
            agent.answer = lambda body, said=said: said  # type: ignore[misc]
            code, _, err = await world.daemon.ctl("ask", "fred@foreign", "how far?")
            must(code != 0 and f"AICP-{said}" in err, f"{said}: {code}: {err}")
    finally:
        agent.answer = usual


@check("an older flow gets a 4015 with the newest flow id, and is not delivered")
async def older_flow(world: World) -> None:
    await world.visit()
    agent, echo, now = world.visitor.agent, world.echo_id(), time.time_ns()
    before, _ = world.visitor.request(echo, b"in the newest flow")
    await world.outcome(world.visitor, before)
    newest = world.visitor.out_flow(agent, echo, MESSAGES).flow
    older = OutFlow(MESSAGES, newest - 10)
    number = random_id()
    place = older.add(Owned(REQUEST, number, now, TEXT, 0, {2: now + HOUR, 13: True}, b"older"))
    world.visitor.attempt(agent, echo, older, place)
    event = await world.visitor.expect("notice", lambda event: error_code_of(event) == 4015)
    same("its source and id", (echo, 0), (header_of(event).source, header_of(event).message_id))
    same("the newest flow id", newest, flow_of(event))
    same("deliveries", 0, world.times_delivered(number))


@check("a newer flow that begins above 1: its floor is where it begins")
async def newer_flow(world: World) -> None:
    await world.visit()
    agent, echo = world.visitor.agent, world.echo_id()
    before = world.visitor.out_flow(agent, echo, MESSAGES).flow
    flow = OutFlow(MESSAGES, new_flow_id(MESSAGES, before), highest=6)
    world.visitor.out[(agent.id, echo, MESSAGES)] = flow
    number, _ = world.visitor.request(echo, b"place seven")
    stored = await world.stored(flow.flow, 7)
    same("the mark", 7, header_of(stored).sequence)
    await world.outcome(world.visitor, number)


@check("content that is refused settles its place, and ends with a durable ERROR 4010")
async def refused_content(world: World) -> None:
    await world.visit()
    agent, echo, now = world.visitor.agent, world.echo_id(), time.time_ns()
    known = {2: now + HOUR, 6: bytes(8), 13: True}  # key 6 stands in openers only
    message = Owned(REQUEST, random_id(), now, TEXT, 0, known, b"with a stream id")
    world.visitor.accept(agent, echo, message)
    flow = world.visitor.out_flow(agent, echo, MESSAGES)
    await world.stored(flow.flow, flow.highest)
    event = await world.outcome(world.visitor, message.message_id)
    same("type", ERROR, header_of(event).type)
    same("code", 4010, error_code_of(event))
    same("deliveries", 0, world.times_delivered(message.message_id))


@check("a durable frame whose place cannot be read is dropped without a word")
async def no_place(world: World) -> None:
    await world.visit()
    now, number, since = time.time_ns(), random_id(), len(world.visitor.events)
    header = world.visitor.header_of_once(REQUEST, number)
    header.flags, header.sequence = DURABLE, 900
    known = {2: now + HOUR, 3: new_flow_id(MESSAGES), 13: True}  # no floor
    world.visitor.send(world.visitor.agent, world.echo_id(), header, known, b"x")
    await world.still_answers()
    heard = [event.kind for event in world.visitor.events[since:] if event.kind != "pong"]
    same("what was said to it", [], heard)
    same("deliveries", 0, world.times_delivered(number))


@check("an expired message is dropped without a word, and a floor above it goes on")
async def expired(world: World) -> None:
    await world.visit()
    agent, echo, now = world.visitor.agent, world.echo_id(), time.time_ns()
    flow = world.visitor.out_flow(agent, echo, MESSAGES)
    since = len(world.visitor.events)
    message = Owned(REQUEST, random_id(), now - HOUR, TEXT, 0, {2: now - HOUR // 2, 13: True}, b"expired")
    world.visitor.accept(agent, echo, message)
    await world.still_answers()
    heard = [event.kind for event in world.visitor.events[since:] if event.kind != "pong"]
    same("what was said to it", [], heard)
    del flow.owned[flow.highest]
    number, _ = world.visitor.request(echo, b"after the expired one")
    await world.outcome(world.visitor, number)
    same("deliveries", 0, world.times_delivered(message.message_id))


@check("a HANDLED that no stub waits for is stored and dropped")
async def stray_answer(world: World) -> None:
    await world.visit()
    agent, echo, now = world.visitor.agent, world.echo_id(), time.time_ns()
    world.visitor.accept(agent, echo, Owned(ACK, random_id(), now, 0, HANDLED, {2: now + 72 * HOUR}, b""))
    flow = world.visitor.out_flow(agent, echo, ANSWERS)
    await world.stored(flow.flow, flow.highest)


@check("an agent that is away: once gets a 4001 signed by its key, a PING nothing, durable gets STORED and waits")
async def away(world: World) -> None:
    await world.visit()
    asker = next(record for record in world.visitor.directory.values() if record.values[2].startswith("cli-"))
    since = len(world.visitor.events)
    number = world.visitor.send_once(REQUEST, asker.id, b"anybody?")
    event = await world.visitor.expect("notice", lambda event: header_of(event).message_id == number)
    same("code and source", (4001, asker.id), (error_code_of(event), header_of(event).source))
    ping = world.visitor.send_once(PING, asker.id)
    await world.still_answers()
    pongs = [header_of(event).message_id for event in world.visitor.events[since:] if event.kind == "pong"]
    must(ping not in pongs, "a pong of an agent that is not there")
    world.visitor.request(asker.id, b"for later")
    flow = world.visitor.out_flow(world.visitor.agent, asker.id, MESSAGES)
    event = await world.visitor.expect("stored", lambda event: flow_of(event) == flow.flow, since=since)
    same("the source of STORED", asker.id, header_of(event).source)


@check("after a restart of the daemon a repeat is still one, and its own messages go in a newer flow")
async def restarted(world: World) -> None:
    await world.visit()
    number, _ = world.visitor.request(world.echo_id(), b"before the restart")
    await world.outcome(world.visitor, number)
    flow = world.visitor.out_flow(world.visitor.agent, world.echo_id(), MESSAGES)
    last = await world.foreign.expect("delivered", lambda event: body_of(event) == b"over two links")
    since = len(world.visitor.events)
    await world.daemon.detach("echo")
    same("exit code of aicpd", 0, await world.daemon.stop())
    await world.daemon.run_again()
    world.echoed = await world.daemon.attach("echo", "--respond", "from echo")
    await world.visit()
    await world.visitor.expect("record", lambda event: event.detail.values[2] == "echo", since=since)
    now = time.time_ns()
    message = Owned(REQUEST, number, now, TEXT, 0, {2: now + HOUR, 13: True}, b"before the restart")
    flow.owned[flow.highest] = message
    world.visitor.attempt(world.visitor.agent, world.echo_id(), flow, flow.highest)
    await world.stored(flow.flow, flow.highest, since)
    same("deliveries", 0, world.times_delivered(number))
    _, event = await sent_and_handled(world, "after the restart")
    must(flow_of(event) > flow_of(last), "the flow is not above the earlier ones")
    same("the place", 1, header_of(event).sequence)
