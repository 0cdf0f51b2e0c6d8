"""What two agents can do with each other, on the mock mesh and on a real daemon."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

import aicp
from aicp import _credit, _limits
from hosts import until
from worlds import Make, in_a_loop, in_both, serving

# More than there are places for handlers.
MANY = _limits.HANDLERS_MAX + 8
KIND = aicp.ContentType
BODIES: list[tuple[aicp.ContentType, Any]] = [
    (KIND.MESSAGEPACK, {"goal": "ship", "n": [1, 2.5, None, True], "raw": b"\x00\xff"}),
    (KIND.MESSAGEPACK, []),
    (KIND.MESSAGEPACK, 0),
    (KIND.TEXT, "ünïcode"),
    (KIND.OCTETS, b"\x00\x01\x02"),
    (KIND.NONE, None),
    (KIND.JSON, aicp.Body.json({"a": ["ü", 1]})),
    (KIND.NAMED, aicp.Body.named("image/png", b"\x89PNG")),
]


def told(body: Any) -> Any:
    """What the other side is to read."""
    if not isinstance(body, aicp.Body):
        return body
    return {"a": ["ü", 1]} if body.content_type is aicp.ContentType.JSON else body.octets


@in_both
@in_a_loop
async def test_what_a_handler_returns_is_the_answer_in_every_kind_of_body(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        seen: list[aicp.Message] = []

        @two.on("echo")
        async def echo(msg: aicp.Message) -> Any:
            seen.append(msg)
            return aicp.Body(msg.content_type, msg.raw, msg.content_type_name)

        async with serving(two):
            for kind, body in BODIES:
                for durable in (False, True):
                    answer = await one.ask("two", "echo", body, durable=durable)
                    assert (seen[-1].content_type, seen[-1].body) == (kind, told(body))
                    assert answer.body == told(body)
                    assert (answer.sender.name, answer.sender.id) == ("two", two.id)
                    assert seen[-1].durable is durable and answer.durable is durable
            assert seen[-1].content_type_name == "image/png"


@in_both
@in_a_loop
async def test_a_message_tells_what_was_proved_of_it(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        sent = await one.send(
            "two",
            "note",
            "x",
            expires_in=600,
            session="s1",
            traceparent="00-ab",
            capability="c",
            entries={"k": [1, "v"]},
        )
        msg = await two.recv()
        assert isinstance(msg, aicp.Delivery)
        assert msg.sender == aicp.Sender(one.id, "one", one.node, one.node_id, aicp.Proof.SAME_HOST)
        assert msg.sender.address == one.address
        assert (msg.id, msg.subject, msg.type) == (sent.id, "note", aicp.MessageType.REQUEST)
        assert (msg.attempt, msg.marked, msg.hops) == (1, False, 0)
        assert (msg.session, msg.traceparent, msg.capability) == ("s1", "00-ab", "c")
        assert msg.entries == {"k": [1, "v"]}
        now = datetime.datetime.now(datetime.UTC)
        assert msg.deadline and 500 < (msg.deadline - now).total_seconds() <= 600
        assert abs((msg.sent_at - now).total_seconds()) < 60
        assert msg.received_at and abs((msg.received_at - now).total_seconds()) < 60
        assert msg.lease == 30
        await msg.handled()
        assert await sent.handled() is None


@in_both
@in_a_loop
async def test_each_stage_of_a_message_can_be_awaited(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        sent = await one.send("two", "count", "1")
        await sent.accepted()
        await sent.stored()
        handled = asyncio.create_task(sent.handled())
        await asyncio.sleep(0.1)
        assert not handled.done(), "nobody has handled it"
        delivery = await two.recv()
        assert isinstance(delivery, aicp.Delivery)
        await delivery.respond("one")
        answer = await handled
        assert answer is not None and answer.body == "one"

        short = await one.send("two", "count", "2", until="stored")
        await short.stored()
        with pytest.raises(aicp.NotAsked, match="until='handled'"):
            await short.handled()


@in_both
@in_a_loop
async def test_a_handler_that_raises_gets_the_message_again_marked_and_can_handle_it_then(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        seen: list[tuple[int, bool]] = []

        @two.on("work")
        async def work(msg: aicp.Message) -> str:
            seen.append((msg.attempt, msg.marked))
            if msg.attempt == 1:
                raise ValueError("not yet")
            return "done"

        async with serving(two):
            answer = await one.ask("two", "work", durable=True, timeout=20)
        assert answer.body == "done"
        assert seen == [(1, False), (2, True)]


@in_both
@in_a_loop
async def test_what_is_given_back_to_a_caller_is_an_error_of_a_class_of_its_own(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one:
        with pytest.raises(aicp.Offline) as offline:
            await one.ask("nobody", "x")
        assert offline.value.code == 4001 and offline.value.message
        assert isinstance(offline.value, aicp.MeshError)
        async with mesh.attach("two") as two:
            with pytest.raises(aicp.NoAnswer):
                await one.ask("two", "x", timeout=0.2)
            with pytest.raises(TimeoutError):
                await one.ask("two", "x", timeout=0.2, durable=True)
            with pytest.raises(aicp.Expired) as expired:
                await send_to_nobody(mesh, one)
            assert expired.value.code == 4012
            assert two.name == "two"
        with pytest.raises(aicp.Malformed):
            await one.question("node.nothing")


async def send_to_nobody(mesh: Any, one: aicp.Agent) -> None:
    """Sends to an agent that is known and away."""
    async with mesh.attach("late"):
        pass
    sent = await one.send("late", "x", expires_in=0.3)
    await sent.handled()


@in_both
@in_a_loop
async def test_the_node_answers_who_is_there(world: Make) -> None:
    async with world() as mesh, mesh.attach("one", capabilities=("plan", "review")) as one, mesh.attach("two") as two:
        found = {agent.name: agent for agent in await two.agents()}
        assert found["one"].capabilities == ("plan", "review") and found["one"].attached
        assert (await two.resolve("one")).agent_id == one.id
        assert (await two.resolve(one.address)).node_name == one.node
        assert (await two.status()).schema == "aicp.status/1"
        pong = await two.ping("one")
        assert pong.id == one.id and pong.name == "one" and pong.seconds < 10
        assert (await two.ping()).id == two.node_id
        with pytest.raises(aicp.Offline):
            await two.resolve("nobody@nowhere")


@in_both
@in_a_loop
async def test_messages_of_one_source_are_handled_in_order_and_those_of_others_meanwhile(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two, mesh.attach("three") as three:
        order: list[int] = []
        free = asyncio.Event()

        @three.on("n")
        async def take(msg: aicp.Message) -> None:
            if msg.sender.name == "two":
                free.set()
                return
            if msg.body == 0:
                await free.wait()
            order.append(msg.body)

        async with serving(three):
            sent = [await one.send("three", "n", n) for n in range(MANY)]
            # The first one waits for this, which comes from somebody else.
            await (await two.send("three", "n")).handled()
            for each in sent:
                await each.handled()
        assert order == list(range(MANY))


@in_both
@in_a_loop
async def test_questions_of_one_source_that_are_answered_slowly_leave_half_of_the_places_to_others(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two, mesh.attach("three") as three:
        begun = 0
        free = asyncio.Event()

        @three.on("n")
        async def answer(msg: aicp.Message) -> None:
            nonlocal begun
            if msg.sender.name == "two":
                free.set()
                return
            begun += 1
            await free.wait()

        async with serving(three):
            asked = [asyncio.create_task(one.ask("three", "n", n, timeout=30)) for n in range(MANY)]
            await until("half of the places are taken", lambda: begun >= _limits.HANDLERS_MAX // 2)
            await asyncio.sleep(0.05)
            assert begun == _limits.HANDLERS_MAX // 2
            await two.ask("three", "n", timeout=30)
            await asyncio.gather(*asked)
        assert begun == MANY


@in_both
@in_a_loop
async def test_whoever_attaches_again_takes_over_and_the_older_session_ends_with_an_error(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as older, mesh.attach("two") as two:
        waiting = asyncio.create_task(older.ask("two", "x", timeout=20))
        serving_older = asyncio.create_task(older.serve(signals=()))
        await two.recv()
        async with mesh.attach("one") as newer:
            assert newer.id == older.id
            for task in (serving_older, waiting):
                with pytest.raises((aicp.TakenOver, aicp.Disconnected)) as ended:
                    await asyncio.wait_for(task, 10)
                assert task is waiting or isinstance(ended.value, aicp.TakenOver)
            with pytest.raises(aicp.TakenOver):
                await older.send("two", "x")
            assert (await newer.ping("two")).name == "two"


@in_both
@in_a_loop
async def test_an_agent_that_stops_ends_what_it_began_and_leaves_the_rest_to_the_next_one(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one:
        begun, goes_on = asyncio.Event(), asyncio.Event()
        async with mesh.attach("two") as two:

            @two.on("slow")
            async def slow(msg: aicp.Message) -> str:
                begun.set()
                await goes_on.wait()
                return f"first: {msg.body}"

            serve = asyncio.create_task(two.serve(signals=()))
            early = await one.send("two", "slow", "early")
            await begun.wait()
            two.stop()
            late = await one.send("two", "slow", "late")
            goes_on.set()
            await serve
        assert (await early.answered()).body == "first: early"
        async with mesh.attach("two") as two:

            @two.on("slow")
            async def again(msg: aicp.Message) -> str:
                return f"second: {msg.body}"

            async with serving(two):
                assert (await late.answered()).body == "second: late"


@in_both
def test_an_agent_that_receives_nothing_is_not_flooded_and_loses_nothing(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A window of 40 deliveries instead of 1,024.
    monkeypatch.setattr(_credit, "WINDOW", _credit.Amount(40, 1 << 20))
    monkeypatch.setattr(_credit, "STEP", _credit.Amount(10, 1 << 18))
    in_a_loop(flood)(world)


async def flood(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        count = 300
        sent = await asyncio.gather(*(one.send("two", "n", n, until="stored") for n in range(count)))
        for each in sent:
            await each.stored()
        await asyncio.sleep(0.3)
        assert len(two._core.inbox) == 40, "as many as it gave credit for, and no more"
        got: list[int] = []
        while len(got) < count:
            delivery = await two.recv()
            assert isinstance(delivery, aicp.Delivery) and not delivery.marked
            got.append(delivery.body)
            await delivery.handled()
        assert got == list(range(count))


@in_both
@in_a_loop
async def test_what_cannot_be_said_is_told_before_anything_is_sent(world: Make) -> None:
    async with world() as mesh, mesh.attach("one") as one, mesh.attach("two"):
        for wrong in (
            one.send("two", "a\nb"),
            one.send("two", "x" * 256),
            one.send("two", "x", until="nonsense"),
            one.send("two", "x", session=""),
            one.send("two", "x", expires_in=0),
            one.send("two", "x", entries={"": 1}),
            one.send("two", "x", entries={"k": object()}),
            one.send("two", "x", object()),
            one.send("two", "x", id="short"),
        ):
            with pytest.raises(aicp.Invalid):
                await wrong
        with pytest.raises(aicp.BodyTooLarge) as large:
            await one.ask("two", "x", bytes(10_485_761))
        assert large.value.code == 4003
        for name in ("Upper", "", "-x", "a b", "x" * 64):
            with pytest.raises(aicp.Invalid):
                await mesh.attach(name)
