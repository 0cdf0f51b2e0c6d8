"""From nothing to agents that talk: two hosts on networks of their own, `aicpctl up --invite`, `aicpctl join`, and an
agent in Python on the one that talks with one in Rust on the other. It needs root and the tool `ip`, and makes and ends
all that it uses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import aicp
from hosts import environment, printed, program, until
from worlds import in_a_loop, needs_daemon

pytestmark = needs_daemon

# A daemon is started and restarts in place meanwhile.
PATIENCE = 60.0

PYTHON_AGENT = """
import asyncio, aicp

async def main():
    async with aicp.attach("py") as me:
        @me.on("greet")
        async def greet(msg):
            return f"{msg.text} from Python, {msg.sender.address}"
        answer = await me.ask("worker@beta", "count", "one two three")
        print(answer.body, "by", answer.sender.address, answer.sender.proof.name, flush=True)
        sent = await me.send("worker@beta", "count", "kept until it is handled")
        print((await sent.answered()).body, flush=True)
        await me.serve()

asyncio.run(main())
"""


class User:
    """Somebody on a host of their own, with nothing but the programs."""

    def __init__(self, folder: Path, name: str, network: str) -> None:
        self.name = name
        self.network = network
        self.folder = folder / name
        self.folder.mkdir()
        self.socket = self.folder / "agent.sock"
        self.state = self.folder / "state"
        self.environment = environment(self.folder) | {"AICP_SOCKET": str(self.socket)}

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        """A command on this host."""
        return await asyncio.create_subprocess_exec(
            "ip",
            "netns",
            "exec",
            self.network,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment,
        )

    async def run(self, *words: str) -> str:
        """What it printed. It must succeed."""
        return await printed(await self.begin(*words), words, PATIENCE)

    async def ctl(self, *words: str) -> str:
        """What `aicpctl` printed."""
        return await self.run(program("aicpctl"), "--socket", str(self.socket), *words)

    async def meets(self, address: str) -> None:
        """Waits until an agent is known here."""
        async with aicp.attach("waiting", socket=self.socket) as waiting:

            async def known() -> bool:
                return address in {f"{agent.name}@{agent.node_name}" for agent in await waiting.agents()}

            await until(f"{self.name} knows {address}", known)

    def end(self) -> None:
        """Ends the daemon that `aicpctl` started here: it is the one that works with this state folder."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str(self.state) in (entry / "cmdline").read_text().split("\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def wire() -> Iterator[tuple[str, str]]:
    """Two networks with a wire between them, and no way to any other."""
    one, other = (f"aicp-py-{os.getpid()}-{side}" for side in (1, 2))

    def ip(*words: str) -> None:
        subprocess.run(("ip", *words), check=True, capture_output=True, timeout=20)

    try:
        try:
            for network in (one, other):
                ip("netns", "add", network)
            ip("link", "add", "wire", "netns", one, "type", "veth", "peer", "name", "wire", "netns", other)
            for side, network in enumerate((one, other), 1):
                ip("-n", network, "address", "add", f"10.78.0.{side}/24", "dev", "wire")
                for interface in ("lo", "wire"):
                    ip("-n", network, "link", "set", interface, "up")
        except (OSError, subprocess.CalledProcessError) as why:
            assert os.environ.get("AICP_NEED_ROOT") != "1", f"no network for this test: {why}"
            pytest.skip(f"skipped: needs root ({why})")
        yield one, other
    finally:
        for network in (one, other):
            with contextlib.suppress(OSError):
                subprocess.run(("ip", "netns", "delete", network), check=False, capture_output=True, timeout=20)


@contextlib.asynccontextmanager
async def users() -> AsyncIterator[tuple[User, User]]:
    """Two of them, each on a host of their own."""
    with wire() as networks, tempfile.TemporaryDirectory(prefix="aicp-") as folder:
        alpha, beta = (User(Path(folder), name, net) for name, net in zip(("alpha", "beta"), networks, strict=True))
        try:
            yield alpha, beta
        finally:
            for user in (alpha, beta):
                user.end()


@contextlib.asynccontextmanager
async def running(user: User, *words: str) -> AsyncIterator[asyncio.StreamReader]:
    """A program on a host, and what it prints."""
    child = await user.begin(*words)
    assert child.stdout is not None
    try:
        yield child.stdout
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def line(out: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(out.readline(), PATIENCE)).decode().strip()


@in_a_loop
async def test_after_up_and_join_an_agent_in_python_and_one_in_rust_ask_each_other_across_two_networks() -> None:
    async with users() as (alpha, beta):
        told = await alpha.ctl("up", "--invite", "--mesh", "lab", "--name", "alpha", "--state-dir", str(alpha.state))
        (command,) = (text for text in told.splitlines() if text.startswith("aicpctl join "))
        words = command.split()[1:]
        told = await beta.ctl(*words, "--name", "beta", "--state-dir", str(beta.state))
        assert "joined mesh lab as beta" in told and "first message: echo@alpha answered" in told, told

        async with running(beta, program("examples/worker")) as worker:
            assert await line(worker) == "worker@beta is there"
            await alpha.meets("worker@beta")
            async with running(alpha, sys.executable, "-c", PYTHON_AGENT) as py:
                assert await line(py) == "3 words by worker@beta SIGNATURE"
                assert await line(py) == "5 words"
                await beta.meets("py@alpha")
                said = await beta.run(program("examples/ask"), "py@alpha", "hello")
                assert said.startswith("py@alpha says hello from Python, ") and said.strip().endswith("@beta"), said
