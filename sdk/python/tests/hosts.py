"""Real daemons for tests: in short temporary folders, on loopback only, ended with the test by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

# A busy machine may be slow, but not slower than this.
PATIENCE = 20.0
BINARIES = Path(os.environ.get("AICP_BINARIES", ""))


def program(name: str) -> str:
    """A binary of this tree. `tests/sdk/run` says where they are."""
    path = BINARIES / name
    assert os.environ.get("AICP_BINARIES") and os.access(path, os.X_OK), f"{name} is not in AICP_BINARIES={BINARIES}"
    return str(path)


def environment(folder: Path) -> dict[str, str]:
    """Nothing that configures a daemon or a client, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AICP_", "XDG_"))}
    return kept | {"HOME": str(folder), "NO_COLOR": "1"}


async def until(what: str, holds: Callable[[], Awaitable[bool] | bool], most: float = PATIENCE) -> None:
    """Asks again and again."""
    ends = time.monotonic() + most
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < ends, f"not within {most} s: {what}"
        await asyncio.sleep(0.05)


async def printed(child: asyncio.subprocess.Process, words: tuple[str, ...], patience: float) -> str:
    """What a command printed. It must end in time, and succeed."""
    try:
        out, _ = await asyncio.wait_for(child.communicate(), patience)
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, f"{words}: {child.returncode}: {out.decode()}"
    return out.decode()


class Host:
    """One daemon and its folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.socket = self.folder / "agent.sock"
        self.environment = environment(self.folder)
        self.port = free_port()
        self.id = ""
        self.process: asyncio.subprocess.Process | None = None

    async def make(self) -> None:
        """Its identity."""
        state = str(self.folder / "state")
        self.id = (await self.run(program("aicpd"), "init", "--state-dir", state, "--name", self.name)).strip()

    @property
    def pin(self) -> str:
        """As it stands in the `mesh.peers` of others."""
        return f"{self.name}={self.id}@127.0.0.1:{self.port}"

    def configure(self, *peers: Host) -> None:
        """The daemon's configuration."""
        mesh = f'[mesh]\nlisten = "127.0.0.1:{self.port}"\npeers = {json.dumps([peer.pin for peer in peers])}\n'
        text = f'[node]\nname = "{self.name}"\nstate_dir = "{self.folder}/state"\n[socket]\npath = "{self.socket}"\n'
        (self.folder / "aicpd.toml").write_text(text + mesh)

    async def start(self) -> None:
        """Starts the daemon and waits until its door is open."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program("aicpd"),
                "run",
                "--config",
                str(self.folder / "aicpd.toml"),
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        await until(f"{self.name} is there", self.answers)

    async def answers(self) -> bool:
        """Whether somebody takes connections."""
        assert self.process is not None and self.process.returncode is None, self.log_end()
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the daemon, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            try:
                await asyncio.wait_for(self.process.wait(), PATIENCE)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()

    async def kill(self) -> None:
        """As a crash does."""
        await self.end(signal.SIGKILL)

    def log_end(self) -> str:
        """For people, when a test fails."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    async def run(self, *words: str) -> str:
        """What a command printed. It must succeed."""
        return await printed(await self.begin(*words), words, PATIENCE)

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        """A command that goes on."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*words, stdin=null, stdout=pipe, stderr=None, env=self.environment)

    async def ctl(self, *words: str) -> Any:
        """What `aicpctl --json` said."""
        return json.loads(await self.run(program("aicpctl"), "--socket", str(self.socket), *words, "--json"))


@contextlib.asynccontextmanager
async def recv(host: Host, name: str, *words: str) -> AsyncIterator[asyncio.StreamReader]:
    """An agent in Rust (`aicpctl recv`), which prints a line of JSON for each message."""
    command = ["--socket", str(host.socket), "recv", "--as", name, "--json", *words]
    child = await host.begin(program("aicpctl"), *command)
    assert child.stdout is not None
    try:
        yield child.stdout
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


def free_port() -> int:
    """A UDP port that nobody has right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def one() -> AsyncIterator[Host]:
    """A daemon alone."""
    async with _running("alpha") as hosts:
        yield hosts[0]


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[Host, Host]]:
    """Two daemons that know each other and are linked."""
    async with _running("alpha", "beta") as hosts:
        alpha, beta = hosts

        async def linked() -> bool:
            peers = [*(await alpha.ctl("status"))["peers"], *(await beta.ctl("status"))["peers"]]
            return len(peers) == 2 and all(peer["state"] == "up" for peer in peers)

        await until("the two are linked", linked)
        yield alpha, beta


@contextlib.asynccontextmanager
async def _running(*names: str) -> AsyncIterator[list[Host]]:
    with tempfile.TemporaryDirectory(prefix="aicp-") as folder:
        hosts = [Host(Path(folder), name) for name in names]
        try:
            await asyncio.gather(*(host.make() for host in hosts))
            for host in hosts:
                host.configure(*(other for other in hosts if other is not host))
            await asyncio.gather(*(host.start() for host in hosts))
            yield hosts
        except BaseException:
            for host in hosts:
                print(f"the end of {host.name}'s log:\n{host.log_end()}" if (host.folder / "log").exists() else "")
            raise
        finally:
            await asyncio.gather(*(host.end() for host in hosts), return_exceptions=True)
