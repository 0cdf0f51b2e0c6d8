"""What the library does by itself, seen on the mock mesh, where time and accidents are ours."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import aicp
from aicp import _limits, errors
from aicp._door.frame import FrameReader, read_frame
from aicp._door.kinds import Way
from aicp._door.metadata import Key
from aicp.testing import MockMesh
from hosts import until
from worlds import in_a_loop, serving

ROOT = Path(__file__).resolve().parents[3]


@in_a_loop
async def test_while_a_handler_runs_its_lease_is_extended() -> None:
    async with MockMesh(lease=0.5) as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        attempts: list[int] = []

        @two.on("slow")
        async def slow(msg: aicp.Message) -> str:
            attempts.append(msg.attempt)
            await asyncio.sleep(1.6)
            return "done"

        async with serving(two):
            assert (await one.ask("two", "slow", durable=True)).body == "done"
        assert attempts == [1]


@in_a_loop
async def test_whoever_says_nothing_for_a_lease_gets_the_message_again_and_the_old_number_is_void() -> None:
    async with MockMesh(lease=0.3) as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        sent = await one.send("two", "x")
        first = await two.recv()
        second = await two.recv()
        assert isinstance(first, aicp.Delivery) and isinstance(second, aicp.Delivery)
        assert (first.id, second.id, second.attempt, second.marked) == (sent.id, sent.id, 2, True)
        with pytest.raises(aicp.OutcomeUnknown):
            await first.working()
        await second.handled()
        await sent.handled()


@in_a_loop
async def test_a_lost_connection_is_made_again_and_what_has_not_ended_is_submitted_again_under_its_id() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        events, of_two = one.events(), two.events()
        sent = [await one.send("two", "x", n) for n in range(3)]
        asked = asyncio.create_task(one.ask("two", "x", timeout=30))
        got = await two.recv()
        assert isinstance(got, aicp.Delivery)
        await mesh.cut()
        with pytest.raises(aicp.Disconnected):
            await asked
        assert isinstance(await of_two.next(10), aicp.Lost)
        with pytest.raises(aicp.Disconnected):
            await got.handled()
        # What lay in the inbox is not begun any more, for it comes again.
        while not isinstance(got := await two.recv(), aicp.Delivery) or not got.durable:
            pass
        assert (got.attempt, got.marked) == (2, True)
        await got.handled()
        assert isinstance(await events.next(10), aicp.Lost)
        while not isinstance(event := await events.next(10), aicp.Reconnected):
            assert isinstance(event, aicp.Retrying)
        assert event.resubmitted >= 2
        seen: dict[str, int] = {}

        @two.on("x")
        async def take(msg: aicp.Message) -> None:
            if msg.durable:
                assert msg.marked == (msg.attempt > 1), "only what may have been here before is marked"
                seen[msg.id] = seen.get(msg.id, 0) + 1

        async with serving(two):
            for each in sent:
                await each.handled()
        assert seen == {each.id: 1 for each in sent if each.id != got.id}


@in_a_loop
async def test_what_is_submitted_again_says_so_and_is_the_same_message() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        drawn = aicp.new_id()
        sent = await one.send("two", "x", id=drawn)
        assert sent.id == drawn
        sent._leave()
        await asyncio.sleep(0)
        again = await one.send("two", "x", id=drawn, again=True)
        assert mesh.waiting("two") == 1, "the mesh knows it"
        async with serving(two):
            two.on("x")(nothing)
            await again.handled()


async def nothing(msg: aicp.Message) -> None:
    """Handles anything."""


@in_a_loop
async def test_after_a_lost_connection_the_frames_of_a_submission_carry_again() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two"):
        sent = await one.send("two", "x")
        written: list[bytes] = []
        core = one._core
        begin = core.begin

        def listen(wire: Any) -> None:
            begin(wire)
            write = wire.write

            def note(data: bytes) -> None:
                written.append(data)
                write(data)

            wire.write = note

        core.begin = listen  # type: ignore[method-assign]
        events = one.events()
        await mesh.cut()
        while not isinstance(await events.next(10), aicp.Reconnected):
            pass
        frames = [read_frame(data, Way.UP) for data in written]
        again = [frame for frame in frames if Key.AGAIN in frame.metadata.known]
        assert [f"{frame.header.id:016x}" for frame in again] == [sent.id]


@in_a_loop
async def test_refusals_say_why_and_end_a_message_for_good_or_after_too_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with MockMesh(failures=4) as mesh, mesh.attach("one") as one, mesh.attach("two") as two:

        @two.on("x")
        async def refuse(msg: aicp.Message) -> None:
            if msg.attempt == 1:
                raise aicp.Refuse("not now", retry_after=1.5)
            if msg.attempt == 2:
                raise KeyError("a secret")
            msg.entries["no such entry"]

        @two.on("deny")
        async def deny(msg: aicp.Message) -> None:
            raise aicp.Refuse("you may not", code=4008)

        @two.on("y")
        async def misread(msg: aicp.Message) -> Any:
            return msg.body

        async with serving(two):
            with pytest.raises(aicp.GivenUp) as given_up:
                await one.ask("two", "x", durable=True)
            assert given_up.value.code == 4014
            with pytest.raises(aicp.Denied) as denied:
                await one.ask("two", "deny", durable=True)
            assert denied.value.message == "its agent refused it: you may not"
            with pytest.raises(aicp.Malformed):
                bad = aicp.Body(aicp.ContentType.MESSAGEPACK, b"\xc1")
                await (await one.send("two", "y", bad)).handled()
            with pytest.raises(aicp.Malformed):
                await (await one.send("two", "unknown")).handled()
        codes = [error.code for error in mesh.refusals]
        assert codes == [5000, 5000, 5000, 5000, 4008, 4010, 4010], "for good is once, and anything else comes again"
        first = mesh.refusals[0]
        assert isinstance(first, aicp.ServerError) and (first.message, first.retry_after) == ("not now", 1.5)
        assert not any("secret" in error.message for error in mesh.refusals), "it stays in the log here"
        assert "a secret" in caplog.text


@in_a_loop
async def test_whoever_asks_once_hears_at_once_that_its_question_is_refused_or_failed() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two", node="other") as two:

        @two.on("deny")
        async def deny(msg: aicp.Message) -> None:
            raise aicp.Refuse("you may not", code=4008)

        @two.on("fail")
        async def fail(msg: aicp.Message) -> None:
            raise KeyError("a secret")

        @two.on("busy")
        async def busy(msg: aicp.Message) -> None:
            raise aicp.Refuse("not now", retry_after=1.5)

        async with serving(two):
            with pytest.raises(aicp.Denied, match="its agent refused it: you may not"):
                await one.ask("two@other", "deny", timeout=20)
            with pytest.raises(aicp.Malformed, match="nobody handles this subject"):
                await one.ask("two@other", "unknown", timeout=20)
            with pytest.raises(aicp.ServerError) as failed:
                await one.ask("two@other", "fail", timeout=20)
            assert failed.value.message == "its agent could not handle it"
            with pytest.raises(aicp.ServerError) as later:
                await one.ask("two@other", "busy", timeout=20)
            assert later.value.retry_after == 1.5


@in_a_loop
async def test_a_plain_function_handles_in_a_thread_and_holds_nothing_up() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        free = threading.Event()

        @two.on("block")
        def block(msg: aicp.Message) -> str:
            assert free.wait(20)
            return threading.current_thread().name

        @two.on()
        async def other(msg: aicp.Message) -> str:
            free.set()
            return "other"

        async with serving(two):
            blocked = asyncio.create_task(one.ask("two", "block"))
            await asyncio.sleep(0.05)
            assert (await one.ask("two", "anything")).body == "other"
            assert (await blocked).body != threading.current_thread().name


def test_what_waits_for_a_free_handler_is_not_begun_once_the_agent_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits, "HANDLERS_MAX", 1)
    in_a_loop(stop_while_one_waits)()


async def stop_while_one_waits() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        begun: list[str] = []
        goes_on = asyncio.Event()

        @two.on("x")
        async def slow(msg: aicp.Message) -> None:
            begun.append(msg.body)
            await goes_on.wait()

        serve = asyncio.create_task(two.serve(signals=()))
        first, _ = [await one.send("two", "x", name) for name in ("a", "b")]
        await until("one runs and one waits", lambda: bool(begun and two._core.inbox))
        two.stop()
        goes_on.set()
        await serve
        await first.handled()
        assert begun == ["a"]
        assert mesh.waiting("two") == 1


def test_an_agent_whose_handlers_never_end_stops_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits, "HANDLERS_MAX", 1)
    in_a_loop(stop_though_one_hangs)()


async def stop_though_one_hangs() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        begun = asyncio.Event()

        @two.on("x")
        async def hang(msg: aicp.Message) -> None:
            begun.set()
            await asyncio.Event().wait()

        serve = asyncio.create_task(two.serve(grace=0.1, signals=()))
        sent = await one.send("two", "x")
        await begun.wait()
        two.stop()
        await asyncio.wait_for(serve, 10)
        await two.detach()
        async with mesh.attach("two") as two:
            delivery = await two.recv()
            assert isinstance(delivery, aicp.Delivery) and (delivery.id, delivery.marked) == (sent.id, True)


@in_a_loop
async def test_who_lets_a_sent_message_go_waits_for_it_no_more() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two"):
        for _ in range(20):
            await one.send("two", "x")
        gc.collect()
        await asyncio.sleep(0.05)
        assert len(one._core.durable) == 0
        assert mesh.waiting("two") == 20


@in_a_loop
async def test_the_end_of_what_nobody_waits_for_is_told_as_an_event() -> None:
    async with MockMesh() as mesh, mesh.attach("two") as two:
        async with mesh.attach("one") as one:
            sent = await one.send("two", "x")
        two.on("x")(nothing)
        async with serving(two), mesh.attach("one") as one:
            events = one.events()
            async with serving(one):
                ended = await events.next(10)
            assert isinstance(ended, aicp.Ended)
            assert (ended.outcome.id, ended.outcome.error, ended.outcome.answer) == (sent.id, None, None)


@in_a_loop
async def test_agents_of_several_nodes_find_each_other_by_address() -> None:
    async with MockMesh() as mesh, mesh.attach("w", node="alpha") as here, mesh.attach("w", node="beta") as there:
        there.on("who")(lambda msg: f"{msg.sender.address} {msg.sender.proof.name}")
        async with serving(there):
            assert (await here.ask("w@beta", "who")).body == "w@alpha SIGNATURE"
        assert (await here.resolve("w")).agent_id == here.id, "the own node comes first"


@in_a_loop
async def test_each_way_not_to_reach_a_daemon_has_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with pytest.raises(aicp.NoDaemon, match="aicpd run") as missing:
        await aicp.attach("one", socket=path)
    assert missing.value.tried == (path,) and str(path) in str(missing.value)
    path.write_text("")
    with pytest.raises(aicp.NotASocket, match="not a socket"):
        await aicp.attach("one", socket=path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with pytest.raises(aicp.NoDaemon, match="aicpd run"):
        await aicp.attach("one", socket=path)


class Odd(asyncio.Protocol):
    """Something that listens and is no daemon: it says this to whoever says anything."""

    def __init__(self, says: bytes) -> None:
        self.says = says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(self.says)


def test_what_listens_and_is_no_daemon_is_told_from_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits, "ATTACH_WITHIN", 0.3)
    in_a_loop(attach_to_odd_ones)(tmp_path)


async def attach_to_odd_ones(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_unix_server(lambda: Odd(b""), folder / "silent"):
        with pytest.raises(aicp.NoAnswer, match="attach"):
            await aicp.attach("one", socket=folder / "silent")
    async with await loop.create_unix_server(lambda: Odd(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9), folder / "odd"):
        with pytest.raises(aicp.ProtocolFault, match="version"):
            await aicp.attach("one", socket=folder / "odd")


@in_a_loop
async def test_a_daemon_that_breaks_the_protocol_is_hung_up_on_and_connected_to_again() -> None:
    async with MockMesh() as mesh, mesh.attach("one") as one, mesh.attach("two") as two:
        events = one.events()
        for door in list(mesh._doors):
            if one._core.me.id in door.agents:
                door._write(b"\xff" * 96)
        lost = await events.next(10)
        assert isinstance(lost, aicp.Lost) and "protocol" in lost.why
        while not isinstance(await events.next(10), aicp.Reconnected):
            pass
        assert (await one.ping("two")).name == two.name


def test_the_usual_sockets_are_tried_in_the_order_of_the_rust_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICP_SOCKET", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    tried = [str(path) for path in aicp.socket_candidates()]
    state = "/home/me/.local/state/aicp/agent.sock"
    assert tried == ["/run/user/1/aicp/agent.sock", state, "/run/aicp/agent.sock"]
    monkeypatch.setenv("AICP_SOCKET", "/x/y")
    assert [str(path) for path in aicp.socket_candidates()] == ["/x/y"]


def test_each_code_of_the_protocol_has_a_class() -> None:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    table = page.split("## 8. Errors")[1].split("## 9.")[0]
    codes = {int(code) for code in re.findall(r"\| ([45]\d{3}) \|", table)}
    assert len(codes) >= 17
    assert codes == set(errors.BY_CODE)
    assert len({kind.__name__ for kind in errors.BY_CODE.values()}) == len(codes)
    unknown = errors.mesh_error(4999, "new")
    assert type(unknown) is aicp.MeshError and unknown.code == 4999


def test_the_version_is_that_of_the_daemon() -> None:
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)
    assert version is not None and aicp.__version__ == version.group(1)


def test_frames_are_found_however_the_bytes_arrive() -> None:
    vectors = json.loads((ROOT / "proto/vectors/local/frames.json").read_text())["cases"]
    frames = [bytes.fromhex(c["frame"]) for c in vectors if c["door"] == "down" and "refused" not in c]
    stream = b"".join(frames)
    for step in (1, 7, 96, 4096):
        reader = FrameReader(Way.DOWN)
        sizes = [
            frame.size  # type: ignore[union-attr]
            for at in range(0, len(stream), step)
            for frame in reader.feed(stream[at : at + step])
        ]
        assert sizes == [len(frame) for frame in frames]
